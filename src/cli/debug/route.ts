/** The way that grpc-js takes to a service, for checks that need its sockets: target names, and HTTP proxies. */
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { BlockList, connect, isIPv4, type Socket } from 'node:net';
import { SealwireError } from '../../errors.js';

/** Where a target leads. */
export interface Endpoint {
  /** What the certificate is for, and what is called. */
  readonly host: string;
  readonly place: { readonly host: string; readonly port: number } | { readonly path: string };
}

/** A proxy from the environment. */
export interface Proxy {
  readonly url: URL;
  /** The variable that names it. */
  readonly variable: string;
}

/** As grpc-js has it. */
const DEFAULT_PORT = 443;
const PROXY_VARIABLES = ['grpc_proxy', 'https_proxy', 'http_proxy'] as const;

/**
 * @param address a grpc-js target: `HOST`, `HOST:PORT`, `dns:…`, `ipv4:…`, `ipv6:…`, `unix:PATH`
 * @throws SealwireError `OPTIONS_INVALID`
 */
export function parseTarget(address: string): Endpoint {
  const unix = /^unix:(?:\/\/)?(.+)$/.exec(address)?.[1];
  if (unix !== undefined) return { host: 'localhost', place: { path: unix } };
  // Of several addresses the first; a name server of its own is not asked.
  const [name = ''] = address.replace(/^(?:dns|ipv4|ipv6):(?:\/\/[^/]*\/)?/, '').split(',', 1);
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:/\s]+))(?::(\d{1,5}))?$/.exec(name) ?? [];
  const host = bracketed ?? plain;
  const port = digits === undefined ? DEFAULT_PORT : Number(digits);
  if (host === undefined || port < 1 || port > 65_535) {
    throw new SealwireError('OPTIONS_INVALID', `'${address}' is not HOST:PORT, dns:HOST or unix:PATH`);
  }
  return { host, place: { host, port } };
}

/** @returns the proxy that grpc-js goes through to this endpoint, if any */
export function findProxy({ host, place }: Endpoint, env: NodeJS.ProcessEnv = process.env): Proxy | undefined {
  const variable = PROXY_VARIABLES.find((name) => env[name]);
  if (variable === undefined || 'path' in place || isExempt(host, env)) return undefined;
  const url = URL.canParse(env[variable] as string) ? new URL(env[variable] as string) : undefined;
  return url?.protocol === 'http:' ? { url, variable } : undefined;
}

function isExempt(host: string, env: NodeJS.ProcessEnv): boolean {
  const list = env['no_grpc_proxy'] || env['no_proxy'] || '';
  return list.split(',').some((entry) => {
    const [, network, bits] = /^([\d.]+)\/(\d{1,2})$/.exec(entry) ?? [];
    if (network === undefined || !isIPv4(network) || Number(bits) > 32) return entry !== '' && host.endsWith(entry);
    const block = new BlockList();
    block.addSubnet(network, Number(bits));
    return isIPv4(host) && block.check(host);
  });
}

/**
 * @returns a connected socket, through the proxy if there is one
 * @throws SealwireError `SCHEMA_UNAVAILABLE`
 */
export function openSocket(endpoint: Endpoint, timeoutMs: number): Promise<Socket> {
  const proxy = findProxy(endpoint);
  return proxy === undefined ? connectTo(endpoint, timeoutMs) : connectThrough(proxy, endpoint, timeoutMs);
}

async function connectTo({ place }: Endpoint, timeoutMs: number): Promise<Socket> {
  const socket = connect({ ...place, timeout: timeoutMs });
  socket.once('timeout', () => socket.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })));
  try {
    await once(socket, 'connect');
    return socket.setTimeout(0);
  } catch (error) {
    const name = 'path' in place ? place.path : `${place.host}:${place.port}`;
    throw unreachable(`${name}: ${codeOf(error)}; does the service listen there?`);
  }
}

/** As `curl` does it: grpc-js takes the same variables. */
async function connectThrough({ url, variable }: Proxy, endpoint: Endpoint, timeoutMs: number): Promise<Socket> {
  const { host, port } = endpoint.place as { readonly host: string; readonly port: number };
  const path = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const asked = request({
    method: 'CONNECT',
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 80 : url.port,
    path,
    headers: { Host: path },
    timeout: timeoutMs,
    ...(url.username !== '' && { auth: decodeURIComponent(`${url.username}:${url.password}`) }),
  });
  asked.once('timeout', () => asked.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })));
  const answered = once(asked, 'connect');
  asked.end();
  const advice = `unset ${variable} or set no_grpc_proxy=${host} to go there directly`;
  const [{ statusCode }, socket] = (await answered.catch((error: unknown) => {
    throw unreachable(`the proxy of ${variable}, ${url.host}: ${codeOf(error)}; ${advice}`);
  })) as [IncomingMessage, Socket];
  if (statusCode === 200) return socket;
  socket.destroy();
  throw unreachable(`the proxy of ${variable}, ${url.host}, answers ${statusCode} for ${path}; ${advice}`);
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'cannot be reached';
}

function unreachable(why: string): SealwireError {
  return new SealwireError('SCHEMA_UNAVAILABLE', why);
}
