/** TLS handshakes that a service refused: its callers see only that a connection was reset. */
import type { TLSSocket } from 'node:tls';
import type { Server } from '@grpc/grpc-js';
import { http2ServersOf } from '../../server/receive/receive-limits.js';
import type { AppLogger } from '../host-app.js';
import { LimitedLines } from './limited-lines.js';

/** `other`: mostly somebody who looks whether the port is open, or speaks no TLS. */
type Why = 'no certificate' | 'certificate' | 'other';

/** Counts refused handshakes, and logs those that are about a client's certificate. */
export class Handshakes {
  readonly #counts: Record<Why, number> = { 'no certificate': 0, certificate: 0, other: 0 };
  readonly #logger: AppLogger;
  readonly #lines: LimitedLines;

  /** @param server bound */
  constructor(server: Server, logger: AppLogger) {
    this.#logger = logger;
    this.#lines = new LimitedLines(logger, { level: 'info', message: 'a client was refused by its certificate' });
    for (const http2Server of http2ServersOf(server)) {
      http2Server.on('tlsClientError', (error, socket) => this.#refused(error, socket));
    }
  }

  /** @returns how many since the start, by why */
  refused(): [Why, number][] {
    return Object.entries(this.#counts) as [Why, number][];
  }

  /** Tells what was left out. */
  end(): void {
    this.#lines.end();
  }

  #refused({ code }: NodeJS.ErrnoException, { authorizationError, remoteAddress }: TLSSocket): void {
    // Node types it as an error; it is the name of one.
    const error = authorizationError ? String(authorizationError) : code;
    const isNone = code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE';
    const why: Why = isNone ? 'no certificate' : authorizationError ? 'certificate' : 'other';
    this.#counts[why]++;
    if (why === 'other') this.#logger.debug('a TLS handshake failed', { error, peer: remoteAddress });
    else this.#lines.say({ why }, { error, peer: remoteAddress });
  }
}
