import { LRUCache } from 'lru-cache';
import { checkRange } from '../../profile/check-range.js';
import type { TokenHeader } from '../header.js';
import { sha256 } from '../sha256.js';

/** Options of {@link AgreementCache}. */
export interface AgreementCacheOptions {
  /** Agreements kept. Default 4,096; 0 (none: every message makes an agreement) to 1,048,576. */
  readonly maxEntries?: number;
  /**
   * Places of each caller. Default 64; 1 to 65,536. A caller may have more while the cache is not full; then whoever
   * has the largest multiple of its places gives up one.
   */
  readonly placesPerCaller?: number;
  /** Life of an entry in ms from its first use. Default 120,000; 1,000 to 3,600,000. */
  readonly ttlMs?: number;
  /** Clock in ms. Default: monotonic. */
  readonly now?: () => number;
  /** A caller's share: it has so many times the places. Default: 1 for all. */
  readonly shareOf?: (account: string) => number;
}

interface Holder {
  readonly account: string;
  readonly places: number;
  /** Ids of its entries, least recently used first. */
  readonly ids: Set<string>;
}

interface Entry<K> {
  readonly key: K;
  readonly kid: string;
  readonly holder: Holder;
  readonly expiresAt: number;
}

const EMPTY = Buffer.alloc(0);

/**
 * Names an agreement: SHA-256 of everything its derived key depends on, each part behind its length, so
 * that no two agreements share a name.
 */
export function agreementId({ alg, enc, kid, epk, apu = EMPTY, apv = EMPTY }: TokenHeader): string {
  const scheme = alg === 'ECDH-ES' ? `${alg} ${enc}` : alg;
  // One buffer for all parts: this runs for every token.
  const texts = [scheme, kid, epk.crv];
  const buffers = [epk.x, epk.y, apu, apv];
  const total = [...texts, ...buffers].reduce((sum, part) => sum + 4 + part.length, 0);
  const parts = Buffer.allocUnsafe(total);
  let at = 0;
  for (const text of texts) {
    at = parts.writeUInt32BE(text.length, at);
    at += parts.write(text, at, 'latin1');
  }
  for (const bytes of buffers) {
    at = parts.writeUInt32BE(bytes.length, at);
    at += bytes.copy(parts, at);
  }
  return sha256(parts);
}

/**
 * Bounded in total. Full, it gives up the least recently used one of the caller that is furthest above its places, and
 * of all callers when none is. `K` is what is kept of an agreement.
 */
export class AgreementCache<K> {
  readonly #entries: LRUCache<string, Entry<K>> | undefined;
  readonly #maxEntries: number;
  readonly #holders = new Map<string, Holder>();
  /**
   * Holders by how many times their places they fill, less one, rounded down: so that the furthest is found at once.
   */
  readonly #above: Set<Holder>[] = [];
  readonly #placesPerCaller: number;
  readonly #shareOf: (account: string) => number;
  readonly #ttlMs: number;
  readonly #now: () => number;
  #sweeper: NodeJS.Timeout | undefined;

  /** @throws SealwireError `OPTIONS_INVALID` */
  constructor(options: AgreementCacheOptions = {}) {
    const { maxEntries = 4_096, placesPerCaller = 64, ttlMs = 120_000 } = options;
    checkRange('maxEntries', maxEntries, [0, 1_048_576]);
    checkRange('placesPerCaller', placesPerCaller, [1, 65_536]);
    checkRange('ttlMs', ttlMs, [1_000, 3_600_000]);
    this.#maxEntries = maxEntries;
    this.#placesPerCaller = placesPerCaller;
    this.#shareOf = options.shareOf ?? (() => 1);
    this.#ttlMs = ttlMs;
    this.#now = options.now ?? (() => performance.now());
    if (maxEntries > 0) {
      const dispose = (entry: Entry<K>, id: string) => this.#forget(entry, id);
      this.#entries = new LRUCache({ max: maxEntries, dispose });
    }
  }

  get size(): number {
    return this.#entries?.size ?? 0;
  }

  /** The derived key, or undefined when there is none or it is too old. */
  get(id: string): K | undefined {
    const entry = this.#entries?.get(id);
    if (entry === undefined) return undefined;
    if (entry.expiresAt > this.#now()) {
      // A set keeps the order of insertion: the caller's least recently used one is the first.
      const { ids } = entry.holder;
      ids.delete(id);
      ids.add(id);
      return entry.key;
    }
    this.#entries?.delete(id);
    return undefined;
  }

  /** The cache's clock, in ms. */
  time(): number {
    return this.#now();
  }

  /**
   * Adds a key under which a tag has been verified. A known entry keeps its first time.
   *
   * @param account whose place it takes
   * @param firstUse {@link time} when the agreement was asked for. Default: now
   */
  add(id: string, key: K, kid: string, account: string, firstUse = this.#now()): void {
    if (this.#entries === undefined || this.get(id) !== undefined) return;
    const known = this.#holders.get(account);
    const holder = known ?? { account, places: this.#placesPerCaller * this.#shareOf(account), ids: new Set() };
    if (known === undefined) this.#holders.set(account, holder);
    this.#change(holder, () => holder.ids.add(id));
    // Before there is one too many, which would be anybody's.
    if (this.#entries.size >= this.#maxEntries) this.#giveUpOne(this.#entries);
    this.#entries.set(id, { key, kid, holder, expiresAt: firstUse + this.#ttlMs });
    this.#scheduleSweep();
  }

  /** Removes all agreements with a key. */
  purge(kid: string): void {
    for (const [id, entry] of this.#entries?.entries() ?? []) if (entry.kid === kid) this.#entries?.delete(id);
  }

  #giveUpOne(entries: LRUCache<string, Entry<K>>): void {
    while (this.#above.length > 0 && this.#above.at(-1)?.size === 0) this.#above.pop();
    const furthest = this.#above.at(-1)?.values().next().value;
    // With nobody above its places the cache drops what was not used for longest.
    if (furthest !== undefined) entries.delete(furthest.ids.values().next().value as string);
  }

  #forget({ holder }: Entry<K>, id: string): void {
    this.#change(holder, () => holder.ids.delete(id));
    if (holder.ids.size === 0) this.#holders.delete(holder.account);
  }

  #change(holder: Holder, change: () => void): void {
    const level = () => Math.ceil(holder.ids.size / holder.places) - 2;
    const before = level();
    change();
    const after = level();
    if (after === before) return;
    this.#above[before]?.delete(holder);
    if (after < 0) return;
    this.#above[after] ??= new Set();
    this.#above[after]?.add(holder);
  }

  /** Expired keys do not stay in memory until somebody asks for them. */
  #scheduleSweep(): void {
    if (this.#sweeper !== undefined) return;
    this.#sweeper = setTimeout(() => {
      this.#sweeper = undefined;
      const now = this.#now();
      for (const [id, entry] of this.#entries?.entries() ?? []) if (entry.expiresAt <= now) this.#entries?.delete(id);
      if (this.size > 0) this.#scheduleSweep();
    }, this.#ttlMs);
    this.#sweeper.unref();
  }
}
