/**
 * A token bucket per account for what costs much, first of all fresh agreements: one caller's cannot starve the
 * others'.
 */
import { SealwireError } from '../../errors.js';
import { checkRange } from '../../profile/check-range.js';

/** Options of {@link CallerRate}; the defaults are those for fresh agreements. */
export interface CallerRateOptions {
  /** Per second and caller. Default 50; 1 to 1,000,000. */
  readonly perSecond?: number;
  /** How many at once. Default 100; 1 to 1,000,000. */
  readonly burst?: number;
  /**
   * Callers remembered. Default 65,536; 1 to 1,048,576. Forgotten is only who has its whole burst again; while there is
   * nobody such, all new callers share one bucket.
   */
  readonly maxCallers?: number;
  /** Clock in ms. Default `Date.now`. */
  readonly now?: () => number;
  /** A caller's share: its rate and burst are so many times as large. Default: 1 for all. */
  readonly shareOf?: (account: string) => number;
}

/** What is said of an empty bucket. */
type RateCode = 'CALLER_RATE' | 'MESSAGE_RATE';

interface Bucket {
  readonly share: number;
  /** Below zero: what was charged later, and what is promised to those who wait. */
  tokens: number;
  at: number;
}

/** Bounds how many wait for a bucket: far more than a caller's streams, each of which waits for one. */
const MOST_WAITING_MS = 60_000;

/** Token buckets by account. */
export class CallerRate {
  /** Least recently used first. */
  readonly #buckets = new Map<string, Bucket>();
  readonly #perMs: number;
  readonly #burst: number;
  readonly #maxCallers: number;
  readonly #now: () => number;
  readonly #shareOf: (account: string) => number;
  readonly #newcomers: Bucket;

  readonly #code: RateCode;

  /** @throws SealwireError `OPTIONS_INVALID` */
  constructor(options: CallerRateOptions = {}, code: RateCode = 'CALLER_RATE') {
    this.#code = code;
    const { perSecond = 50, burst = 100, maxCallers = 65_536, shareOf = () => 1 } = options;
    checkRange('perSecond', perSecond, [1, 1_000_000]);
    checkRange('burst', burst, [1, 1_000_000]);
    checkRange('maxCallers', maxCallers, [1, 1_048_576]);
    this.#perMs = perSecond / 1_000;
    this.#burst = burst;
    this.#maxCallers = maxCallers;
    this.#now = options.now ?? Date.now;
    this.#shareOf = shareOf;
    this.#newcomers = { share: 1, tokens: burst, at: this.#now() };
  }

  /**
   * Takes from the account's bucket. More than it can ever hold empties it.
   *
   * @param amount how much is spent. Default 1
   * @throws SealwireError `CALLER_RATE` or `MESSAGE_RATE` when there is not enough in it
   */
  take(account: string, amount = 1): void {
    const bucket = this.#find(account);
    const needed = Math.min(amount, this.#burst * bucket.share);
    if (bucket.tokens < needed) throw new SealwireError(this.#code, 'the caller spends too much');
    bucket.tokens -= needed;
  }

  /** Takes more afterwards, for what came to nothing, or gives back; never more than a burst is owed. */
  charge(account: string, tokens: number): void {
    const bucket = this.#find(account);
    bucket.tokens = Math.max(Math.min(bucket.tokens, -this.#burst * bucket.share), bucket.tokens - tokens);
  }

  /**
   * Takes one agreement when there is one: who comes earlier has it earlier.
   *
   * @param signal gives up the wait
   * @throws SealwireError `CALLER_RATE` when the signal came first; with one, also when the wait would be longer than a
   *   minute
   */
  async turn(account: string, signal?: AbortSignal): Promise<void> {
    const bucket = this.#find(account);
    const waitMs = Math.max(0, (1 - bucket.tokens) / (this.#perMs * bucket.share));
    if (signal && (signal.aborted || waitMs > MOST_WAITING_MS))
      throw new SealwireError('CALLER_RATE', 'too many new agreements');
    bucket.tokens--;
    if (waitMs === 0 || (await sleep(waitMs, signal))) return;
    bucket.tokens++;
    throw new SealwireError('CALLER_RATE', 'the call ended while it waited for an agreement');
  }

  #find(account: string): Bucket {
    const now = this.#now();
    const known = this.#buckets.get(account);
    if (known === undefined && this.#buckets.size >= this.#maxCallers && !this.#forgetOne(now)) {
      return this.#refill(this.#newcomers, now);
    }
    const share = known?.share ?? this.#shareOf(account);
    const bucket = known ?? { share, tokens: this.#burst * share, at: now };
    this.#buckets.delete(account);
    this.#buckets.set(account, bucket);
    return this.#refill(bucket, now);
  }

  /** Nobody gets a full bucket by being forgotten: gone is who has one. */
  #forgetOne(now: number): boolean {
    const [account, bucket] = this.#buckets.entries().next().value as [string, Bucket];
    const isFull = this.#refill(bucket, now).tokens >= this.#burst * bucket.share;
    return isFull && this.#buckets.delete(account);
  }

  #refill(bucket: Bucket, now: number): Bucket {
    const refilled = bucket.tokens + Math.max(0, now - bucket.at) * this.#perMs * bucket.share;
    bucket.tokens = Math.min(this.#burst * bucket.share, refilled);
    bucket.at = now;
    return bucket;
  }
}

/** @returns false when the signal came first */
function sleep(ms: number, signal: AbortSignal | undefined): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (slept: boolean) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      resolve(slept);
    };
    const onAbort = () => end(false);
    const timer = setTimeout(() => end(true), Math.ceil(ms));
    signal?.addEventListener('abort', onAbort);
  });
}
