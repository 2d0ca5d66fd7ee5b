/** The Merkle tree of RFC 6962 §2.1 (RFC 9162 §2.1.1): its two hashes, and a tree that only grows. */
import { createHash, hash } from 'node:crypto';

/** Bytes of each hash. */
export const HASH_BYTES = 32;

/** Root of the tree without leaves: the hash of nothing. */
export const EMPTY_ROOT: Buffer = createHash('sha256').digest();

const LEAF_PREFIX = Buffer.of(0x00);
/** Reused: hashing is synchronous, and a tree makes about one node per leaf. */
const nodeInput = Buffer.alloc(1 + 2 * HASH_BYTES, 0x01);

/** @param data the leaf's exact bytes @returns SHA-256 of 0x00 and the data */
export function hashLeaf(data: Uint8Array): Buffer {
  return createHash('sha256').update(LEAF_PREFIX).update(data).digest();
}

/** @returns SHA-256 of 0x01 and the two hashes */
export function hashNode(left: Uint8Array, right: Uint8Array): Buffer {
  nodeInput.set(left, 1);
  nodeInput.set(right, 1 + HASH_BYTES);
  return hash('sha256', nodeInput, 'buffer');
}

/**
 * A tree that only grows, kept as its frontier: the roots of the complete subtrees that it is made of, largest
 * first, one for each 1 bit of its size. At most 53 hashes, whatever the size.
 */
export class MerkleFrontier {
  #size: number;
  readonly #hashes: Buffer[];

  private constructor(size: number, hashes: readonly Buffer[]) {
    this.#size = size;
    this.#hashes = [...hashes];
  }

  static empty(): MerkleFrontier {
    return new MerkleFrontier(0, []);
  }

  /**
   * Takes up a tree again. Whether the hashes are right shows only when the root is compared with a signed one.
   *
   * @param size leaves, up to 2^53 - 1
   * @param hashes as {@link hashes} gave them
   * @returns undefined when their number or length does not fit the size
   */
  static from(size: number, hashes: readonly Buffer[]): MerkleFrontier | undefined {
    if (!Number.isSafeInteger(size) || size < 0) return undefined;
    if (hashes.length !== countOnes(size) || hashes.some(({ length }) => length !== HASH_BYTES)) return undefined;
    return new MerkleFrontier(size, hashes);
  }

  /** Number of leaves. */
  get size(): number {
    return this.#size;
  }

  /** The frontier, largest subtree first. */
  get hashes(): readonly Buffer[] {
    return [...this.#hashes];
  }

  copy(): MerkleFrontier {
    return new MerkleFrontier(this.#size, this.#hashes);
  }

  /** @param leaf hash of the next leaf; kept, so it must not change */
  append(leaf: Buffer): void {
    let node = leaf;
    // Each trailing 1 bit of the size is a complete subtree that this leaf makes twice as large.
    for (let rest = this.#size; rest % 2 === 1; rest = (rest - 1) / 2) {
      node = hashNode(this.#hashes.pop() as Buffer, node);
    }
    this.#hashes.push(node);
    this.#size++;
  }

  root(): Buffer {
    if (this.#hashes.length === 0) return EMPTY_ROOT;
    return this.#hashes.reduceRight((right, left) => hashNode(left, right));
  }
}

function countOnes(size: number): number {
  let ones = 0;
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) ones += rest % 2;
  return ones;
}
