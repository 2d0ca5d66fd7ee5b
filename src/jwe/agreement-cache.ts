import { LRUCache } from 'lru-cache';
import { checkRange } from '../profile/options.js';
import type { TokenHeader } from './header.js';
import { sha256 } from './sha256.js';

/** Options of {@link AgreementCache}. */
export interface AgreementCacheOptions {
  /** Agreements kept. Default 4,096; 0 (none: every message makes an agreement) to 1,048,576. */
  readonly maxEntries?: number;
  /** Agreements kept per caller. Default 64; 1 to 65,536. */
  readonly maxPerCaller?: number;
  /** Life of an entry in ms from its first use. Default 120,000; 1,000 to 3,600,000. */
  readonly ttlMs?: number;
  /** Clock in ms. Default: monotonic. */
  readonly now?: () => number;
}

interface Entry<K> {
  readonly key: K;
  readonly kid: string;
  readonly caller: string;
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

/** Bounded in total and per caller, least recently used first out. `K` is what is kept of an agreement. */
export class AgreementCache<K> {
  readonly #entries: LRUCache<string, Entry<K>> | undefined;
  readonly #byCaller = new Map<string, Set<string>>();
  readonly #maxPerCaller: number;
  readonly #ttlMs: number;
  readonly #now: () => number;
  #sweeper: NodeJS.Timeout | undefined;

  /** @throws SealwireError `OPTIONS_INVALID` */
  constructor(options: AgreementCacheOptions = {}) {
    const { maxEntries = 4_096, maxPerCaller = 64, ttlMs = 120_000 } = options;
    checkRange('maxEntries', maxEntries, [0, 1_048_576]);
    checkRange('maxPerCaller', maxPerCaller, [1, 65_536]);
    checkRange('ttlMs', ttlMs, [1_000, 3_600_000]);
    this.#maxPerCaller = maxPerCaller;
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
      const ids = this.#byCaller.get(entry.caller);
      if (ids?.delete(id)) ids.add(id);
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
   * @param firstUse {@link time} when the agreement was asked for. Default: now
   */
  add(id: string, key: K, kid: string, caller: string, firstUse = this.#now()): void {
    if (this.#entries === undefined || this.get(id) !== undefined) return;
    this.#entries.set(id, { key, kid, caller, expiresAt: firstUse + this.#ttlMs });
    const ids = this.#byCaller.get(caller) ?? new Set();
    this.#byCaller.set(caller, ids.add(id));
    if (ids.size > this.#maxPerCaller) this.#entries.delete(ids.values().next().value as string);
    this.#scheduleSweep();
  }

  /** Removes all agreements with a key. */
  purge(kid: string): void {
    for (const [id, entry] of this.#entries?.entries() ?? []) if (entry.kid === kid) this.#entries?.delete(id);
  }

  #forget({ caller }: Entry<K>, id: string): void {
    const ids = this.#byCaller.get(caller);
    ids?.delete(id);
    if (ids?.size === 0) this.#byCaller.delete(caller);
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
