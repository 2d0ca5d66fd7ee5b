/** A token bucket per caller for fresh agreements: one caller's new agreements cannot starve the others'. */
import { LRUCache } from 'lru-cache';
import { SealwireError } from '../errors.js';
import { checkRange } from '../profile/options.js';

/** Options of {@link CallerRate}. */
export interface CallerRateOptions {
  /** Fresh agreements per second and caller. Default 50; 1 to 1,000,000. */
  readonly perSecond?: number;
  /** How many at once. Default 100; 1 to 1,000,000. */
  readonly burst?: number;
  /** Callers remembered. Default 65,536; 1 to 1,048,576. */
  readonly maxCallers?: number;
  /** Clock in ms. Default `Date.now`. */
  readonly now?: () => number;
}

interface Bucket {
  tokens: number;
  at: number;
}

/** Token buckets by caller. */
export class CallerRate {
  readonly #buckets: LRUCache<string, Bucket>;
  readonly #perMs: number;
  readonly #burst: number;
  readonly #now: () => number;

  /** @throws SealwireError `OPTIONS_INVALID` */
  constructor(options: CallerRateOptions = {}) {
    const { perSecond = 50, burst = 100, maxCallers = 65_536 } = options;
    checkRange('perSecond', perSecond, [1, 1_000_000]);
    checkRange('burst', burst, [1, 1_000_000]);
    checkRange('maxCallers', maxCallers, [1, 1_048_576]);
    this.#perMs = perSecond / 1_000;
    this.#burst = burst;
    this.#now = options.now ?? Date.now;
    this.#buckets = new LRUCache({ max: maxCallers });
  }

  /**
   * Takes one agreement from the caller's bucket.
   *
   * @throws SealwireError `CALLER_RATE` when it is empty
   */
  take(caller: string): void {
    const now = this.#now();
    const bucket = this.#buckets.get(caller) ?? { tokens: this.#burst, at: now };
    bucket.tokens = Math.min(this.#burst, bucket.tokens + Math.max(0, now - bucket.at) * this.#perMs);
    bucket.at = now;
    this.#buckets.set(caller, bucket);
    if (bucket.tokens < 1) throw new SealwireError('CALLER_RATE', 'too many new agreements');
    bucket.tokens--;
  }
}
