/** Agreement sessions of a sender in Node: agreements come from the worker pool. */
import { LRUCache } from 'lru-cache';
import { checkRange } from '../profile/check-range.js';
import { resolveLimits } from '../profile/limits.js';
import { resolveBounds, type SessionBounds, Sessions } from '../profile/sessions.js';
import { deriveKey, deriveReplyKey, replyKid } from './agreement.js';
import { type AgreementPool, sharedPool } from './pool.js';
import type { RecipientKey } from './recipient.js';
import { ReplyKey } from './reply-key.js';
import { type AgreementSession, WrappingSession } from './session.js';

export type { SealParameters } from '../profile/seal-parameters.js';
export type { SessionBounds } from '../profile/sessions.js';
export type { AgreementSession } from './session.js';

/** Options of {@link SealingSessions}. */
export interface SealingSessionsOptions extends SessionBounds {
  /** Bytes of one inner message. Default 65,536. */
  readonly innerBytes?: number;
  /**
   * Recipient keys with agreements in memory; past it the least recently used is forgotten. Default 1,024; 1 to 65,536.
   */
  readonly maxRecipients?: number;
  /** Where agreements are made. Default: the process's shared pool. @internal */
  readonly pool?: Pick<AgreementPool, 'generate'>;
  /** Monotonic clock in ms. Default `performance.now`. */
  readonly monotonicNow?: () => number;
}

/** The agreement sessions of one process, one per recipient key. */
export class SealingSessions {
  readonly #sessions: Sessions<RecipientKey, AgreementSession>;

  /** @throws SealwireError `OPTIONS_INVALID` */
  constructor(options: SealingSessionsOptions = {}) {
    const { innerBytes, maxRecipients = 1_024, pool = sharedPool(), monotonicNow, ...bounds } = options;
    checkRange('maxRecipients', maxRecipients, [1, 65_536]);
    const limits = resolveLimits(innerBytes === undefined ? {} : { innerBytes });
    this.#sessions = new Sessions({
      bounds: resolveBounds(bounds),
      monotonicNow,
      store: new LRUCache({ max: maxRecipients }),
      async agree(key) {
        const { epk, z } = await pool.generate(key.publicKey, key.crv);
        const coordinates = [epk.x, epk.y].map((text) => Buffer.from(text, 'base64url')) as [Buffer, Buffer];
        const replyKey = new ReplyKey(deriveReplyKey(z, key.kid), replyKid(...coordinates));
        const keys = { kek: deriveKey(z, 'ECDH-ES+A256KW', 'A256GCM'), replyKey, epk };
        return (observe) => new WrappingSession(key.kid, keys, limits, observe);
      },
    });
  }

  /** As {@link Sessions.acquire}. @throws SealwireError `CLOSED`, `POOL_FULL`, `CUSTODY_FAILED` @internal */
  acquire(key: RecipientKey): AgreementSession | Promise<AgreementSession> {
    return this.#sessions.acquire(key);
  }

  /** As {@link Sessions.acquireNow}. @internal */
  acquireNow(key: RecipientKey): AgreementSession | undefined {
    return this.#sessions.acquireNow(key);
  }

  /** Agreements in memory that a next message may use. */
  get held(): number {
    return this.#sessions.held;
  }

  /** Forgets the agreements with a key, e.g. because it was rotated. */
  invalidate(kid: string): void {
    this.#sessions.invalidate(kid);
  }

  /** Forgets all agreements; nothing can be sealed afterwards. */
  close(): Promise<void> {
    return this.#sessions.close();
  }
}
