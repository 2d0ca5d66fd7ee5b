/**
 * Keeps one recipient's signed key set ready. It signs again when the keys change or the set ages, never on request.
 */
import { checkRange } from '../../profile/check-range.js';
import { MAX_KEY_SET_SECONDS, MAX_SET_KEYS } from '../../profile/key-sets/key-set-rules.js';
import { compareVersions, fingerprintOf, type KeySetVersion, type SeenSet } from '../../profile/key-sets/version.js';
import { writeKeyFile } from '../files.js';
import type { PublicJwk } from '../import.js';
import { type PublishedJwk, readSignedSet, signKeySet } from './key-set.js';
import { signStatement } from './signed-statement.js';
import type { SigningKey } from './signing-key.js';

/** The keys that a set offers to senders; a key ring is one source. */
export interface PublishedKeys {
  /**
   * @param nowMs ms since 1970
   * @returns public keys with the time in which senders use them, in s since 1970; the one that they use now first
   */
  publishedKeys(nowMs: number): readonly { readonly jwk: PublicJwk; readonly nbf?: number; readonly exp?: number }[];
  /** @returns the version of these keys; undefined when they have none */
  version(nowMs: number): KeySetVersion | undefined;
  /** @param listener called after the keys have changed. @returns a function that removes the listener */
  onChange?(listener: () => void): () => void;
}

/** A key that may sign sets, with its delegation by the root. */
export interface SetSigner {
  readonly key: SigningKey;
  /** Compact JWS. */
  readonly delegation: string;
  /** Seconds since 1970. */
  readonly delegationExpiresAt: number;
}

/** A set as it is served. */
export interface ServedKeySet {
  /** Compact JWS. */
  readonly jws: string;
  readonly version: KeySetVersion;
  /** Seconds since 1970. */
  readonly expiresAt: number;
  /** How long clients may use it before they ask again. */
  readonly maxAgeSeconds: number;
  /** Compact JWS of what the service has sealed; empty when the publisher was given no statement. */
  readonly statementJws: string;
}

/** Options of {@link KeySetPublisher}. */
export interface KeySetPublisherOptions {
  /** Name of the recipient: `iss` of the set. */
  readonly issuer: string;
  readonly keys: PublishedKeys;
  /** Asked before each signing. @throws SealwireError when there is no valid delegation */
  readonly signer: () => Promise<SetSigner>;
  /** File that keeps the last set, to be compared with the next. */
  readonly file: string;
  /**
   * Asked to give the keys a version: they have none, or that of other keys, since somebody changed them who did not
   * say so. Nothing is signed until they have.
   */
  readonly onUnversioned: () => Promise<void>;
  /** What the service has sealed, to be signed beside the set: see `SealingStatements`. Default: nothing is stated. */
  readonly statement?: string | undefined;
  /** Life of a set in s. Default 86,400; 300 to 86,400. */
  readonly lifeSeconds?: number | undefined;
  /** How long clients use a set before they ask again, in s. Default 900; 1 to 86,400. */
  readonly maxAgeSeconds?: number | undefined;
  /** How often to look whether a set is due, in ms. Default 1,000; 100 to 600,000. */
  readonly checkMs?: number | undefined;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
  /** Called when signing failed; the last set is served until its end. */
  readonly onError?: (error: unknown) => void;
  /** Called when a set is signed that is older than the last one: who has seen that refuses it. */
  readonly onOlder?: () => void;
  /** Called with keys that were left out: on another curve than the active one, or too many for a set. */
  readonly onLeftOut?: (kids: readonly string[]) => void;
}

interface Signed extends ServedKeySet {
  readonly signedAtMs: number;
  readonly delegation: string;
}

/** A set is renewed after this share of its life, so that clients survive an outage of the service for the rest. */
const RENEW_AFTER = 0.25;

/** Signs one recipient's sets. */
export class KeySetPublisher {
  readonly issuer: string;
  readonly #options: KeySetPublisherOptions;
  readonly #lifeSeconds: number;
  readonly #maxAgeSeconds: number;
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;
  readonly #stopListening: (() => void) | undefined;
  #signed: Signed | undefined;
  /** The last set that was signed, by this process or before it. */
  #last: SeenSet | undefined;
  #isLastRead = false;
  #leftOut = '';
  #tail: Promise<void> = Promise.resolve();

  /** @throws SealwireError `OPTIONS_INVALID` */
  constructor(options: KeySetPublisherOptions) {
    const { lifeSeconds = MAX_KEY_SET_SECONDS, maxAgeSeconds = 900, checkMs = 1_000 } = options;
    checkRange('lifeSeconds', lifeSeconds, [300, MAX_KEY_SET_SECONDS]);
    checkRange('maxAgeSeconds', maxAgeSeconds, [1, MAX_KEY_SET_SECONDS]);
    checkRange('checkMs', checkMs, [100, 600_000]);
    this.issuer = options.issuer;
    this.#options = options;
    this.#lifeSeconds = lifeSeconds;
    this.#maxAgeSeconds = maxAgeSeconds;
    this.#now = options.now ?? Date.now;
    this.#stopListening = options.keys.onChange?.(() => void this.update());
    this.#timer = setInterval(() => void this.update(), checkMs);
    this.#timer.unref();
  }

