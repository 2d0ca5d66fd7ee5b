/** The second key of an agreement: it wraps the CEKs of replies. */
import type { KeyObject } from 'node:crypto';
import { KeyUnwrapper, KeyWrapper } from './key-wrap.js';

/** The key of one agreement for replies; both sides derive it. */
export class ReplyKey {
  /** `replyKid` of the agreement's `epk`. */
  readonly kid: string;
  readonly #kek: KeyObject;
  #wrapper: KeyWrapper | undefined;
  #unwrapper: KeyUnwrapper | undefined;

  constructor(kek: KeyObject, kid: string) {
    this.#kek = kek;
    this.kid = kid;
  }

  /** The 32 bytes of the key, for a file that its owner alone can read. */
  export(): Uint8Array {
    return this.#kek.export();
  }

  wrap(cek: Buffer): Buffer {
    this.#wrapper ??= new KeyWrapper(this.#kek);
    return this.#wrapper.wrap(cek);
  }

  unwrap(wrapped: Buffer): Buffer {
    this.#unwrapper ??= new KeyUnwrapper(this.#kek);
    return this.#unwrapper.unwrap(wrapped, 'A256GCM');
  }
}
