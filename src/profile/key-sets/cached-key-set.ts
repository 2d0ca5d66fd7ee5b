/**
 * One recipient's key set at a sender: fetched ahead of need, one request at a time, kept through an outage until
 * its end, and never replaced by an older one.
 */
import { SealwireError } from '../../errors.js';
import { type CancelTimer, startTimer } from '../timer.js';
import { type SendingTime, selectActive } from './active-key.js';
import type { CacheSettings } from './cache-settings.js';
import type { UsedSet } from './verify-key-set.js';
import { compareVersions, type SeenSet } from './version.js';

/** What a key service answered; nothing of it has been checked. */
export interface FetchedSet {
  /** Claims to be a compact JWS. */
  readonly text: string;
  /** Claims to be the time after which to ask again; 0 when there is none. */
  readonly maxAgeMs: number;
}

/** A verified set with the moment, on the monotonic clock, after which it is not used whatever the wall clock says. */
interface Held<K> {
  readonly set: UsedSet<K>;
  readonly endsAt: number;
}

/** Share of its time after which the next set is fetched; the rest allows for the fetch and spreads senders out. */
const REFRESH_AT = [0.7, 0.9] as const;
/** A service that refuses every call must not make its clients fetch for every call. */
const FORCED_INTERVAL_MS = 1_000;

/** Fetches, verifies and keeps one recipient's set. */
export class CachedKeySet<K> {
  readonly #issuer: string;
  readonly #fetch: () => Promise<FetchedSet>;
  readonly #settings: CacheSettings<K>;
  #held: Held<K> | undefined;
  /** The newest set that was seen. */
  #seen: SeenSet | undefined;
  /** When the set ends that is remembered. */
  #rememberedUntil = 0;
  #recalled: Promise<void> | undefined;
  #fetching: Promise<void> | undefined;
  #failures = 0;
  #lastError: SealwireError | undefined;
  /** Monotonic ms before which nothing is fetched, unless a refusal by the service asks for it. */
  #nextFetchAt = Number.NEGATIVE_INFINITY;
  /** Monotonic ms after which the next set should be here. */
  #staleAt = Number.NEGATIVE_INFINITY;
  #forcedAt = Number.NEGATIVE_INFINITY;
  #cancelTimer: CancelTimer = () => {};
  #closed = false;

  /** @param issuer `iss` that the set must have */
  constructor(issuer: string, fetch: () => Promise<FetchedSet>, settings: CacheSettings<K>) {
    this.#issuer = issuer;
    this.#fetch = fetch;
    this.#settings = settings;
  }

  /** The set at hand, if it may still be used. */
  get set(): UsedSet<K> | undefined {
    const { now, monotonicNow } = this.#settings;
    const held = this.#held;
    if (held === undefined || now() >= held.set.expiresAt * 1000 || monotonicNow() >= held.endsAt) return undefined;
    return held.set;
  }

