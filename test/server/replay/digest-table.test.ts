import { createHash } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import { DigestTable, NONE, SLOT_BYTES } from '../../../src/server/replay/digest-table.js';

function digest(text: string | number): Buffer {
  return createHash('sha256').update(String(text)).digest();
}

describe('DigestTable', () => {
  it('finds what is in it, by 16 bytes of the digest', () => {
    const table = new DigestTable();
    expect(table.find(digest(1))).to.equal(NONE);
    table.add(digest(1), 7);
    expect(table.label(table.find(digest(1)))).to.equal(7);
    expect(table.find(digest(1).subarray(0, 16))).to.equal(table.find(digest(1)));
    for (let byte = 0; byte < 16; byte++) {
      const other = digest(1);
      other.writeUInt8(other.readUInt8(byte) ^ 1, byte);
      expect(table.find(other), `byte ${byte}`).to.equal(NONE);
    }
  });

  it('behaves like a map, whatever is added and removed', () => {
    const steps = fc.array(fc.tuple(fc.boolean(), fc.nat(200)), { maxLength: 2_000, minLength: 1_000, size: 'max' });
    fc.assert(
      fc.property(steps, (script) => {
        const table = new DigestTable();
        const model = new Map<number, number>();
        script.forEach(([add, id], step) => {
          if (add && !model.has(id)) {
            table.add(digest(id), step + 1);
            model.set(id, step + 1);
          } else if (!add && model.delete(id)) table.remove(table.find(digest(id)));
        });
        expect(table.size).to.equal(model.size);
        for (let id = 0; id <= 200; id++) {
          const slot = table.find(digest(id));
          expect(slot === NONE ? undefined : table.label(slot)).to.equal(model.get(id));
        }
        const labels = Array.from({ length: table.slots }, (_, slot) => table.label(slot));
        expect(labels.filter((label) => label !== 0).length).to.equal(model.size);
      }),
      { numRuns: 50 },
    );
  });

  it('finds everything while it grows over several chunks, and uses freed slots again', () => {
    const table = new DigestTable();
    const ids = Array.from({ length: 20_000 }, (_, id) => id);
    for (const id of ids) table.add(digest(id), id + 1);
    for (const id of ids) expect(table.label(table.find(digest(id)))).to.equal(id + 1);
    const { bytes } = table;
    for (const id of ids) table.remove(table.find(digest(id)));
    expect([table.size, table.find(digest(1))]).to.deep.equal([0, NONE]);
    for (const id of ids) table.add(digest(`new ${id}`), id + 1);
    expect([table.size, table.slots, table.bytes]).to.deep.equal([20_000, 20_000, bytes]);
  });

  it('allocates nothing before the first digest, and then in steps of 8,192 slots', () => {
    const table = new DigestTable();
    expect(table.bytes).to.equal(0);
    table.add(digest(1), 1);
    expect(table.bytes).to.equal(8_192 * SLOT_BYTES);
    table.reserve(8_192);
    expect(table.bytes).to.equal(2 * 8_192 * SLOT_BYTES);
  });
});
