/** Agreement sessions of a sender: which agreement seals the next message, and preparing the one after it. */
import { LRUCache } from 'lru-cache';
import { SealwireError } from '../errors.js';
import { checkRange } from '../profile/check-range.js';
import { resolveLimits } from '../profile/limits.js';
import { deriveKey, deriveReplyKey, replyKid } from './agreement.js';
import { type AgreementPool, sharedPool } from './pool.js';
import type { RecipientKey } from './recipient.js';
import { ReplyKey } from './reply-key.js';
import { type AgreementSession, WrappingSession } from './session.js';

export type { SealParameters } from '../profile/seal-parameters.js';
export type { AgreementSession } from './session.js';

/** Options of {@link SealingSessions}. */
export interface SealingSessionsOptions {
  /** Tokens sealed with one agreement. Default 1,000; 1 (one agreement per message) to 10,000,000. */
  readonly maxTokens?: number;
  /** Age of an agreement in ms, monotonic. Default 60,000; 100 to 86,400,000. */
  readonly maxAgeMs?: number;
  /** Plaintext bytes sealed with one agreement. Default 67,108,864 (64 MiB); 65,536 to 2^40. */
  readonly maxBytes?: number;
  /** Bytes of one inner message. Default 65,536. */
  readonly innerBytes?: number;
  /**
   * Recipient keys with agreements in memory; past it the least recently used is forgotten. Default 1,024; 1 to 65,536.
   */
  readonly maxRecipients?: number;
  /**
   * A session goes on for so many times its bounds while the next one is not ready. Default 1: none does, and messages
   * wait. 1 to 10.
   */
  readonly overrun?: number;
  /** Where agreements are made. Default: the process's shared pool. @internal */
  readonly pool?: Pick<AgreementPool, 'generate'>;
  /** Monotonic clock in ms. Default `performance.now`. */
  readonly monotonicNow?: () => number;
}

/** The next session is prepared when this share of a bound is used up. */
const PREPARE_AT = 0.5;

interface Bounds {
  readonly maxTokens: number;
  readonly maxAgeMs: number;
  readonly maxBytes: number;
  readonly overrun: number;
}

/** One agreement with what has been sealed by it. */
class LiveSession {
  readonly session: AgreementSession;
  readonly #bounds: Bounds;
  readonly #now: () => number;
  readonly #createdAt: number;
  #startedAt: number | undefined;
  #tokens = 0;
  /** Messages it was given to; they may not have sealed yet. */
  #messages = 0;
  #bytes = 0;

  constructor(create: (observe: (bytes: number) => void) => AgreementSession, bounds: Bounds, now: () => number) {
    this.#bounds = bounds;
    this.#now = now;
    this.#createdAt = now();
    this.session = create((bytes) => {
      this.#tokens++;
      this.#bytes += bytes;
    });
  }

  /** The age counts from first use, so that a session prepared ahead is not old when its time comes. */
  use(): AgreementSession {
    this.#startedAt ??= this.#now();
    this.#messages++;
    return this.session;
  }

