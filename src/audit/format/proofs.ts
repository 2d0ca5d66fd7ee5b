/**
 * Proofs about the tree (RFC 6962 §2.1.1, §2.1.2): made from leaf hashes in one pass with memory that grows with the
 * height of the tree only, and verified with sizes, indexes and hashes taken as hostile.
 */
import { SealwireError } from '../../errors.js';
import { HASH_BYTES, hashNode, MerkleFrontier } from './merkle-tree.js';

/** Leaves `from` to `to`, the last one not included. */
export interface LeafRange {
  readonly from: number;
  readonly to: number;
}

/**
 * Which subtrees an inclusion proof consists of (RFC 6962 §2.1.1), from the leaf's sibling up.
 *
 * @throws SealwireError `OPTIONS_INVALID` unless 0 ≤ index < size
 */
export function inclusionRanges(index: number, size: number): LeafRange[] {
  if (!isSize(index) || !isSize(size) || index >= size) throw unprovable(`no leaf ${index} in a tree of ${size}`);
  const ranges: LeafRange[] = [];
  let [from, to] = [0, size];
  while (to - from > 1) {
    const middle = from + split(to - from);
    if (index < middle) {
      ranges.push({ from: middle, to });
      to = middle;
    } else {
      ranges.push({ from, to: middle });
      from = middle;
    }
  }
  return ranges.reverse();
}

/**
 * Which subtrees a consistency proof consists of (RFC 6962 §2.1.2).
 *
 * @throws SealwireError `OPTIONS_INVALID` unless 0 < oldSize ≤ newSize
 */
export function consistencyRanges(oldSize: number, newSize: number): LeafRange[] {
  if (!isSize(oldSize) || !isSize(newSize) || oldSize === 0 || oldSize > newSize) {
    throw unprovable(`no proof from a tree of ${oldSize} to one of ${newSize}`);
  }
  const ranges: LeafRange[] = [];
  let [from, to] = [0, newSize];
  // Whether the part looked at begins with the whole old tree, whose root the verifier knows.
  let isOldRoot = true;
  while (to > oldSize) {
    const middle = from + split(to - from);
    if (oldSize <= middle) {
      ranges.push({ from: middle, to });
      to = middle;
    } else {
      ranges.push({ from, to: middle });
      from = middle;
      isOldRoot = false;
    }
  }
  if (!isOldRoot) ranges.push({ from, to });
  return ranges.reverse();
}

/**
 * @param ranges disjoint, in any order
 * @param leaves all leaf hashes from the first leaf on, 32 bytes each, in blocks of whole hashes
 * @returns the root of each range's leaves, in the order of the ranges
 * @throws SealwireError `OPTIONS_INVALID` when there are fewer leaves
 */
export function hashRanges(ranges: readonly LeafRange[], leaves: Iterable<Buffer>): Buffer[] {
  const order = ranges.map((range, index) => ({ ...range, index })).sort((a, b) => a.from - b.from);
  const roots = new Array<Buffer>(ranges.length);
  let tree = MerkleFrontier.empty();
  let next = 0;
  let at = 0;
  for (const block of leaves) {
    for (let offset = 0; offset < block.length && next < order.length; offset += HASH_BYTES, at++) {
      const { from, to, index } = order[next] as LeafRange & { index: number };
      if (at < from) continue;
      // A view would keep the whole block in memory.
      tree.append(Buffer.from(block.subarray(offset, offset + HASH_BYTES)));
      if (at + 1 < to) continue;
      roots[index] = tree.root();
      tree = MerkleFrontier.empty();
      next++;
    }
    if (next === order.length) break;
  }
  if (next < order.length) throw unprovable(`only ${at} leaves are there`);
  return roots;
}

/**
 * Whether a leaf is the one at `index` of the tree with `root` (RFC 9162 §2.1.3.2).
 *
 * @param proof from the leaf's sibling up; anything that does not fit makes the result false
 */
export function verifyInclusion(
  index: number,
  size: number,
  leafHash: Buffer,
  root: Buffer,
  proof: readonly Buffer[],
): boolean {
  if (!isSize(index) || !isSize(size) || index >= size || !areHashes([leafHash, root, ...proof])) return false;
  let [node, last] = [index, size - 1];
  let hash = leafHash;
  for (const sibling of proof) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      hash = hashNode(sibling, hash);
      while (node % 2 === 0 && node !== 0) [node, last] = [half(node), half(last)];
    } else {
      hash = hashNode(hash, sibling);
    }
    [node, last] = [half(node), half(last)];
  }
  return last === 0 && hash.equals(root);
}

/**
 * Whether the tree with `oldRoot` is the beginning of the tree with `newRoot` (RFC 9162 §2.1.4.2).
 *
 * @param proof anything that does not fit makes the result false, and so does an empty old tree, of which nothing can
 *   be said
 */
export function verifyConsistency(
  oldSize: number,
  newSize: number,
  oldRoot: Buffer,
  newRoot: Buffer,
  proof: readonly Buffer[],
): boolean {
  if (!isSize(oldSize) || !isSize(newSize) || oldSize === 0 || oldSize > newSize) return false;
  if (oldSize === newSize) return proof.length === 0 && oldRoot.equals(newRoot);
  if (!areHashes([oldRoot, newRoot, ...proof])) return false;
  // A whole power of two is a node of the new tree, and its root the first hash.
  const [first, ...rest] = isPowerOfTwo(oldSize) ? [oldRoot, ...proof] : proof;
  if (first === undefined) return false;
  let [node, last] = [oldSize - 1, newSize - 1];
  while (node % 2 === 1) [node, last] = [half(node), half(last)];
  let [oldHash, newHash] = [first, first];
  for (const sibling of rest) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      oldHash = hashNode(sibling, oldHash);
      newHash = hashNode(sibling, newHash);
      while (node % 2 === 0 && node !== 0) [node, last] = [half(node), half(last)];
    } else {
      newHash = hashNode(newHash, sibling);
    }
    [node, last] = [half(node), half(last)];
  }
  return last === 0 && oldHash.equals(oldRoot) && newHash.equals(newRoot);
}

/** The largest power of two below `size`; sizes pass 2^31, where bit operations end. */
function split(size: number): number {
  let power = 1;
  while (power * 2 < size) power *= 2;
  return power;
}

function half(value: number): number {
  return Math.floor(value / 2);
}

function isPowerOfTwo(value: number): boolean {
  return value === 1 || split(value) * 2 === value;
}

function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function areHashes(values: readonly Buffer[]): boolean {
  return values.every((value) => value.length === HASH_BYTES);
}

function unprovable(message: string): SealwireError {
  return new SealwireError('OPTIONS_INVALID', message);
}
