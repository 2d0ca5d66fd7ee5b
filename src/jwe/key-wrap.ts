/** AES key wrapping (RFC 3394) with one 256-bit key-encryption key for many CEKs. */
import {
  type Cipher,
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type Decipher,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { type ContentEncryption, encryptions } from '../profile/algorithms.js';

const ALGORITHM = 'id-aes256-wrap';
/** RFC 3394 §2.2.3.1. */
const IV = Buffer.alloc(8, 0xa6);

/**
 * Whether a key-wrap cipher object takes further updates, each of them a whole wrap. In Node 20 and 22 it does, which
 * halves the cost; Node 26 refuses the second update, and so do releases of Node 24 from 24.22 on. No documentation
 * promises either.
 *
 * @returns true only if several wraps and unwraps by one object give what fresh objects give
 */
export function testReuse(): boolean {
  const kek = createSecretKey(randomBytes(32));
  const ceks = [randomBytes(32), randomBytes(16), randomBytes(64)];
  const wrapped = ceks.map((cek) => createCipheriv(ALGORITHM, kek, IV).update(cek));
  try {
    const cipher = createCipheriv(ALGORITHM, kek, IV);
    if (!ceks.every((cek, index) => cipher.update(cek).equals(wrapped[index] as Buffer))) return false;
    const decipher = createDecipheriv(ALGORITHM, kek, IV);
    return wrapped.every((each, index) => decipher.update(each).equals(ceks[index] as Buffer));
  } catch {
    return false;
  }
}

/** Found out once, when the module is loaded. */
export const REUSES_CIPHERS = testReuse();

/** Wraps CEKs with one 256-bit key-encryption key. */
export class KeyWrapper {
  readonly #kek: KeyObject;
  readonly #cipher: Cipher | undefined;

  /** @param reuse whether one cipher object serves all CEKs; default: if this Node allows it */
  constructor(kek: KeyObject, reuse = REUSES_CIPHERS) {
    this.#kek = kek;
    if (reuse) this.#cipher = createCipheriv(ALGORITHM, kek, IV);
  }

  /** @param cek a multiple of 8 bytes, at least 16 */
  wrap(cek: Buffer): Buffer {
    return (this.#cipher ?? createCipheriv(ALGORITHM, this.#kek, IV)).update(cek);
  }
}

/** Unwraps CEKs with one 256-bit key-encryption key. */
export class KeyUnwrapper {
  readonly #kek: KeyObject;
  readonly #reuse: boolean;
  #decipher: Decipher | undefined;
  #failed = false;

  /** @param reuse as for {@link KeyWrapper} */
  constructor(kek: KeyObject, reuse = REUSES_CIPHERS) {
    this.#kek = kek;
    this.#reuse = reuse;
  }

  /**
   * Unwraps a CEK. On failure it returns a random one, so that what follows fails in the same way and at
   * the same place as with a wrong tag (RFC 7516 §11.5).
   */
  unwrap(wrapped: Buffer, enc: ContentEncryption): Buffer {
    this.#failed = false;
    try {
      const decipher = this.#decipher ?? createDecipheriv(ALGORITHM, this.#kek, IV);
      if (this.#reuse) this.#decipher = decipher;
      return decipher.update(wrapped);
    } catch {
      this.#decipher = undefined;
      this.#failed = true;
      return randomBytes(encryptions[enc].keyBytes);
    }
  }

  /**
   * Takes the time that a failure takes, unless the last CEK did: a wrong tag must not be much quicker than a wrong
   * key.
   */
  evenOut(enc: ContentEncryption): void {
    if (!this.#failed) this.unwrap(Buffer.alloc(encryptions[enc].keyBytes + IV.length), enc);
  }
}
