import { createHash } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import { EMPTY_ROOT, hashLeaf, hashNode, MerkleFrontier } from '../../../src/audit/format/merkle-tree.js';

/** RFC 6962 §2.1 as it is written there: recursive, over all leaves. */
function rootByDefinition(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 0) return createHash('sha256').digest();
  if (leaves.length === 1) return leaves[0] as Buffer;
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  const left = rootByDefinition(leaves.slice(0, split));
  const right = rootByDefinition(leaves.slice(split));
  return createHash('sha256').update(Buffer.of(1)).update(left).update(right).digest();
}

function grow(leaves: readonly Buffer[], from = MerkleFrontier.empty()): MerkleFrontier {
  for (const leaf of leaves) from.append(leaf);
  return from;
}

const hex = (bytes: Buffer) => bytes.toString('hex');
const leavesOf = (count: number) => Array.from({ length: count }, (_, index) => hashLeaf(Buffer.from(`line ${index}`)));

// The tree of the certificate-transparency reference implementation, known from RFC 6962 implementations everywhere.
const REFERENCE_LEAVES = [
  '',
  '00',
  '10',
  '2021',
  '3031',
  '40414243',
  '5051525354555657',
  '606162636465666768696a6b6c6d6e6f',
];
const REFERENCE_ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

describe('hashLeaf and hashNode', () => {
  it('hash with the prefixes 0 and 1', () => {
    expect(hex(hashLeaf(Buffer.from('L123456')))).to.equal(
      '395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56',
    );
    expect(hex(hashNode(Buffer.alloc(32, 2), Buffer.alloc(32, 3)))).to.equal(
      createHash('sha256')
        .update(Buffer.concat([Buffer.of(1), Buffer.alloc(32, 2), Buffer.alloc(32, 3)]))
        .digest('hex'),
    );
  });
});

describe('MerkleFrontier', () => {
  it('gives the roots of the reference tree', () => {
    const frontier = MerkleFrontier.empty();
    expect(hex(EMPTY_ROOT)).to.equal(REFERENCE_ROOTS[0]);
    expect(hex(frontier.root())).to.equal(REFERENCE_ROOTS[0]);
    REFERENCE_LEAVES.forEach((leaf, index) => {
      frontier.append(hashLeaf(Buffer.from(leaf, 'hex')));
      expect(hex(frontier.root())).to.equal(REFERENCE_ROOTS[index + 1]);
    });
  });

  it('gives the root that RFC 6962 defines, for every size to 130', () => {
    const leaves = leavesOf(130);
    const frontier = MerkleFrontier.empty();
    for (let size = 0; size <= leaves.length; size++) {
      expect(frontier.size).to.equal(size);
      expect(hex(frontier.root()), String(size)).to.equal(hex(rootByDefinition(leaves.slice(0, size))));
      if (size < leaves.length) frontier.append(leaves[size] as Buffer);
    }
  });

  it('goes on from any size as if it had never stopped, and holds one hash for each 1 bit', () => {
    const leaves = leavesOf(300);
    fc.assert(
      fc.property(fc.nat(300), fc.nat(300), (a, b) => {
        const [stop, end] = a < b ? [a, b] : [b, a];
        const stopped = grow(leaves.slice(0, stop));
        expect(stopped.hashes).to.have.length(stop.toString(2).replaceAll('0', '').length);
        const again = MerkleFrontier.from(stop, stopped.hashes);
        expect(again).not.to.equal(undefined);
        const root = hex(grow(leaves.slice(stop, end), again).root());
        expect(root).to.equal(hex(rootByDefinition(leaves.slice(0, end))));
      }),
    );
  });

  it('is not taken up with a number or length of hashes that does not fit the size', () => {
    const { hashes } = grow(leavesOf(7));
    expect(MerkleFrontier.from(7, hashes)).not.to.equal(undefined);
    for (const size of [-1, 0, 1, 6, 8, 1.5, Number.NaN, 2 ** 53]) {
      expect(MerkleFrontier.from(size, hashes), String(size)).to.equal(undefined);
    }
    expect(MerkleFrontier.from(7, [...hashes.slice(1), Buffer.alloc(31)])).to.equal(undefined);
    expect(
      MerkleFrontier.from(
        2 ** 53 - 1,
        Array.from({ length: 53 }, () => Buffer.alloc(32)),
      )?.size,
    ).to.equal(2 ** 53 - 1);
  });

  it('is not changed through a copy', () => {
    const frontier = grow(leavesOf(5));
    const before = hex(frontier.root());
    const copy = frontier.copy();
    copy.append(hashLeaf(Buffer.from('more')));
    expect(hex(frontier.root())).to.equal(before);
    expect(hex(copy.root())).not.to.equal(before);
  });
});
