import { expect } from 'chai';
import { GroupWriter, type LineStore } from '../../../src/audit/write/group-writer.js';

const store: LineStore = {
  nextSeq: 0,
  append: async () => true,
  sync: async () => {},
  isDue: () => false,
  upkeep: async () => {},
  onDue: () => {},
  finish: async () => {},
  close: async () => {},
};
const record = { encode: (seq: number) => `{"seq":${seq}}`, written: () => {}, sync: true, size: 10 };

describe('GroupWriter', () => {
  for (let turns = 0; turns < 12; turns++) {
    it(`writes a record that comes ${turns} microtasks after the one before it was settled`, async () => {
      const writer = new GroupWriter(store, { deadlineMs: 500 });
      await writer.commit(record);
      for (let turn = 0; turn < turns; turn++) await null;
      await writer.commit(record);
      expect(writer.stats()).to.include({ records: 2, queued: 0 });
      await writer.close();
    });
  }
});
