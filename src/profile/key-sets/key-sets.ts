/** The sets of a key directory, one for each recipient. */
import { SealwireError } from '../../errors.js';
import type { CacheSettings } from './cache-settings.js';
import { CachedKeySet, type FetchedSet } from './cached-key-set.js';
import type { KeySetVersion } from './version.js';

/** Gives out keys of type `K`. */
export class KeySets<K> {
  readonly #issuer: string;
  readonly #fetch: (recipient: string) => Promise<FetchedSet>;
  readonly #settings: CacheSettings<K>;
  readonly #sets = new Map<string, CachedKeySet<K>>();
  #closed = false;

  /**
   * @param issuer whose set is meant by recipient ''
   * @param fetch asks the key service; '' is the service itself. It throws SealwireError `KEY_SET_UNAVAILABLE`
   */
  constructor(issuer: string, fetch: (recipient: string) => Promise<FetchedSet>, settings: CacheSettings<K>) {
    this.#issuer = issuer;
    this.#fetch = fetch;
    this.#settings = settings;
  }

  /** @throws SealwireError `CLOSED` */
  find(recipient: string): CachedKeySet<K> {
    if (this.#closed) throw new SealwireError('CLOSED', 'the key directory is closed');
    const issuer = recipient || this.#issuer;
    let set = this.#sets.get(issuer);
    if (set === undefined) {
      // Asked for as the service itself, which need not know its name; what comes back must have it.
      const asked = issuer === this.#issuer ? '' : issuer;
      set = new CachedKeySet(issuer, () => this.#fetch(asked), this.#settings);
      this.#sets.set(issuer, set);
    }
    return set;
  }

  /** @returns version and end (seconds since 1970) of the set at hand; undefined when there is none that may be used */
  describe(recipient: string): { readonly version: KeySetVersion; readonly expiresAt: number } | undefined {
    const set = this.#sets.get(recipient || this.#issuer)?.set;
    return set && { version: set.version, expiresAt: set.expiresAt };
  }

  close(): void {
    this.#closed = true;
    for (const set of this.#sets.values()) set.close();
  }
}
