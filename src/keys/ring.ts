/** A recipient's private keys by their dates: created, loaded, followed, and handed out as handles only. */
import { SealwireError } from '../errors.js';
import type { Custody, OpeningKey, OpeningKeys, RecipientKey } from '../jwe/recipient.js';
import type { Curve } from '../profile/algorithms.js';
import type { KeySetVersion } from '../profile/key-sets/version.js';
import { type CustodyOptions, createCustody } from './custody.js';
import { writeKeyFile } from './files.js';
import { generatePem } from './generate-pem.js';
import type { PublicJwk } from './import.js';
import {
  type KeyDates,
  type KeyState,
  keyState,
  lastChange,
  nextChange,
  opensOnWire,
  opensStored,
} from './lifecycle.js';
import { type PassphraseSource, readProtectedFile, writeProtectedFile } from './protected-file.js';
import { formatRingFile, importRingKey, inFile, parseRingFile, type RingKey } from './ring-file.js';
import { checkRingDates, currentKey, sealingSpan } from './rotation.js';

/** Options of {@link KeyRing}'s factories. */
export interface KeyRingOptions extends CustodyOptions {
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
  /** Passphrase of an encrypted ring file. Default: none, and an encrypted file is refused. */
  readonly passphrase?: PassphraseSource;
}

/** A key as it is shown to people and programs: nothing of it is secret. */
export interface KeyDescription {
  readonly kid: string;
  readonly crv: Curve;
  readonly state: KeyState;
  readonly dates: KeyDates;
}

/** A public key with the time in which senders may use it, in seconds since 1970. */
export interface PublishedKey {
  readonly jwk: PublicJwk;
  /** Senders use it from then on; absent: already. */
  readonly nbf?: number;
  /** Senders stop; absent: not planned. */
  readonly exp?: number;
}

/** A key that came to another state; an absent state: it was, or is, not in the ring. */
export interface KeyChange {
  readonly kid: string;
  readonly from?: KeyState;
  readonly to?: KeyState;
}

/** What a listener is told. Without changes of states only dates to come, or the order of keys, are new. */
export interface RingChange {
  readonly changes: readonly KeyChange[];
  /** The key that senders used and use; they differ after a rotation. */
  readonly previousKid: string;
  readonly currentKid: string;
}

/** Told of each change, in the order of changes. */
export type RingListener = (change: RingChange) => void;

/** Longest wait in ms: timers take at most 2^31 - 1, and the clock may be set or the machine sleep meanwhile. */
const MAX_WAIT_MS = 60_000;

/**
 * Private keys by kid; their dates alone say what each is good for at the moment somebody asks.
 * Nothing of a ring prints: neither `console.log`, `JSON.stringify` nor an error shows a private key.
 *
 * @example
 * ```ts
 * import { KeyRing } from 'sealwire';
 *
 * const keys = await KeyRing.create();
 * await keys.save('keys/ring.json');
 * await keys.savePublic('keys/public.jwks.json');
 * ```
 */
export class KeyRing implements OpeningKeys {
  readonly #options: KeyRingOptions;
  readonly #now: () => number;
  readonly #listeners = new Set<RingListener>();
  #look: (() => Promise<void>) | undefined;
  #keys: ReadonlyMap<string, RingKey>;
  #changed: number | undefined;
  #custody: Custody;
  #states: ReadonlyMap<string, KeyState>;
  #told: string;
  #timer: NodeJS.Timeout | undefined;

  readonly custody: Custody = this.#followCustody();

