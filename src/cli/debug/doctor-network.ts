/** The checks of `sealwire doctor` below calls: the listener, TLS, and the clocks. */
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { isIP } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { Client, type Metadata, status } from '@grpc/grpc-js';
import { SealwireError } from '../../errors.js';
import { isUnavailable } from '../target/call-failure.js';
import { readPemFile, type Target } from '../target/credentials.js';
import type { TargetFlags } from '../target/target-options.js';
import { type Endpoint, findProxy, openSocket } from './route.js';

/** Time limit of each check, in ms. */
export const DEADLINE_MS = 5_000;
/** A TLS server answers a greeting at once; others may say nothing. */
const PROBE_MS = 1_000;
/** Tokens are accepted from 60 s ahead to 300 s back: a difference over half of the shorter side is reported. */
const MAX_CLOCK_SECONDS = 30;

/** Days before the end of a certificate from which it is a finding. */
const MIN_CERTIFICATE_DAYS = 14;

/** Why a check was not made. */
export class Skip extends Error {}
/** What works today, and soon will not. */
export class Warning extends Error {}

/** Whether somebody listens, and how calls get there. @throws SealwireError `SCHEMA_UNAVAILABLE` */
export async function reach(endpoint: Endpoint): Promise<[string, boolean]> {
  const begun = performance.now();
  const socket = await openSocket(endpoint, DEADLINE_MS);
  const { remoteAddress, remotePort } = socket;
  socket.destroy();
  const proxy = findProxy(endpoint);
  const took = `in ${Math.ceil(performance.now() - begun)} ms`;
  if (proxy !== undefined) return [`through the proxy of ${proxy.variable}, ${proxy.url.host}, ${took}`, true];
  const name = 'path' in endpoint.place ? endpoint.place.path : `${remoteAddress}:${remotePort}`;
  return [`${name} answers ${took}`, true];
}

/**
 * A handshake as the flags say, and the first words of the service; without TLS flags, checks that the service does
 * not expect one.
 *
 * @throws SealwireError `SCHEMA_UNAVAILABLE`, `OPTIONS_INVALID`, and {@link Skip}, {@link Warning}
 */
export async function checkTls(endpoint: Endpoint, flags: TargetFlags): Promise<[string, undefined]> {
  const { tls, tlsCa, tlsCert, tlsKey, authority = endpoint.host } = flags;
  if (tls !== true && tlsCa === undefined && tlsCert === undefined) {
    if (await speaksTls(endpoint)) {
      throw new SealwireError(
        'OPTIONS_INVALID',
        'the service speaks TLS: give --tls, or --tls-ca FILE for a CA of its own',
      );
    }
    throw new Skip('plain text, as asked; --tls or --tls-ca FILE checks TLS');
  }
  const read = (path: string | undefined) => (path === undefined ? undefined : readPemFile(path));
  const host = authority.replace(/:\d+$/, '');
  const socket = connectTls({
    socket: await openSocket(endpoint, DEADLINE_MS),
    host,
    ca: read(tlsCa),
    cert: read(tlsCert),
    key: read(tlsKey),
    ALPNProtocols: ['h2'],
    ...(isIP(host) === 0 && { servername: host }),
  });
  socket.setTimeout(DEADLINE_MS, () => socket.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })));
  await once(socket, 'secureConnect').catch((error: TlsError) => {
    throw new SealwireError(
      'SCHEMA_UNAVAILABLE',
      `TLS: ${error.code ?? error.reason ?? 'no handshake'}; ${adviseTls(error.code)}`,
    );
  });
  const days = Math.floor((Date.parse(socket.getPeerCertificate().valid_to) - Date.now()) / 86_400_000);
  const facts = `${socket.getProtocol()}, ${socket.alpnProtocol || 'no ALPN'}, certificate good for ${days} days`;
  await expectSettings(socket, tlsCert !== undefined);
  if (days < MIN_CERTIFICATE_DAYS) throw new Warning(`${facts}: put another in its place`);
  return [facts, undefined];
}

type TlsError = NodeJS.ErrnoException & { readonly reason?: string };

/** With TLS 1.3 a handshake is over for this side before the service has looked at the certificate of the client. */
async function expectSettings(socket: TLSSocket, hasCertificate: boolean): Promise<void> {
  const session = connectHttp2('https://localhost', { createConnection: () => socket });
  try {
    await new Promise<void>((resolve, reject) => {
      session.once('remoteSettings', () => resolve());
      // An alert of the service reaches one of them, and a mere end the other.
      for (const end of [session, socket]) end.on('error', reject).on('close', () => reject(new Error()));
    });
  } catch (error) {
    const { code = 'closed' } = error as TlsError;
    const why = code.startsWith('ERR_HTTP2')
      ? 'the service speaks no HTTP/2'
      : hasCertificate
        ? 'the service does not take the certificate of --tls-cert'
        : 'the service wants a client certificate: give --tls-cert and --tls-key';
    throw new SealwireError('SCHEMA_UNAVAILABLE', `TLS: the service ends the connection (${code}); ${why}`);
  } finally {
    session.destroy();
    socket.destroy();
  }
}

