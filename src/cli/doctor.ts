/** `sealwire doctor`: what works of a service, seen from here, and what to do about the rest. */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type ChannelCredentials, Client, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { errorDetails } from '../client/client.js';
import { createKeySetFetcher } from '../client/key-set-fetcher.js';
import { MethodClient } from '../client/method-client.js';
import { type ReflectedSchema, readSchema } from '../client/read-schema.js';
import { SealwireError } from '../errors.js';
import { verifyKeySet } from '../keys/key-set.js';
import { type JsonMethod, JsonSchema } from '../schema/json-messages.js';
import { recipientsOf } from '../schema/walk.js';
import { describeFailure } from './call-failure.js';
import { ExitCode, messageOf } from './exit.js';
import { formatTable, paint, print, printJson } from './output.js';
import { openKeySource, readCredentials, readRoots } from './target.js';
import type { KeyFlags, TargetFlags } from './target-options.js';

/** Flags of the command. */
export interface DoctorFlags extends Omit<TargetFlags, 'address'>, KeyFlags {
  readonly json?: boolean;
}

interface Check {
  readonly check: string;
  /** `skip`: not looked at, and why. */
  readonly result: 'ok' | 'bad' | 'skip';
  readonly detail: string;
}

const DEADLINE_MS = 5_000;
/** Tokens are accepted from 60 s ahead to 300 s back: half of the shorter side is a warning. */
const MAX_CLOCK_SECONDS = 30;

/** Exit code 1 when something is bad, 3 when the service cannot be reached. */
export async function doctor(host: string, flags: DoctorFlags, version: string): Promise<void> {
  const target = { ...flags, address: host };
  // Wrong use is told as such, and is no finding about the service.
  split(host);
  const credentials = readCredentials(target);
  const checks: Check[] = [
    { check: 'versions', result: 'ok', detail: `sealwire ${version}, Node ${process.versions.node}` },
  ];
  const run = async <T>(check: string, work: () => Promise<[string, T]>): Promise<T | undefined> => {
    try {
      const [detail, value] = await work();
      checks.push({ check, result: 'ok', detail });
      return value;
    } catch (error) {
      const isSkip = error instanceof Skip;
      checks.push({ check, result: isSkip ? 'skip' : 'bad', detail: messageOf(error) });
      return undefined;
    }
  };
  const reached = await run('reachability', () => reach(host));
  if (reached === true) {
    await run('TLS', () => checkTls(host, target));
    await run('clock', () => compareClocks(host, credentials));
    const schema = await run('reflection', () => reflect(host, credentials));
    await run('key set', () => checkKeySet(target, credentials));
    await run('round trip', () => roundTrip(target, credentials, schema));
  }
  const isGood = checks.every(({ result }) => result !== 'bad');
  if (flags.json === true) await printJson({ host, ok: isGood, checks });
  else await print(format(checks));
  if (reached !== true) process.exitCode = ExitCode.UNAVAILABLE;
  else process.exitCode = isGood ? ExitCode.DONE : ExitCode.NEGATIVE;
}

/** Why a check was not made. */
class Skip extends Error {}

function split(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  const port = Number(address.slice(colon + 1));
  if (colon < 1 || !Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new SealwireError('OPTIONS_INVALID', `'${address}' is not HOST:PORT`);
  }
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port };
}

async function reach(address: string): Promise<[string, boolean]> {
  const { host, port } = split(address);
  const begun = performance.now();
  const found = await new Promise<string>((done, fail) => {
    const socket = connect({ host, port, timeout: DEADLINE_MS }, () => {
      done(socket.remoteAddress ?? host);
      socket.destroy();
    });
    socket.once('timeout', () => socket.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })));
    socket.once('error', ({ code }: NodeJS.ErrnoException) =>
      fail(
        new SealwireError(
          'SCHEMA_UNAVAILABLE',
          `${address}: ${code ?? 'cannot be reached'}; does the service listen there?`,
        ),
      ),
    );
  });
  return [`${found}:${port} answers in ${Math.ceil(performance.now() - begun)} ms`, true];
}

