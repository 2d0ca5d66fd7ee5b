/** The leaf hashes of a segment, one after the other. */

import { HASH_BYTES } from '../format/merkle-tree.js';
import { readItemBlocks } from './line-blocks.js';

/** Goes through a `.leaves` file. A file that is not there has no leaves. */
export class LeafCursor {
  readonly #blocks: Iterator<Buffer>;
  #block: Buffer = Buffer.alloc(0);
  #at = 0;

  /** @param from leaf to begin with. Default 0 */
  constructor(path: string | undefined, from = 0) {
    this.#blocks = path === undefined ? [][Symbol.iterator]() : readItemBlocks(path, HASH_BYTES, from);
  }

  /** @returns the next leaf, a view; undefined at the end */
  next(): Buffer | undefined {
    if (this.#at === this.#block.length) {
      const { value, done } = this.#blocks.next();
      if (done === true) return undefined;
      this.#block = value;
      this.#at = 0;
    }
    this.#at += HASH_BYTES;
    return this.#block.subarray(this.#at - HASH_BYTES, this.#at);
  }

  close(): void {
    this.#blocks.return?.();
  }
}