/** What to do about a handshake that failed. */
function adviseTls(code = ''): string {
  if (/^ERR_SSL_(?:WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)$|^EPROTO$/.test(code)) {
    return 'does the service speak TLS? If not, leave the TLS flags out';
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return 'the certificate is for other names; use one of them in the address or with --authority';
  }
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID')
    return 'the certificate has expired or is not valid yet';
  if (/ALERT|RESET/.test(code)) return 'the service refused it: does it want a client certificate (--tls-cert)?';
  return 'give the CA with --tls-ca';
}

/** Whether a handshake completes, with any certificate. */
async function speaksTls(endpoint: Endpoint): Promise<boolean> {
  const options = { ALPNProtocols: ['h2'], rejectUnauthorized: false };
  const socket = connectTls({ socket: await openSocket(endpoint, DEADLINE_MS), ...options });
  return new Promise((done) => {
    const end = (found: boolean) => {
      done(found);
      socket.destroy();
    };
    socket.once('secureConnect', () => end(true));
    socket.setTimeout(PROBE_MS, () => end(false));
    socket.once('error', () => end(false));
    socket.once('close', () => end(false));
  });
}

/** What a health check brought. */
export interface HealthAnswer {
  /** Its `date` header. */
  readonly date: string | undefined;
  /** Undefined when it was refused. */
  readonly message: Buffer | undefined;
  /** Name of the status code. */
  readonly code: string;
}

/** @throws {@link Skip} when there is no answer */
export async function askHealth(target: Target): Promise<HealthAnswer> {
  const client = new Client(target.address, target.credentials, target.channelOptions);
  try {
    const raw = (value: Buffer) => value;
    return await new Promise<HealthAnswer>((done, fail) => {
      let date: string | undefined;
      const call = client.makeUnaryRequest(
        '/grpc.health.v1.Health/Check',
        raw,
        raw,
        Buffer.alloc(0),
        target.metadata,
        { deadline: Date.now() + DEADLINE_MS },
        (error, message) => {
          if (error !== null && isUnavailable(error)) fail(new Skip(`no answer (${status[error.code]})`));
          // An answer without headers of its own carries everything in its trailers.
          done({ date: date ?? dateOf(error?.metadata), message, code: status[error?.code ?? status.OK] });
        },
      );
      call.once('metadata', (metadata) => {
        date = dateOf(metadata);
      });
    });
  } finally {
    client.close();
  }
}

/** `HealthCheckResponse` of grpc.health.v1: `status` is field 1, and SERVING its value 1. */
const SERVING = Buffer.from([8, 1]);

/** @throws SealwireError `SCHEMA_UNAVAILABLE` for a service that takes no calls, and {@link Skip} */
export function judgeHealth({ message, code }: HealthAnswer): [string, undefined] {
  if (message === undefined) throw new Skip(`the service has no health check (${code})`);
  if (message.equals(SERVING)) return ['SERVING', undefined];
  const why = 'its log and sealwire_serving of its metrics say what it is without';
  throw new SealwireError('SCHEMA_UNAVAILABLE', `NOT_SERVING: the service takes no calls; ${why}`);
}

/**
 * By the `date` header of any answer; HTTP dates have whole seconds.
 * @param begun when it was asked for, ms since 1970
 * @throws SealwireError `TOKEN_STALE`, and {@link Skip}
 */
export function compareClocks({ date }: HealthAnswer, begun: number, ended: number): [string, undefined] {
  if (date === undefined) throw new Skip('the service sends no date');
  const off = clockDifference(Date.parse(date), begun, ended);
  const detail =
    off === 0 ? 'the clocks agree to the second' : `the service is ${Math.abs(off)} s ${off > 0 ? 'ahead' : 'behind'}`;
  if (Math.abs(off) > MAX_CLOCK_SECONDS)
    throw new SealwireError('TOKEN_STALE', `${detail}; set the clock that is wrong`);
  return [detail, undefined];
}

/**
 * The least that a service's clock is off. An HTTP date is cut to whole seconds, and made somewhere within the call.
 *
 * @param date of the answer; it and the other two in ms since 1970
 * @param begun when the question was sent, by our clock
 * @param ended when the answer arrived
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
