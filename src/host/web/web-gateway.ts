/**
 * The web gateway: takes Connect and gRPC-Web from browsers and passes the calls on to the service in this process. It
 * has no key and decodes no message; what is sealed stays so.
 */
import { createServer, type Server as HttpServer } from 'node:http';
import { createSecureServer, type Http2SecureServer, type Http2Session } from 'node:http2';
import type { Socket } from 'node:net';
import { Code, ConnectError } from '@connectrpc/connect';
import type { Server as GrpcServer } from '@grpc/grpc-js';
import type { Certificates } from '../certificates.js';
import type { AppLogger } from '../host-app.js';
import { createNameCheck, listen } from '../http-listen.js';
import type { WebResponse } from './answers.js';
import { CallLines, requestIdOf, type WebCallLine } from './call-lines.js';
import { Origins } from './origins.js';
import { OwnConnections, type WebConnection, type WebPeer } from './own-connections.js';
import { Pages } from './pages.js';
import { passCall, refuse, type WebCallParts, type WebRequest } from './web-call.js';
import { CONTENT_TYPES, formOf } from './web-forms.js';

/** Options of {@link WebGateway}. */
export interface WebGatewayOptions {
  /** Must be given its limits of receiving after the gateway is made. */
  readonly server: GrpcServer;
  /** Full names of the services that web clients may call. */
  readonly services: readonly string[];
  /** Origins of pages that may call, besides the gateway's own. */
  readonly origins: readonly string[];
  /** Default: plain text. */
  readonly certificates?: Certificates | undefined;
  /** Folder of static files. Default: none. */
  readonly pages?: string | undefined;
  /** Answers `GET /insight` on loopback. Default: nothing does. */
  readonly insight?: ((requestId: string | undefined, calls: readonly WebCallLine[]) => Promise<object>) | undefined;
  readonly logger: AppLogger;
}

/** As gRPC's have it. */
const MAX_HEADER_BYTES = 65_536;
const MAX_STREAMS = 100;
/** How long a request may take to come, in ms; as long as a message of gRPC may. */
const REQUEST_MS = 30_000;
const IDLE_MS = 60_000;
/** How long answers may still flow when everything has ended, in ms. */
const FLUSH_MS = 1_000;
const METHOD_PATH = /^\/([\w.]+)\/\w+$/;

export class WebGateway {
  readonly #options: WebGatewayOptions;
  readonly #own: OwnConnections;
  readonly #origins: Origins;
  readonly #pages: Pages | undefined;
  readonly #lines: CallLines;
  readonly #server: HttpServer | Http2SecureServer;
  readonly #sockets = new Set<Socket>();
  /** Answers that are being written. */
  readonly #open = new Set<WebResponse>();
  #isNamed = createNameCheck('');
  #isStopping = false;