  /**
   * @returns the active key: at once when the set is at hand
   * @throws SealwireError with one of `KEY_SET_CODES`, `KEY_FILE_MODE`, `KEY_FILE_INVALID`, `CLOSED`
   */
  current(): K | Promise<K> {
    const key = this.#active();
    if (key === undefined || this.#closed) return this.#wait();
    if (this.#isStale(key)) this.#fetchLater();
    return key;
  }

  /**
   * Fetches now, because the service refused a key: at most once a second, and not while another fetch runs.
   *
   * @throws SealwireError as {@link current}
   */
  async refresh(): Promise<void> {
    const before = this.#seen;
    if (this.#fetching !== undefined) {
      await this.#fetching;
      if (isNewer(this.#seen, before)) return;
    }
    const now = this.#settings.monotonicNow();
    if (now - this.#forcedAt < FORCED_INTERVAL_MS) return;
    this.#forcedAt = now;
    await this.#fetchOnce();
  }

  /** Stops fetching; nothing is given out any more. */
  close(): void {
    this.#closed = true;
    this.#cancelTimer();
  }

  #active(): (K & SendingTime) | undefined {
    const { set } = this;
    return set && selectActive(set.keys, this.#settings.now());
  }

  /**
   * Timers may be late if the machine slept; and a key past its end means that there must be another one.
   */
  #isStale({ expires = Number.POSITIVE_INFINITY }: SendingTime): boolean {
    const { now, monotonicNow } = this.#settings;
    return monotonicNow() >= this.#staleAt || now() >= expires * 1000;
  }

  #mayFetch(): boolean {
    return this.#settings.monotonicNow() >= this.#nextFetchAt;
  }

  async #wait(): Promise<K> {
    if (this.#closed) throw new SealwireError('CLOSED', 'the key directory is closed');
    await this.#recall();
    const recalled = this.#active();
    if (recalled !== undefined) {
      if (this.#isStale(recalled)) this.#fetchLater();
      return recalled;
    }
    if (this.#fetching === undefined && !this.#mayFetch()) throw this.#failure();
    await this.#fetchOnce().catch(() => {
      throw this.#failure();
    });
    const key = this.#active();
    if (key === undefined) throw this.#failure();
    return key;
  }

  /** What a caller is told: the reason of the last attempt, and that nothing is sealed to an old key instead. */
  #failure(): SealwireError {
    const about = `no key of '${this.#issuer}' can be used`;
    if (this.set !== undefined) {
      return new SealwireError('KEY_SET_NO_ACTIVE_KEY', `${about}: its key set has none for this moment`);
    }
    const last = this.#lastError ?? new SealwireError('KEY_SET_EXPIRED', 'the set has expired');
    const end = this.#held && new Date(this.#held.set.expiresAt * 1000).toISOString();
    return new SealwireError(
      last.code,
      `${about}: ${last.message}${end === undefined ? '' : `; the last key set was good until ${end}`}`,
      { cause: last.cause },
    );
  }

  /** What was remembered, once; a memory that cannot be read is an error each time. */
  #recall(): Promise<void> {
    this.#recalled ??= this.#recallNow().catch((error: unknown) => {
      this.#recalled = undefined;
      throw error;
    });
    return this.#recalled;
  }

  async #recallNow(): Promise<void> {
    const remembered = await this.#settings.memory.recall(this.#issuer);
    if (remembered === undefined) return;
    this.#seen = remembered;
    const set = await this.#verify(remembered.text).catch(() => undefined);
    // Expired meanwhile, or signed under a root that is no longer pinned: then only its version and keys count.
    if (set === undefined || this.#held !== undefined) return;
    this.#hold(set);
    this.#rememberedUntil = set.expiresAt;
  }

  #verify(text: string): Promise<UsedSet<K>> {
    return this.#settings.verify(text, {
      roots: this.#settings.roots,
      issuer: this.#issuer,
      nowMs: this.#settings.now(),
      seen: this.#seen,
    });
  }

  #hold(set: UsedSet<K>): void {
    const { now, monotonicNow } = this.#settings;
    this.#held = { set, endsAt: monotonicNow() + set.expiresAt * 1000 - now() };
  }

  #fetchLater(): void {
    // `onProblem` reports it; callers that need the set have it.
    if (this.#mayFetch()) this.#fetchOnce().catch(() => {});
  }

  /** One request at a time, however many callers. */
  #fetchOnce(): Promise<void> {
    if (this.#closed) return Promise.reject(new SealwireError('CLOSED', 'the key directory is closed'));
    this.#fetching ??= this.#fetchNow().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #fetchNow(): Promise<void> {
    try {
      await this.#recall();
      const { text, maxAgeMs } = await this.#fetch();
      const set = await this.#verify(text);
      await this.#accept(set, text);
      this.#scheduleAhead(set, maxAgeMs);
    } catch (error) {
      if (!(error instanceof SealwireError)) throw error;
      this.#fail(error);
      throw error;
    }
  }

  async #accept(set: UsedSet<K>, text: string): Promise<void> {
    const { version, fingerprint, expiresAt } = set;
    const isNew = isNewer(set, this.#seen);
    this.#seen = set;
    // Before it is used: after a crash an older set must not be taken for the newest.
    if (isNew || expiresAt > this.#rememberedUntil) {
      this.#rememberedUntil = expiresAt;
      await this.#settings.memory.remember(this.#issuer, { version, fingerprint, text }).catch(this.#complain);
    }
    // Instances sign the same set at their own times: one of them may have done so longer ago.
    if (isNew || expiresAt >= (this.set?.expiresAt ?? 0)) this.#hold(set);
    this.#failures = 0;
    this.#lastError = undefined;
  }

  /** A full disk is no reason to stop calls, but the lost memory must be reported. */
  readonly #complain = (error: unknown) => {
    if (!(error instanceof SealwireError)) throw error;
    this.#tell(error, 0);
  };

  /** The service's own word on how long to use a set is bounded on both sides. */
  #scheduleAhead(set: UsedSet<K>, suggestedMs: number): void {
    const { minAgeMs, maxAgeMs, now, monotonicNow, random } = this.#settings;
    const half = (set.expiresAt * 1000 - now()) / 2;
    const suggested = Number.isNaN(suggestedMs) ? 0 : suggestedMs;
    const age = Math.max(minAgeMs, Math.min(suggested, maxAgeMs, half));
    const [from, to] = REFRESH_AT;
    const wait = age * (from + (to - from) * random());
    this.#staleAt = monotonicNow() + wait;
    // A set without a key for this moment must not make every caller fetch.
    this.#nextFetchAt = monotonicNow() + FORCED_INTERVAL_MS;
    this.#wake(wait);
  }

  #fail(error: SealwireError): void {
    const { retryMs, maxRetryMs, monotonicNow, random } = this.#settings;
    const full = Math.min(retryMs * 2 ** this.#failures, maxRetryMs);
    // Many clients of one service must not all come back at the same moment.
    const wait = full * (0.5 + random() / 2);
    this.#failures++;
    this.#lastError = error;
    this.#nextFetchAt = monotonicNow() + wait;
    this.#wake(wait);
    this.#tell(error, wait);
  }

  #tell(error: SealwireError, retryMs: number): void {
    // A fetch cut off by closing is not reported.
    if (this.#closed) return;
    this.#settings.onProblem({ recipient: this.#issuer, error, retryMs, goodUntil: this.set?.expiresAt });
  }

  #wake(waitMs: number): void {
    this.#cancelTimer();
    if (!this.#closed) this.#cancelTimer = startTimer(Math.ceil(waitMs) + 1, () => this.#fetchLater());
  }
}

function isNewer(set: SeenSet | undefined, seen: SeenSet | undefined): boolean {
  return set !== undefined && (seen === undefined || compareVersions(set.version, seen.version) > 0);
}
