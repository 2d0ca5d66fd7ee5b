/** The checks of `sealwire doctor` below calls: the listener, TLS, and the clocks. */
import { connect, isIP } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type ChannelCredentials, Client, Metadata, status } from '@grpc/grpc-js';
import { SealwireError } from '../../errors.js';
import { isUnavailable } from '../target/call-failure.js';
import { readPemFile } from '../target/credentials.js';
import type { TargetFlags } from '../target/target-options.js';

/** Time limit of each check, in ms. */
export const DEADLINE_MS = 5_000;
/** A TLS server answers a greeting at once; others may say nothing. */
const PROBE_MS = 1_000;
/** Tokens are accepted from 60 s ahead to 300 s back: a difference over half of the shorter side is reported. */
const MAX_CLOCK_SECONDS = 30;

/** Why a check was not made. */
export class Skip extends Error {}

/** @throws SealwireError `OPTIONS_INVALID` for anything but `host:port` */
export function splitAddress(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  const port = Number(address.slice(colon + 1));
  if (colon < 1 || address.includes('/') || !Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new SealwireError('OPTIONS_INVALID', `'${address}' is not HOST:PORT`);
  }
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port };
}

/** Whether somebody listens. @throws SealwireError `SCHEMA_UNAVAILABLE` */
export async function reach(address: string): Promise<[string, boolean]> {
  const { host, port } = splitAddress(address);
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

/**
 * A handshake as the flags say; without TLS flags, checks that the service does not expect one.
 *
 * @throws SealwireError `SCHEMA_UNAVAILABLE`, `OPTIONS_INVALID`, and {@link Skip}
 */
export async function checkTls(
  address: string,
  { tls, tlsCa, tlsCert, tlsKey }: TargetFlags,
): Promise<[string, undefined]> {
  if (tls !== true && tlsCa === undefined && tlsCert === undefined) {
    if (await speaksTls(address)) {
      throw new SealwireError(
        'OPTIONS_INVALID',
        'the service speaks TLS: give --tls, or --tls-ca FILE for a CA of its own',
      );
    }
    throw new Skip('plain text, as asked; --tls or --tls-ca FILE checks TLS');
  }
  const { host, port } = splitAddress(address);
  const read = (path: string | undefined) => (path === undefined ? undefined : readPemFile(path));
  const options = {
    host,
    port,
    ca: read(tlsCa),
    cert: read(tlsCert),
    key: read(tlsKey),
    ALPNProtocols: ['h2'],
    ...(isIP(host) === 0 && { servername: host }),
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
      fail(new SealwireError('SCHEMA_UNAVAILABLE', `TLS: ${code ?? reason ?? 'no handshake'}; ${adviseTls(code)}`)),
    );
  });
}

/** What to do about a handshake that failed. */
function adviseTls(code = ''): string {
  if (/^ERR_SSL_(?:WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)$|^EPROTO$/.test(code)) {
    return 'does the service speak TLS? If not, leave the TLS flags out';
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return 'the certificate is for other names; use one of them';
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID')
    return 'the certificate has expired or is not valid yet';
  return 'give the CA with --tls-ca';
}

/** Whether a handshake completes, with any certificate. */
async function speaksTls(address: string): Promise<boolean> {
  const { host, port } = splitAddress(address);
  return new Promise((done) => {
    const options = { host, port, ALPNProtocols: ['h2'], rejectUnauthorized: false, timeout: PROBE_MS };
    const socket = connectTls(options, () => end(true));
    const end = (found: boolean) => {
      done(found);
      socket.destroy();
    };
    socket.once('timeout', () => end(false));
    socket.once('error', () => end(false));
    socket.once('close', () => end(false));
  });
}

/**
 * By the `date` header of any answer; HTTP dates have whole seconds.
 * @throws SealwireError `TOKEN_STALE`, and {@link Skip}
 */
export async function compareClocks(address: string, credentials: ChannelCredentials): Promise<[string, undefined]> {
  const client = new Client(address, credentials);
  try {
    const raw = (value: Buffer) => value;
    const begun = Date.now();
    const date = await new Promise<string | undefined>((done, fail) => {
      const call = client.makeUnaryRequest(
        '/grpc.health.v1.Health/Check',
        raw,
        raw,
        Buffer.alloc(0),
        new Metadata(),
        { deadline: begun + DEADLINE_MS },
        (error) => {
          if (error !== null && isUnavailable(error)) fail(new Skip(`no answer (${status[error.code]})`));
          // An answer without headers of its own carries everything in its trailers.
          done(dateOf(error?.metadata));
        },
      );
      call.once('metadata', (metadata) => done(dateOf(metadata)));
    });
    if (date === undefined) throw new Skip('the service sends no date');
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