  constructor(options: WebGatewayOptions) {
    this.#options = options;
    this.#own = new OwnConnections(options.server);
    this.#origins = new Origins(options.origins);
    this.#pages = options.pages === undefined ? undefined : new Pages(options.pages);
    this.#lines = new CallLines(options.logger);
    this.#server = createWebServer(options.certificates, (request, response) => this.#answer(request, response));
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('session', (session: Http2Session) => {
      const isUsed = (response: WebResponse) => 'stream' in response && response.stream?.session === session;
      session.setTimeout(IDLE_MS, () => {
        if (![...this.#open].some(isUsed)) session.close();
      });
    });
  }

  /** @returns `HOST:PORT` as bound @throws Error with code `EADDRINUSE` and the like */
  async listen(address: string): Promise<string> {
    this.#isNamed = createNameCheck(address);
    await this.#own.listen();
    return listen(this.#server, address);
  }

  /** Takes no more calls; those under way go on. */
  drain(): void {
    this.#isStopping = true;
    this.#server.close();
  }

  /** Closes all connections, when what is answered has gone out. */
  async close(): Promise<void> {
    this.drain();
    const deadline = new Promise<void>((resolve) => setTimeout(resolve, FLUSH_MS).unref());
    const written = [...this.#open].map((response) => new Promise((resolve) => response.once('close', resolve)));
    await Promise.race([Promise.all(written), deadline]);
    for (const socket of this.#sockets) socket.destroy();
    this.#own.close();
  }

  #answer(request: WebRequest, response: WebResponse): void {
    this.#open.add(response);
    response.once('close', () => this.#open.delete(response));
    // A client that goes away is no error.
    request.on('error', () => {});
    response.on('error', () => {});
    const [path = ''] = (request.url ?? '').split('?', 1);
    const service = METHOD_PATH.exec(path)?.[1];
    if (this.#isStopping && !('stream' in response)) response.setHeader('connection', 'close');
    if (!this.#isNamed(hostOf(request))) say(response, 421, 'not a name of this service');
    else if (service !== undefined && this.#options.services.includes(service)) this.#takeCall(path, request, response);
    else if (request.method !== 'GET' && request.method !== 'HEAD') say(response, 404, 'no such method');
    else if (path === '/insight' && this.#options.insight !== undefined) this.#showInsight(request, response);
    else if (!this.#pages?.serve(path, request, response)) say(response, 404, 'no such page');
  }

  #takeCall(path: string, request: WebRequest, response: WebResponse): void {
    response.setHeader('cache-control', 'no-store');
    response.setHeader('x-content-type-options', 'nosniff');
    const taken = formOf(request.headers['content-type']);
    if (!this.#origins.admit(request, response)) {
      say(response, 403, 'pages of this origin may not call: the option web.origins lists those that may');
    } else if (request.method === 'OPTIONS') this.#origins.preflight(request, response);
    else if (request.method !== 'POST') {
      response.setHeader('allow', 'POST');
      say(response, 405, 'methods are called by POST');
    } else if (taken === undefined) say(response, 415, `content types that are taken: ${CONTENT_TYPES}`);
    else {
      const { form, refused } = taken;
      const error = this.#isStopping ? new ConnectError('the service is stopping', Code.Unavailable) : refused;
      this.#pass({ path, request, response, form }, error).catch(() => response.destroy());
    }
  }

  async #pass(call: Omit<WebCallParts, 'session'>, refused: ConnectError | undefined): Promise<void> {
    const { request, response, form, path } = call;
    const startedAt = performance.now();
    const { connection, peer } = connectionOf(request);
    const outcome =
      refused === undefined
        ? await passCall({ ...call, session: this.#own.sessionOf(connection, peer) })
        : refuse(request, form.createAnswer(response, String(request.headers['content-type'])), refused);
    const requestId = requestIdOf(request.headers['x-request-id']);
    this.#lines.add({
      method: path,
      form: form.name,
      ...outcome,
      ms: Math.round(performance.now() - startedAt),
      client: peer.address,
      ...(requestId !== undefined && { requestId }),
    });
  }

  #showInsight(request: WebRequest, response: WebResponse): void {
    const asked = new URLSearchParams((request.url ?? '').split('?')[1]).get('request') ?? undefined;
    const requestId = requestIdOf(asked);
    const calls = requestId === undefined ? [] : this.#lines.of(requestId);
    this.#options.insight?.(requestId, calls).then(
      (seen) => {
        response.setHeader('content-type', 'application/json');
        response.setHeader('cache-control', 'no-store');
        response.setHeader('x-content-type-options', 'nosniff');
        response.writeHead(200);
        response.end(JSON.stringify(seen));
      },
      () => say(response, 500, 'not to be read now'),
    );
  }
}

type Handler = (request: WebRequest, response: WebResponse) => void;

function createWebServer(certificates: Certificates | undefined, handler: Handler): HttpServer | Http2SecureServer {
  const limits = { headersTimeout: REQUEST_MS, requestTimeout: REQUEST_MS, keepAliveTimeout: IDLE_MS };
  if (certificates === undefined) return createServer({ ...limits, maxHeaderSize: MAX_HEADER_BYTES }, handler);
  const settings = { maxConcurrentStreams: MAX_STREAMS, maxHeaderListSize: MAX_HEADER_BYTES };
  const server = createSecureServer({ ...limits, allowHTTP1: true, settings }, handler);
  certificates.follow(({ certificate, privateKey }) => server.setSecureContext({ cert: certificate, key: privateKey }));
  return server;
}

/** A connection, and who is at its other end. */
function connectionOf(request: WebRequest): { readonly connection: WebConnection; readonly peer: WebPeer } {
  const connection = 'stream' in request ? request.stream.session : request.socket;
  if (connection === undefined) throw new ConnectError('the client has gone', Code.Canceled);
  const { remoteAddress = '', remotePort = 0 } = 'socket' in connection ? connection.socket : connection;
  return { connection, peer: { address: remoteAddress, port: remotePort } };
}

function hostOf(request: WebRequest): string | undefined {
  return 'authority' in request ? request.authority : request.headers.host;
}

function say(response: WebResponse, status: number, text: string): void {
  response.setHeader('content-type', 'text/plain; charset=utf-8');
  response.writeHead(status);
  response.end(`${text}\n`);
}
