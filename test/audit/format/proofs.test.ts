/**
 * Proofs against the vectors of transparency-dev/merkle, a slow tree that follows the RFC's words, and hostile input.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { EMPTY_ROOT, HASH_BYTES, hashLeaf, hashNode } from '../../../src/audit/format/merkle-tree.js';
import {
  consistencyRanges,
  hashRanges,
  inclusionRanges,
  verifyConsistency,
  verifyInclusion,
} from '../../../src/audit/format/proofs.js';
import { SealwireError } from '../../../src/errors.js';
import { VECTORS_HINT, vectorsPath } from '../../support/vectors.js';

interface Vector {
  readonly desc: string;
  readonly wantErr: boolean;
  readonly proof: readonly string[] | null;
}
interface InclusionVector extends Vector {
  readonly leafIdx: number;
  readonly treeSize: number;
  readonly root: string;
  readonly leafHash: string;
}
interface ConsistencyVector extends Vector {
  readonly size1: number;
  readonly size2: number;
  readonly root1: string;
  readonly root2: string;
}

function readAll<T>(context: Mocha.Context, kind: string): { readonly name: string; readonly vector: T }[] {
  const folder = vectorsPath('merkle', 'testdata', kind);
  if (folder === undefined) {
    if (context.test) context.test.title += ` (${VECTORS_HINT})`;
    return context.skip();
  }
  const names = readdirSync(folder, { recursive: true }).map(String);
  return names
    .filter((name) => name.endsWith('.json'))
    .map((name) => ({ name, vector: JSON.parse(readFileSync(join(folder, name), 'utf8')) as T }));
}

const bytes = (text: string) => Buffer.from(text, 'base64');
const leaves = (size: number) => Array.from({ length: size }, (_, index) => hashLeaf(Buffer.from(`leaf ${index}`)));

/** MTH of RFC 6962 §2.1, word for word. */
function slowRoot(hashes: readonly Buffer[]): Buffer {
  if (hashes.length === 0) return EMPTY_ROOT;
  if (hashes.length === 1) return hashes[0] as Buffer;
  let k = 1;
  while (k * 2 < hashes.length) k *= 2;
  return hashNode(slowRoot(hashes.slice(0, k)), slowRoot(hashes.slice(k)));
}

function* inBlocks(hashes: readonly Buffer[], perBlock = 5) {
  for (let at = 0; at < hashes.length; at += perBlock) yield Buffer.concat(hashes.slice(at, at + perBlock));
}