  /** The largest used share of any bound; 1 and more: the session is over. */
  get spent(): number {
    const { maxTokens, maxAgeMs, maxBytes } = this.#bounds;
    const age = this.#startedAt === undefined ? 0 : this.#now() - this.#startedAt;
    return Math.max(Math.max(this.#tokens, this.#messages) / maxTokens, age / maxAgeMs, this.#bytes / maxBytes);
  }

  /**
   * ms until it must be out of memory: its life after its first use or, not used at all, `maxAgeMs` after it was made.
   */
  get remainingMs(): number {
    const { maxAgeMs, overrun } = this.#bounds;
    const endsAt = this.#startedAt === undefined ? this.#createdAt + maxAgeMs : this.#startedAt + maxAgeMs * overrun;
    return endsAt - this.#now();
  }
}

interface Recipient {
  live?: LiveSession | undefined;
  /** The session after the live one, ready or in the making. */
  next?: LiveSession | Promise<LiveSession> | undefined;
}

/** The agreement sessions of one process, one per recipient key. */
export class SealingSessions {
  readonly #recipients: LRUCache<string, Recipient>;
  readonly #bounds: Bounds;
  readonly #innerBytes: number;
  readonly #pool: Pick<AgreementPool, 'generate'>;
  readonly #now: () => number;
  #closed = false;
  #sweeping: NodeJS.Timeout | undefined;

  /** @throws SealwireError `OPTIONS_INVALID` */
  constructor(options: SealingSessionsOptions = {}) {
    const {
      maxTokens = 1_000,
      maxAgeMs = 60_000,
      maxBytes = 64 * 2 ** 20,
      maxRecipients = 1_024,
      overrun = 1,
    } = options;
    checkRange('maxTokens', maxTokens, [1, 10_000_000]);
    checkRange('maxAgeMs', maxAgeMs, [100, 86_400_000]);
    checkRange('maxBytes', maxBytes, [65_536, 2 ** 40]);
    checkRange('maxRecipients', maxRecipients, [1, 65_536]);
    checkRange('overrun', overrun, [1, 10]);
    this.#bounds = { maxTokens, maxAgeMs, maxBytes, overrun };
    this.#recipients = new LRUCache({ max: maxRecipients });
    this.#innerBytes = resolveLimits(
      options.innerBytes === undefined ? {} : { innerBytes: options.innerBytes },
    ).innerBytes;
    this.#pool = options.pool ?? sharedPool();
    this.#now = options.monotonicNow ?? (() => performance.now());
  }

  /**
   * The session that seals the next message: all tokens of one message to one recipient use one session,
   * since sessions end between messages only.
   *
   * @param key whom to seal to
   * @returns the session at once when one is ready, else a promise
   * @throws SealwireError `CLOSED`, `POOL_FULL`, `CUSTODY_FAILED`
   * @internal
   */
  acquire(key: RecipientKey): AgreementSession | Promise<AgreementSession> {
    if (this.#closed) throw new SealwireError('CLOSED', 'the sessions are closed');
    return this.#take(key, this.#recipient(key.kid));
  }

  /**
   * As {@link acquire}, if a session is ready.
   *
   * @returns undefined when one has to be waited for, as always with one agreement per message; none is begun
   * @internal
   */
  acquireNow(key: RecipientKey): AgreementSession | undefined {
    const recipient = this.#recipients.get(key.kid);
    return recipient && this.#takeReady(key, recipient);
  }

  /** Agreements in memory that a next message may use. */
  get held(): number {
    let held = 0;
    for (const { live, next } of this.#recipients.values()) {
      held += Number(live !== undefined) + Number(next instanceof LiveSession);
    }
    return held;
  }

  /** Forgets the agreements with a key, e.g. because it was rotated. */
  invalidate(kid: string): void {
    this.#recipients.delete(kid);
  }

  /** Forgets all agreements; nothing can be sealed afterwards. */
  close(): Promise<void> {
    this.#closed = true;
    this.#recipients.clear();
    clearTimeout(this.#sweeping);
    this.#sweeping = undefined;
    return Promise.resolve();
  }

  #recipient(kid: string): Recipient {
    const known = this.#recipients.get(kid);
    if (known !== undefined) return known;
    const recipient: Recipient = {};
    this.#recipients.set(kid, recipient);
    return recipient;
  }

  #take(key: RecipientKey, recipient: Recipient): AgreementSession | Promise<AgreementSession> {
    return this.#takeReady(key, recipient) ?? this.#acquireLater(key, recipient);
  }

  #takeReady(key: RecipientKey, recipient: Recipient): AgreementSession | undefined {
    const bound = recipient.next instanceof LiveSession ? 1 : this.#bounds.overrun;
    if (recipient.live !== undefined && recipient.live.spent >= bound) recipient.live = undefined;
    if (recipient.live === undefined && recipient.next instanceof LiveSession) {
      // A timer may be late, and then this one has had its time unused.
      recipient.live = recipient.next.remainingMs > 0 ? recipient.next : undefined;
      recipient.next = undefined;
    }
    const { live } = recipient;
    if (live === undefined) return undefined;
    if (this.#bounds.maxTokens === 1) recipient.live = undefined;
    if (this.#bounds.maxTokens === 1 || live.spent >= PREPARE_AT) this.#prepare(key, recipient);
    return live.use();
  }

  async #acquireLater(key: RecipientKey, recipient: Recipient): Promise<AgreementSession> {
    // Per-message agreements cannot be shared by those who wait; others all take the one in the making.
    if (this.#bounds.maxTokens === 1) return (await this.#agree(key)).use();
    this.#prepare(key, recipient);
    await recipient.next;
    if (this.#closed) throw new SealwireError('CLOSED', 'the sessions are closed');
    // Not looked up again: recipients that push each other out of memory would wait in turns for ever.
    return this.#take(key, recipient);
  }

  /** Starts the next agreement in the pool unless there is one. */
  #prepare(key: RecipientKey, recipient: Recipient): void {
    if (recipient.next !== undefined) return;
    const next = this.#agree(key);
    recipient.next = next;
    next.then(
      (session) => {
        if (recipient.next !== next) return;
        recipient.next = session;
        this.#sweepLater(this.#bounds.maxAgeMs);
      },
      () => {
        // Whoever waits gets the error; whoever comes next tries again.
        if (recipient.next === next) recipient.next = undefined;
      },
    );
  }

  async #agree(key: RecipientKey): Promise<LiveSession> {
    const { epk, z } = await this.#pool.generate(key.publicKey, key.crv);
    const coordinates = [epk.x, epk.y].map((text) => Buffer.from(text, 'base64url')) as [Buffer, Buffer];
    const replyKey = new ReplyKey(deriveReplyKey(z, key.kid), replyKid(...coordinates));
    const keys = { kek: deriveKey(z, 'ECDH-ES+A256KW', 'A256GCM'), replyKey, epk };
    const limits = { innerBytes: this.#innerBytes, headerBytes: resolveLimits().headerBytes };
    return new LiveSession((observe) => new WrappingSession(key.kid, keys, limits, observe), this.#bounds, this.#now);
  }

  /** An idle sender must not keep keys in memory that have had their time. */
  #sweepLater(delayMs: number): void {
    // A sweep under way comes no later than the end of any session made since: all may live equally long.
    if (this.#closed || this.#sweeping !== undefined) return;
    // Timers may be early by part of a millisecond.
    this.#sweeping = setTimeout(() => this.#sweep(), Math.max(1, Math.ceil(delayMs)));
    this.#sweeping.unref();
  }

  #sweep(): void {
    this.#sweeping = undefined;
    let earliest = Number.POSITIVE_INFINITY;
    for (const [kid, recipient] of [...this.#recipients.entries()]) {
      earliest = Math.min(earliest, dropExpired(recipient));
      if (recipient.live === undefined && recipient.next === undefined) this.#recipients.delete(kid);
    }
    if (earliest !== Number.POSITIVE_INFINITY) this.#sweepLater(earliest);
  }
}

/** @returns ms until the next of the recipient's agreements expires; infinite when none is left */
function dropExpired(recipient: Recipient): number {
  let earliest = Number.POSITIVE_INFINITY;
  for (const slot of ['live', 'next'] as const) {
    const session = recipient[slot];
    if (!(session instanceof LiveSession)) continue;
    const { remainingMs } = session;
    if (remainingMs <= 0) recipient[slot] = undefined;
    else earliest = Math.min(earliest, remainingMs);
  }
  return earliest;
}
