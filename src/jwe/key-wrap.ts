/** AES key wrapping (RFC 3394): one cipher object serves all CEKs of an agreement. */
import { type Cipher, createCipheriv, createDecipheriv, type Decipher, type KeyObject, randomBytes } from 'node:crypto';
import { type ContentEncryption, encryptions } from '../profile/algorithms.js';

const ALGORITHM = 'id-aes256-wrap';
/** RFC 3394 §2.2.3.1. */
const IV = Buffer.alloc(8, 0xa6);

/** Wraps CEKs with one 256-bit key-encryption key. */
export class KeyWrapper {
  /** Each `update` is one whole wrap; making the object costs as much again. */
  readonly #cipher: Cipher;

  constructor(kek: KeyObject) {
    this.#cipher = createCipheriv(ALGORITHM, kek, IV);
  }

  /** @param cek a multiple of 8 bytes, at least 16 */
  wrap(cek: Buffer): Buffer {
    return this.#cipher.update(cek);
  }
}

/** Unwraps CEKs with one 256-bit key-encryption key. */
export class KeyUnwrapper {
  readonly #kek: KeyObject;
  #decipher: Decipher | undefined;

  constructor(kek: KeyObject) {
    this.#kek = kek;
  }

  /**
   * Unwraps a CEK. On failure it returns a random one, so that what follows fails in the same way and at
   * the same place as with a wrong tag (RFC 7516 §11.5).
   */
  unwrap(wrapped: Buffer, enc: ContentEncryption): Buffer {
    try {
      this.#decipher ??= createDecipheriv(ALGORITHM, this.#kek, IV);
      return this.#decipher.update(wrapped);
    } catch {
      this.#decipher = undefined;
      return randomBytes(encryptions[enc].keyBytes);
    }
  }
}