describe('audit proofs', () => {
  it('agree with every inclusion vector', function () {
    const vectors = readAll<InclusionVector>(this, 'inclusion');
    expect(vectors.length).to.be.greaterThan(80);
    for (const { name, vector } of vectors) {
      const { leafIdx, treeSize, root, leafHash, proof, wantErr } = vector;
      const good = verifyInclusion(leafIdx, treeSize, bytes(leafHash), bytes(root), (proof ?? []).map(bytes));
      expect(good, name).to.equal(!wantErr);
    }
  });

  it('agree with every consistency vector', function () {
    const vectors = readAll<ConsistencyVector>(this, 'consistency');
    expect(vectors.length).to.be.greaterThan(80);
    for (const { name, vector } of vectors) {
      const { size1, size2, root1, root2, proof, wantErr } = vector;
      const good = verifyConsistency(size1, size2, bytes(root1), bytes(root2), (proof ?? []).map(bytes));
      expect(good, name).to.equal(!wantErr);
    }
  });

  it('proves each leaf of each size, and nothing else', () => {
    const sized = fc.integer({ min: 1, max: 200 }).chain((size) => fc.tuple(fc.constant(size), fc.nat(size - 1)));
    fc.assert(
      fc.property(sized, fc.nat(), fc.integer({ min: 0, max: 255 }), ([size, index], place, bit) => {
        const all = leaves(size);
        const root = slowRoot(all);
        const leaf = all[index] as Buffer;
        const proof = hashRanges(inclusionRanges(index, size), inBlocks(all));
        expect(verifyInclusion(index, size, leaf, root, proof)).to.equal(true);
        expect(verifyInclusion((index + 1) % (size + 1), size, leaf, root, proof)).to.equal(false);
        expect(verifyInclusion(index, size, flip(leaf, bit), root, proof)).to.equal(false);
        expect(verifyInclusion(index, size, leaf, flip(root, bit), proof)).to.equal(false);
        expect(verifyInclusion(index, size, leaf, root, [...proof, root])).to.equal(false);
        if (proof.length === 0) return;
        expect(verifyInclusion(index, size, leaf, root, proof.slice(1))).to.equal(false);
        const changed = proof.map((hash, at) => (at === place % proof.length ? flip(hash, bit) : hash));
        expect(verifyInclusion(index, size, leaf, root, changed)).to.equal(false);
      }),
      { numRuns: 150 },
    );
  });

  it('proves each older tree of each tree, and nothing else', () => {
    const sizes = fc
      .integer({ min: 1, max: 200 })
      .chain((size) => fc.tuple(fc.integer({ min: 1, max: size }), fc.constant(size)));
    fc.assert(
      fc.property(sizes, fc.nat(), fc.integer({ min: 0, max: 255 }), ([older, newer], place, bit) => {
        const all = leaves(newer);
        const [oldRoot, newRoot] = [slowRoot(all.slice(0, older)), slowRoot(all)];
        const proof = hashRanges(consistencyRanges(older, newer), inBlocks(all, 7));
        expect(verifyConsistency(older, newer, oldRoot, newRoot, proof)).to.equal(true);
        expect(verifyConsistency(older, newer, flip(oldRoot, bit), newRoot, proof)).to.equal(false);
        expect(verifyConsistency(older, newer, oldRoot, flip(newRoot, bit), proof)).to.equal(false);
        expect(verifyConsistency(older, newer, oldRoot, newRoot, [...proof, newRoot])).to.equal(false);
        if (proof.length === 0) return;
        expect(verifyConsistency(older, newer, oldRoot, newRoot, proof.slice(1))).to.equal(false);
        const changed = proof.map((hash, at) => (at === place % proof.length ? flip(hash, bit) : hash));
        expect(verifyConsistency(older, newer, oldRoot, newRoot, changed)).to.equal(false);
      }),
      { numRuns: 150 },
    );
  });

  it('takes any sizes and indexes without an error or a long loop', () => {
    const odd = fc.oneof(fc.double(), fc.integer(), fc.constantFrom(2 ** 53, 2 ** 64, -0, Number.MAX_SAFE_INTEGER));
    const hashes = fc.array(fc.uint8Array({ minLength: HASH_BYTES - 1, maxLength: HASH_BYTES }).map(Buffer.from), {
      maxLength: 70,
    });
    const hash = Buffer.alloc(HASH_BYTES);
    fc.assert(
      fc.property(odd, odd, hashes, (first, second, proof) => {
        expect(verifyInclusion(first, second, hash, hash, proof)).to.be.a('boolean');
        expect(verifyConsistency(first, second, hash, hash, proof)).to.be.a('boolean');
      }),
    );
    expect(verifyInclusion(Number.NaN, 1, hash, hash, [])).to.equal(false);
    expect(verifyConsistency(1, Number.POSITIVE_INFINITY, hash, hash, [])).to.equal(false);
    expect(inclusionRanges(2 ** 52, 2 ** 53 - 1)).to.have.length(53);
  });

  it('refuses to prove what is not there, by code', () => {
    const refused: (() => unknown)[] = [
      () => inclusionRanges(3, 3),
      () => inclusionRanges(-1, 3),
      () => inclusionRanges(0.5, 3),
      () => consistencyRanges(0, 3),
      () => consistencyRanges(4, 3),
    ];
    for (const attempt of refused) {
      expect(attempt).to.throw(SealwireError).with.property('code', 'OPTIONS_INVALID');
    }
    expect(() => hashRanges(inclusionRanges(0, 8), inBlocks(leaves(7)))).to.throw(
      SealwireError,
      'only 7 leaves are there',
    );
  });
});

function flip(hash: Buffer, bit: number): Buffer {
  const copy = Buffer.from(hash);
  copy[bit >> 3] = (copy[bit >> 3] as number) ^ (1 << (bit & 7));
  return copy;
}