async function checkTls(address: string, { tls, tlsCa, tlsCert, tlsKey }: TargetFlags): Promise<[string, undefined]> {
  if (tls !== true && tlsCa === undefined && tlsCert === undefined) {
    throw new Skip('plain text, as asked; --tls or --tls-ca FILE checks TLS');
  }
  const { host, port } = split(address);
  const read = (path: string | undefined) => (path === undefined ? undefined : readFileSync(path));
  const options = {
    host,
    port,
    ca: read(tlsCa),
    cert: read(tlsCert),
    key: read(tlsKey),
    ALPNProtocols: ['h2'],
    servername: host,
  };
  return new Promise((done, fail) => {
    const socket = connectTls({ ...options, timeout: DEADLINE_MS }, () => {
      const { valid_to: end } = socket.getPeerCertificate();
      const days = Math.floor((Date.parse(end) - Date.now()) / 86_400_000);
      done([
        `${socket.getProtocol()}, ${socket.alpnProtocol || 'no ALPN'}, certificate good for ${days} days`,
        undefined,
      ]);
      socket.destroy();
    });
    socket.once('timeout', () => socket.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })));
    socket.once('error', ({ code, reason }: NodeJS.ErrnoException & { reason?: string }) =>
      fail(
        new SealwireError('SCHEMA_UNAVAILABLE', `TLS: ${code ?? reason ?? 'no handshake'}; give the CA with --tls-ca`),
      ),
    );
  });
}

/** By the `date` header of any answer; HTTP dates have whole seconds. */
async function compareClocks(address: string, credentials: ChannelCredentials): Promise<[string, undefined]> {
  const client = new Client(address, credentials);
  try {
    const raw = (value: Buffer) => value;
    const begun = Date.now();
    const date = await new Promise<string | undefined>((done) => {
      const call = client.makeUnaryRequest(
        '/grpc.health.v1.Health/Check',
        raw,
        raw,
        Buffer.alloc(0),
        new Metadata(),
        { deadline: begun + DEADLINE_MS },
        (error) => {
          // An answer without headers of its own has all in its trailers.
          done(dateOf(error?.metadata));
        },
      );
      call.once('metadata', (metadata) => done(dateOf(metadata)));
    });
    if (date === undefined) throw new Skip('the service tells no date');
    const off = clockDifference(Date.parse(date), begun, Date.now());
    const detail =
      off === 0
        ? 'the clocks agree to the second'
        : `the service is ${Math.abs(off)} s ${off > 0 ? 'ahead' : 'behind'}`;
    if (Math.abs(off) > MAX_CLOCK_SECONDS)
      throw new SealwireError('TOKEN_STALE', `${detail}; set the clock that is wrong`);
    return [detail, undefined];
  } finally {
    client.close();
  }
}

/**
 * How far a service's clock is off at least. An HTTP date is cut to its second, and when within the answer's time it was made is unknown.
 *
 * @param date of the answer; it and the other two in ms since 1970
 * @param begun when the question was sent, by our clock
 * @param ended when the answer was here
 * @returns whole seconds; above 0 the service is ahead
 */
export function clockDifference(date: number, begun: number, ended: number): number {
  if (date > ended) return Math.round((date - ended) / 1_000);
  const latest = date + 999;
  return latest < begun ? -Math.round((begun - latest) / 1_000) : 0;
}

function dateOf(metadata: Metadata | undefined): string | undefined {
  const [date] = metadata?.get('date') ?? [];
  return typeof date === 'string' ? date : undefined;
}

async function reflect(address: string, credentials: ChannelCredentials): Promise<[string, ReflectedSchema]> {
  const schema = await readSchema({ address, credentials, deadlineMs: DEADLINE_MS });
  return [`${schema.version}: ${schema.services.join(', ')}`, schema];
}

