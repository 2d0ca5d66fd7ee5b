/** Agreement sessions of a sender: which agreement seals the next message, and preparing the one after it. */
import { SealwireError } from '../errors.js';
import { checkRange } from './check-range.js';
import { type CancelTimer, startTimer } from './timer.js';

/** When an agreement ends. */
export interface SessionBounds {
  /** Tokens sealed with one agreement. Default 1,000; 1 (one agreement per message) to 10,000,000. */
  readonly maxTokens?: number;
  /** Age of an agreement in ms, monotonic. Default 60,000; 100 to 86,400,000. */
  readonly maxAgeMs?: number;
  /** Plaintext bytes sealed with one agreement. Default 67,108,864 (64 MiB); 65,536 to 2^40. */
  readonly maxBytes?: number;
  /**
   * A session goes on for so many times its bounds while the next one is not ready. Default 1: none does, and messages
   * wait. 1 to 10.
   */
  readonly overrun?: number;
}

export const DEFAULT_BOUNDS: Required<SessionBounds> = {
  maxTokens: 1_000,
  maxAgeMs: 60_000,
  maxBytes: 64 * 2 ** 20,
  overrun: 1,
};

/** @throws SealwireError `OPTIONS_INVALID` */
export function resolveBounds(bounds: SessionBounds): Required<SessionBounds> {
  const { maxTokens, maxAgeMs, maxBytes, overrun } = DEFAULT_BOUNDS;
  return {
    maxTokens: checkRange('maxTokens', bounds.maxTokens ?? maxTokens, [1, 10_000_000]),
    maxAgeMs: checkRange('maxAgeMs', bounds.maxAgeMs ?? maxAgeMs, [100, 86_400_000]),
    maxBytes: checkRange('maxBytes', bounds.maxBytes ?? maxBytes, [65_536, 2 ** 40]),
    overrun: checkRange('overrun', bounds.overrun ?? overrun, [1, 10]),
  };
}

/** The next session is prepared when this share of a bound is used up. */
const PREPARE_AT = 0.5;

/** Told of each token, for the session's own bounds. */
export type SealObserver = (plaintextBytes: number) => void;

/** Makes the session of a fresh agreement. */
export type SessionFactory<S> = (observe: SealObserver) => S;

/** One agreement with what has been sealed by it. */
class LiveSession<S> {
  readonly session: S;
  readonly #bounds: Required<SessionBounds>;
  readonly #now: () => number;
  readonly #createdAt: number;
  #startedAt: number | undefined;
  #tokens = 0;
  /** Messages it was given to; they may not have sealed yet. */
  #messages = 0;
  #bytes = 0;

  constructor(create: SessionFactory<S>, bounds: Required<SessionBounds>, now: () => number) {
    this.#bounds = bounds;
    this.#now = now;
    this.#createdAt = now();
    this.session = create((bytes) => {
      this.#tokens++;
      this.#bytes += bytes;
    });
  }