  #followCustody(): Custody {
    const custody = () => this.#custody;
    return {
      agree: (kid, epk) => custody().agree(kid, epk),
      get concurrency() {
        return custody().concurrency;
      },
    };
  }

  private constructor(keys: readonly RingKey[], options: KeyRingOptions, changed: number | undefined) {
    this.#options = options;
    this.#changed = changed;
    this.#now = options.now ?? Date.now;
    this.#keys = new Map(keys.map((key) => [key.kid, key]));
    if (this.#keys.size !== keys.length) throw new SealwireError('KEY_FILE_INVALID', 'a key occurs twice');
    checkRingDates(keys, this.#seconds());
    this.#custody = createCustody(this.keys(), this.#options);
    this.#states = this.#readStates();
    this.#told = this.currentKid;
  }

  /** A ring with one new key, active without end. @param curve default P-521 */
  static create(curve: Curve = 'P-521', options: KeyRingOptions = {}): Promise<KeyRing> {
    return KeyRing.fromKeys([generatePem(curve)], options);
  }

  /**
   * A ring of given private keys; of those that became active at the same time senders use the first.
   *
   * @param keys PEM texts, or JWKs that may carry dates in the member `sealwire`
   * @throws SealwireError `KEY_INVALID`, `KEY_DATES_INVALID`, `KEY_FILE_INVALID`
   */
  static async fromKeys(keys: readonly (string | object)[], options: KeyRingOptions = {}): Promise<KeyRing> {
    return KeyRing.fromRingKeys(await Promise.all(keys.map(importRingKey)), options);
  }

  /**
   * A ring of keys that were imported already. @throws SealwireError `KEY_DATES_INVALID`, `KEY_FILE_INVALID` @internal
   */
  static fromRingKeys(keys: readonly RingKey[], options: KeyRingOptions = {}, changed?: number): KeyRing {
    if (keys.length === 0) throw new SealwireError('KEY_FILE_INVALID', 'a key ring needs a key');
    return new KeyRing(keys, options, changed);
  }

  /**
   * Reads a ring file: a JWK Set of private keys, readable by its owner only, plain or encrypted.
   *
   * @throws SealwireError `KEY_FILE_MISSING`, `KEY_FILE_MODE`, `KEY_FILE_INVALID`, `KEY_FILE_INCOMPLETE`,
   *   `KEY_FILE_ENCRYPTED`, `KEY_PASSPHRASE_WRONG`
   */
  static async load(path: string, options: KeyRingOptions = {}): Promise<KeyRing> {
    const { text } = await readProtectedFile(path, 'jwk-set+json', options.passphrase);
    const { keys, changed } = await parseRingFile(path, text);
    try {
      return KeyRing.fromRingKeys(keys, options, changed);
    } catch (error) {
      throw inFile(path, error);
    }
  }

  /** Writes the ring file atomically with mode 0600, plain. @throws SealwireError `KEY_FILE_WRITE` */
  async save(path: string): Promise<void> {
    const changed = Math.max(Math.floor(this.#seconds()), (this.#changed ?? -1) + 1);
    await writeProtectedFile(path, formatRingFile({ keys: this.keys(), changed, others: {} }), 'jwk-set+json');
  }

  find(kid: string): OpeningKey | undefined {
    return this.#findIf(kid, opensOnWire);
  }

  findStored(kid: string): OpeningKey | undefined {
    return this.#findIf(kid, opensStored);
  }

  isRetired(kid: string): boolean {
    const state = this.stateOf(kid);
    return state === 'stored' || state === 'retired';
  }

  /** Looks for newer keys where the ring is followed, e.g. in its file; a ring that nobody follows has none. */
  async refresh(): Promise<void> {
    await this.#look?.();
  }

  /** Says how to look for newer keys. @param look undefined: not any more @internal */
  followWith(look: (() => Promise<void>) | undefined): void {
    this.#look = look;
  }

  /** The key's state now; undefined when the ring does not have it. */
  stateOf(kid: string): KeyState | undefined {
    const key = this.#keys.get(kid);
    return key && keyState(key.dates, this.#seconds());
  }

  /** The key that senders use now. */
  current(): RecipientKey {
    return this.#current();
  }

  get currentKid(): string {
    return this.#current().kid;
  }

  /** All keys with their states now, in the order of the file. */
  describe(): KeyDescription[] {
    const now = this.#seconds();
    return this.keys().map(({ kid, crv, dates }) => ({ kid, crv, state: keyState(dates, now), dates }));
  }

  /** The private keys, for writing them elsewhere. @internal */
  keys(): readonly RingKey[] {
    return [...this.#keys.values()];
  }

  /** The public halves that senders may use now, the current one first (RFC 7517 §5). */
  publicJwks(): { readonly keys: readonly PublicJwk[] } {
    return { keys: this.#inState(this.#seconds(), ['active']).map(({ jwk }) => jwk) };
  }

  /**
   * What a key set tells of this ring: published and active keys, the current one first.
   *
   * @param nowMs ms since 1970. Default: the ring's clock
   * @internal
   */
  publishedKeys(nowMs: number = this.#now()): readonly PublishedKey[] {
    const keys = this.#inState(nowMs / 1_000, ['active', 'published']);
    const published = keys.map(({ jwk, dates }) => ({ jwk, ...sealingSpan(dates) }));
    // A key that ends before it begins is useless, and clients refuse a set that has one.
    return published.filter(({ nbf = 0, exp = Number.POSITIVE_INFINITY }: PublishedKey) => nbf < exp);
  }

  /**
   * The version of what is published: all who have this ring come to the same.
   *
   * @param nowMs ms since 1970. Default: the ring's clock
   * @returns undefined when nobody has said when the ring was changed last
   * @internal
   */
  version(nowMs: number = this.#now()): KeySetVersion | undefined {
    const dates = this.keys().map((key) => key.dates);
    const passed = lastChange(dates, nowMs / 1_000) ?? 0;
    return this.#changed === undefined ? undefined : { changed: this.#changed, passed };
  }

  /** Writes the public key set atomically with mode 0644. @throws SealwireError `KEY_FILE_WRITE` */
  async savePublic(path: string): Promise<void> {
    await writeKeyFile(path, `${JSON.stringify(this.publicJwks(), null, 2)}\n`, 0o644);
  }

  /**
   * Replaces its keys with those of another ring, in force for the next use, and notifies its listeners.
   *
   * @throws SealwireError `KEY_INVALID`, `OPTIONS_INVALID` for keys in hardware that cannot be asked
   */
  replace(other: KeyRing): void {
    // First, because it may throw: keys and custody change together or not at all.
    this.#custody = createCustody(other.keys(), this.#options);
    this.#keys = other.#keys;
    this.#changed = other.#changed;
    this.#tell(true);
  }

  /**
   * Notifies of new keys ({@link replace}) and of dates that pass: at the date, or within a minute when the clock was
   * set
   * meanwhile. The state of a key never waits for a listener. Waiting does not keep the process alive.
   *
   * @returns a function that removes the listener
   */
  onChange(listener: RingListener): () => void {
    this.#listeners.add(listener);
    this.#schedule();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) clearTimeout(this.#timer);
    };
  }

  #seconds(): number {
    return this.#now() / 1_000;
  }

  #findIf(kid: string, isGood: (state: KeyState) => boolean): OpeningKey | undefined {
    const key = this.#keys.get(kid);
    return key !== undefined && isGood(keyState(key.dates, this.#seconds())) ? key : undefined;
  }

  /** Dates are checked for gaps; only a clock that was set back can reach a time without an active key. */
  #current(): RingKey {
    const keys = this.#keys.values();
    return (
      currentKey(keys, this.#seconds()) ?? (this.#inState(this.#seconds(), ['published', 'pending'])[0] as RingKey)
    );
  }

  /** The keys in these states, the current one first, then by state in the given order. */
  #inState(now: number, states: readonly KeyState[]): readonly RingKey[] {
    const current = currentKey(this.#keys.values(), now);
    const found = states.flatMap((state) => this.keys().filter(({ dates }) => keyState(dates, now) === state));
    return current === undefined ? found : [current, ...found.filter((key) => key !== current)];
  }

  #readStates(): ReadonlyMap<string, KeyState> {
    const now = this.#seconds();
    return new Map(this.keys().map(({ kid, dates }) => [kid, keyState(dates, now)]));
  }

  /** @param isNew whether to notify listeners even if no state has changed */
  #tell(isNew: boolean): void {
    const before = this.#states;
    const after = this.#readStates();
    const kids = new Set([...before.keys(), ...after.keys()]);
    const changes = [...kids].map((kid) => describeChange(kid, before.get(kid), after.get(kid))).filter(hasChanged);
    const previousKid = this.#told;
    const { currentKid } = this;
    this.#states = after;
    this.#told = currentKid;
    this.#schedule();
    if (!isNew && changes.length === 0 && previousKid === currentKid) return;
    for (const listener of [...this.#listeners]) listener({ changes, previousKid, currentKid });
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#listeners.size === 0) return;
    const dates = this.keys().map((key) => key.dates);
    const next = nextChange(dates, this.#seconds());
    const wait =
      next === undefined ? MAX_WAIT_MS : Math.min(Math.max(Math.ceil(next * 1_000 - this.#now()), 1), MAX_WAIT_MS);
    this.#timer = setTimeout(() => this.#tell(false), wait);
    this.#timer.unref();
  }
}

function describeChange(kid: string, from: KeyState | undefined, to: KeyState | undefined): KeyChange {
  return { kid, ...(from !== undefined && { from }), ...(to !== undefined && { to }) };
}

function hasChanged({ from, to }: KeyChange): boolean {
  return from !== to;
}