async function checkKeySet(
  target: TargetFlags & KeyFlags,
  credentials: ChannelCredentials,
): Promise<[string, undefined]> {
  if (target.root === undefined) throw new Skip('its signature cannot be checked without --root THUMBPRINT');
  const fetcher = createKeySetFetcher({ address: target.address, credentials, deadlineMs: DEADLINE_MS });
  try {
    const { text } = await fetcher.fetch('');
    const set = await verifyKeySet(text, {
      roots: await readRoots(target.root),
      issuer: target.name,
      nowMs: Date.now(),
    });
    const end = new Date(set.expiresAt * 1_000).toISOString();
    return [`signed under the pinned root; version ${set.version}, ${set.keys.length} keys, until ${end}`, undefined];
  } catch (error) {
    throw error instanceof SealwireError ? new SealwireError(error.code, `${error.code}: ${error.message}`) : error;
  } finally {
    fetcher.close();
  }
}

/** A call that changes nothing, whose request has nothing sealed and whose reply would. */
async function roundTrip(
  target: TargetFlags & KeyFlags,
  credentials: ChannelCredentials,
  schema: ReflectedSchema | undefined,
): Promise<[string, undefined]> {
  if (schema === undefined) throw new Skip('needs the schema');
  if (target.root === undefined && target.keys === undefined) throw new Skip('needs --root or --keys');
  const method = new JsonSchema(schema.descriptors).methods().find(isReplyOnly);
  if (method === undefined) throw new Skip('no method without side effects has a sealed reply and a plain request');
  const keys = await openKeySource(target);
  try {
    // What is wrong with the keys is told as such.
    await keys.current('');
    const client = new MethodClient(target.address, credentials, method, { keys });
    try {
      const first = client.exchange(nothing(), { deadline: Date.now() + DEADLINE_MS });
      const { done } = await first.next();
      return [`${method.path.slice(1)}: ${done === true ? 'no reply' : 'a reply was opened'}`, undefined];
    } catch (error) {
      return [readVerdict(method, error as ServiceError), undefined];
    } finally {
      client.close();
    }
  } finally {
    keys.close();
  }
}

function isReplyOnly({ plan }: JsonMethod): boolean {
  const { idempotency, request, response, requestStream, responseStream } = plan;
  const isPlain = request === undefined && !requestStream && !responseStream && idempotency === 'no-side-effects';
  return isPlain && response !== undefined && recipientsOf(response).includes('');
}

async function* nothing(): AsyncGenerator<object> {}

/** Answers that something else than the handler may have given, before the reply token was looked at. */
const UNPROVEN: ReadonlySet<status> = new Set([
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
  status.CANCELLED,
  status.UNIMPLEMENTED,
  status.UNAUTHENTICATED,
  status.PERMISSION_DENIED,
  status.RESOURCE_EXHAUSTED,
  status.INTERNAL,
  status.UNKNOWN,
]);

/** The handler's own refusal of an empty request shows that the reply token was opened. */
function readVerdict(method: JsonMethod, error: ServiceError): string {
  const ours = errorDetails(error) !== undefined || typeof error.code !== 'number' || error.code === status.DATA_LOSS;
  if (ours || UNPROVEN.has(error.code)) {
    throw new SealwireError('SCHEMA_UNAVAILABLE', `${method.path.slice(1)}: ${describeFailure(error)}`);
  }
  return `${method.path.slice(1)}: the reply token was accepted (the handler answered ${status[error.code]})`;
}

function format(checks: readonly Check[]): string {
  const colours = { ok: 'green', bad: 'red', skip: 'yellow' } as const;
  const lines = formatTable(checks, [
    { title: 'check', value: ({ check }) => check },
    { title: 'result', value: ({ result }) => result },
    { title: 'detail', value: ({ detail }) => detail },
  ]).split('\n');
  return lines
    .map((line, index) => {
      const result = checks[index - 1]?.result;
      return result === undefined ? line : line.replace(result, paint(result, colours[result]));
    })
    .join('\n');
}