  /** The set to serve now; undefined when none could be signed, or the last one has expired. */
  current(): ServedKeySet | undefined {
    const signed = this.#signed;
    const left = signed === undefined ? 0 : signed.expiresAt - Math.ceil(this.#now() / 1000);
    if (signed === undefined || left <= 0) return undefined;
    const { jws, version, expiresAt, maxAgeSeconds, statementJws } = signed;
    return { jws, version, expiresAt, maxAgeSeconds: Math.min(maxAgeSeconds, left), statementJws };
  }

  /** Signs a new set if the keys, the delegation or the age require it. Never rejects: failures go to `onError`. */
  update(): Promise<void> {
    // One after the other: each looks at the set before it.
    this.#tail = this.#tail.then(() => this.#signIfDue()).catch((error: unknown) => this.#options.onError?.(error));
    return this.#tail;
  }

  /** Stops renewing; the last set stays available. @returns when nothing is being written any more */
  close(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopListening?.();
    return this.#tail;
  }

  async #signIfDue(): Promise<void> {
    const nowMs = this.#now();
    const signer = await this.#options.signer();
    const version = this.#options.keys.version(nowMs);
    const published = this.#options.keys.publishedKeys(nowMs).map(({ jwk, ...span }) => ({ ...jwk, ...span }));
    const keys = this.#choose(published, nowMs);
    const fingerprint = fingerprintOf(keys);
    const last = await this.#readLast();
    if (version === undefined || isUnsaid({ version, fingerprint }, last, nowMs)) return this.#options.onUnversioned();
    const signed = this.#signed;
    const isDue =
      signed === undefined ||
      compareVersions(signed.version, version) !== 0 ||
      signed.delegation !== signer.delegation ||
      nowMs >= signed.signedAtMs + this.#lifeSeconds * 1000 * RENEW_AFTER ||
      nowMs < signed.signedAtMs - 1000;
    if (!isDue) return;
    // A clock that was set back is no matter: what the dates say will come again.
    if (last !== undefined && version.changed < last.version.changed) this.#options.onOlder?.();
    await this.#sign(signer, keys, { version, fingerprint }, nowMs);
  }

  async #readLast(): Promise<SeenSet | undefined> {
    if (!this.#isLastRead) this.#last = await readSignedSet(this.#options.file);
    this.#isLastRead = true;
    return this.#last;
  }

  async #sign(signer: SetSigner, keys: readonly PublishedJwk[], set: SeenSet, nowMs: number): Promise<void> {
    const { version } = set;
    const { delegation } = signer;
    const iat = Math.floor(nowMs / 1000);
    const expiresAt = Math.min(iat + this.#lifeSeconds, signer.delegationExpiresAt);
    const life = { iss: this.issuer, iat, exp: expiresAt };
    const ver = [version.changed, version.passed] as const;
    const jws = await signKeySet(signer.key, delegation, { ...life, ver, keys });
    const { statement = '' } = this.#options;
    const statementJws =
      statement === '' ? '' : await signStatement(signer.key, delegation, { ...life, ver: iat, statement });
    // Written before it is served: after a crash the same version must not mean other keys.
    await writeKeyFile(this.#options.file, `${jws}\n`, 0o644);
    this.#last = set;
    const maxAgeSeconds = this.#maxAgeSeconds;
    this.#signed = { jws, statementJws, version, expiresAt, maxAgeSeconds, delegation, signedAtMs: nowMs };
  }

  /**
   * A set has one curve: keys on another one are published when the first of them becomes active. Clients also limit
   * their number.
   */
  #choose(keys: readonly PublishedJwk[], nowMs: number): readonly PublishedJwk[] {
    const [current] = keys;
    const onCurve = keys.filter(({ crv }) => crv === current?.crv);
    // Senders will use the current key and its successors; other active keys may be left out.
    const isNeeded = (key: PublishedJwk) => key === current || (key.nbf ?? 0) * 1000 > nowMs;
    const byNeed = [...onCurve.filter(isNeeded), ...onCurve.filter((key) => !isNeeded(key))];
    const chosen = new Set(byNeed.slice(0, MAX_SET_KEYS));
    const leftOut = keys.filter((key) => !chosen.has(key)).map(({ kid }) => kid);
    if (leftOut.join() !== this.#leftOut && leftOut.length > 0) this.#options.onLeftOut?.(leftOut);
    this.#leftOut = leftOut.join();
    return keys.filter((key) => chosen.has(key));
  }
}

/** Whether the keys are others than those of the last set, though nothing says that they were changed. */
function isUnsaid({ version, fingerprint }: SeenSet, last: SeenSet | undefined, nowMs: number): boolean {
  if (last === undefined || version.changed !== last.version.changed) return false;
  const { passed } = last.version;
  if (version.passed === passed) return fingerprint !== last.fingerprint;
  // A date that had passed is one no more: the clock was set back, or the date was taken away.
  return version.passed < passed && nowMs >= passed * 1000;
}