  /** The age counts from first use, so that a session prepared ahead is not old when its time comes. */
  use(): S {
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

interface Recipient<S> {
  live?: LiveSession<S> | undefined;
  /** The session after the live one, ready or in the making. */
  next?: LiveSession<S> | Promise<LiveSession<S>> | undefined;
}

/** Recipients by kid: a map, or one that forgets the least recently used. */
interface Store<S> {
  get(kid: string): Recipient<S> | undefined;
  set(kid: string, recipient: Recipient<S>): unknown;
  delete(kid: string): unknown;
  clear(): void;
  entries(): Iterable<[string, Recipient<S>]>;
  values(): Iterable<Recipient<S>>;
}

/** What {@link Sessions} are made of. */
export interface SessionsOptions<K, S> {
  readonly bounds: Required<SessionBounds>;
  /** Makes a fresh agreement with a key. */
  readonly agree: (key: K) => Promise<SessionFactory<S>>;
  /** Default: a map; recipients without a session are forgotten after `maxAgeMs`. */
  readonly store?: Store<S>;
  /** Monotonic clock in ms. Default `performance.now`. */
  readonly monotonicNow?: (() => number) | undefined;
}

/** The agreement sessions of one sender, one per recipient key. */
export class Sessions<K extends { readonly kid: string }, S> {
  readonly #store: Store<S>;
  readonly #bounds: Required<SessionBounds>;
  readonly #makeAgreement: (key: K) => Promise<SessionFactory<S>>;
  readonly #now: () => number;
  #closed = false;
  #cancelSweep: CancelTimer | undefined;

  constructor({ bounds, agree, store = new Map(), monotonicNow }: SessionsOptions<K, S>) {
    this.#bounds = bounds;
    this.#makeAgreement = agree;
    this.#store = store;
    this.#now = monotonicNow ?? (() => performance.now());
  }

  /**
   * The session that seals the next message: all tokens of one message to one recipient use one session,
   * since sessions end between messages only.
   *
   * @param key whom to seal to
   * @returns the session at once when one is ready, else a promise
   * @throws SealwireError `CLOSED`, and what making an agreement throws
   */
  acquire(key: K): S | Promise<S> {
    if (this.#closed) throw new SealwireError('CLOSED', 'the sessions are closed');
    return this.#take(key, this.#recipient(key.kid));
  }

  /**
   * As {@link acquire}, if a session is ready.
   *
   * @returns undefined when one has to be waited for, as always with one agreement per message; none is begun
   */
  acquireNow(key: K): S | undefined {
    const recipient = this.#store.get(key.kid);
    return recipient && this.#takeReady(key, recipient);
  }

  /** Agreements in memory that a next message may use. */
  get held(): number {
    let held = 0;
    for (const { live, next } of this.#store.values()) {
      held += Number(live !== undefined) + Number(next instanceof LiveSession);
    }
    return held;
  }

  /** Forgets the agreements with a key, e.g. because it was rotated. */
  invalidate(kid: string): void {
    this.#store.delete(kid);
  }

  /** Forgets all agreements; nothing can be sealed afterwards. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#store.clear();
    this.#cancelSweep?.();
  }

  #recipient(kid: string): Recipient<S> {
    const known = this.#store.get(kid);
    if (known !== undefined) return known;
    const recipient: Recipient<S> = {};
    this.#store.set(kid, recipient);
    return recipient;
  }

  #take(key: K, recipient: Recipient<S>): S | Promise<S> {
    return this.#takeReady(key, recipient) ?? this.#acquireLater(key, recipient);
  }

  #takeReady(key: K, recipient: Recipient<S>): S | undefined {
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

  async #acquireLater(key: K, recipient: Recipient<S>): Promise<S> {
    // Per-message agreements cannot be shared by those who wait; others all take the one in the making.
    if (this.#bounds.maxTokens === 1) return (await this.#agree(key)).use();
    this.#prepare(key, recipient);
    await recipient.next;
    if (this.#closed) throw new SealwireError('CLOSED', 'the sessions are closed');
    // Not looked up again: recipients that push each other out of memory would wait in turns for ever.
    return this.#take(key, recipient);
  }

  /** Starts the next agreement unless there is one. */
  #prepare(key: K, recipient: Recipient<S>): void {
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

  async #agree(key: K): Promise<LiveSession<S>> {
    const create = await this.#makeAgreement(key);
    return new LiveSession(create, this.#bounds, this.#now);
  }

  /** An idle sender must not keep keys in memory that have had their time. */
  #sweepLater(delayMs: number): void {
    // A sweep under way comes no later than the end of any session made since: all may live equally long.
    if (this.#closed || this.#cancelSweep !== undefined) return;
    // Timers may be early by part of a millisecond.
    this.#cancelSweep = startTimer(Math.max(1, Math.ceil(delayMs)), () => this.#sweep());
  }

  #sweep(): void {
    this.#cancelSweep = undefined;
    let earliest = Number.POSITIVE_INFINITY;
    for (const [kid, recipient] of [...this.#store.entries()]) {
      earliest = Math.min(earliest, dropExpired(recipient));
      if (recipient.live === undefined && recipient.next === undefined) this.#store.delete(kid);
    }
    if (earliest !== Number.POSITIVE_INFINITY) this.#sweepLater(earliest);
  }
}

/** @returns ms until the next of the recipient's agreements expires; infinite when none is left */
function dropExpired<S>(recipient: Recipient<S>): number {
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
