/** A recipient's private keys: created, loaded, saved, and handed out as handles only. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { SealwireError } from '../errors.js';
import { type Curve, curves } from '../jwe/algorithms.js';
import type { AgreementPool } from '../jwe/pool.js';
import type { Custody, OpeningKey, OpeningKeys, RecipientKey } from '../jwe/recipient.js';
import { LocalCustody } from './custody.js';
import { parseKeySet, readKeyFile, writeKeyFile } from './files.js';
import { type ImportedKey, importKey, type PublicJwk } from './import.js';

interface RingKey extends OpeningKey {
  readonly jwk: PublicJwk;
  readonly privateKey: KeyObject;
}

/** Options of {@link KeyRing}'s factories. */
export interface KeyRingOptions {
  /** Where agreements are made. Default: the process's shared pool. */
  readonly pool?: Pick<AgreementPool, 'agree'>;
}

/**
 * Private keys by kid. The first is the one that senders use; dates and states come with rotation.
 * Nothing of a ring prints: neither `console.log`, `JSON.stringify` nor an error shows a private key.
 */
export class KeyRing implements OpeningKeys {
  readonly custody: Custody;
  readonly #keys: ReadonlyMap<string, RingKey>;

  private constructor(keys: readonly RingKey[], options: KeyRingOptions) {
    this.#keys = new Map(keys.map((key) => [key.kid, key]));
    if (this.#keys.size !== keys.length) throw new SealwireError('KEY_FILE_INVALID', 'a key is there twice');
    this.custody = new LocalCustody(new Map(keys.map((key) => [key.kid, key.privateKey])), options.pool);
  }

  /** A ring with one new key. @param curve default P-521 */
  static create(curve: Curve = 'P-521', options: KeyRingOptions = {}): Promise<KeyRing> {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: curves[curve].openssl });
    return KeyRing.fromKeys([privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()], options);
  }

  /**
   * A ring of given private keys; the first is the one that senders use.
   *
   * @param keys PEM texts or JWKs
   * @throws SealwireError `KEY_INVALID`, `KEY_FILE_INVALID`
   */
  static async fromKeys(keys: readonly (string | object)[], options: KeyRingOptions = {}): Promise<KeyRing> {
    if (keys.length === 0) throw new SealwireError('KEY_FILE_INVALID', 'a key ring needs a key');
    return new KeyRing((await Promise.all(keys.map(importKey))).map(toRingKey), options);
  }

  /**
   * Reads a ring file: a JWK Set of private keys, readable by its owner only.
   *
   * @throws SealwireError `KEY_FILE_MISSING`, `KEY_FILE_MODE`, `KEY_FILE_INVALID`
   */
  static async load(path: string, options: KeyRingOptions = {}): Promise<KeyRing> {
    const keys = parseKeySet(path, await readKeyFile(path, { secret: true }));
    try {
      return await KeyRing.fromKeys(keys, options);
    } catch (error) {
      const why = error instanceof SealwireError ? error.message : 'unreadable';
      throw new SealwireError('KEY_FILE_INVALID', `${path}: ${why}`);
    }
  }

  /** Writes the ring file atomically with mode 0600. @throws SealwireError `KEY_FILE_WRITE` */
  async save(path: string): Promise<void> {
    const keys = [...this.#keys.values()].map(({ jwk, privateKey }) => {
      const { d } = privateKey.export({ format: 'jwk' });
      return { ...jwk, d };
    });
    await writeKeyFile(path, `${JSON.stringify({ keys }, null, 2)}\n`, 0o600);
  }

  find(kid: string): OpeningKey | undefined {
    return this.#keys.get(kid);
  }

  /** The key that senders use now. */
  current(): RecipientKey {
    return this.#keys.values().next().value as RingKey;
  }

  get currentKid(): string {
    return this.current().kid;
  }

  /** The public halves, for senders (RFC 7517 §5). */
  publicJwks(): { readonly keys: readonly PublicJwk[] } {
    return { keys: [...this.#keys.values()].map(({ jwk }) => jwk) };
  }

  /** Writes the public key set atomically with mode 0644. @throws SealwireError `KEY_FILE_WRITE` */
  async savePublic(path: string): Promise<void> {
    await writeKeyFile(path, `${JSON.stringify(this.publicJwks(), null, 2)}\n`, 0o644);
  }
}

function toRingKey({ jwk, publicKey, privateKey }: ImportedKey): RingKey {
  if (privateKey === undefined) throw new SealwireError('KEY_INVALID', 'a key ring needs private keys');
  return { kid: jwk.kid, crv: jwk.crv, jwk, publicKey, privateKey };
}
