import { expect } from 'chai';
import { encodedBytes, encodeRecord, type RecordInput } from '../../../src/audit/format/record.js';
import { RejectNotes } from '../../../src/audit/write/reject-notes.js';
import { SealwireError } from '../../../src/errors.js';
import { field, reject } from '../helpers.js';

/** Notes with a clock, and what was written. */
function makeNotes(options: object) {
  const state = { now: Date.UTC(2026, 0, 1), isFull: false };
  const written: RecordInput[] = [];
  const notes = new RejectNotes({ ...options, now: () => state.now }, 'test', (input, lost) => {
    if (state.isFull) lost();
    else written.push(input);
  });
  return { state, written, notes, details: () => written.map(({ detail }) => detail) };
}

describe('RejectNotes', () => {
  it('writes no more in an hour than it is given, and counts the rest', () => {
    const { state, written, notes, details } = makeNotes({ rejectBytesPerHour: 100_000 });
    for (let second = 0; second < 3_600; second++) {
      for (let call = 0; call < 10; call++) notes.note(reject());
      state.now += 1_000;
    }
    const single = written.filter(({ fields }) => fields.length > 0).length;
    const bytes = written.filter(({ fields }) => fields.length > 0).map((note) => encodedBytes(note, 'test'));
    expect(bytes.reduce((sum, size) => sum + size, 0)).to.be.within(99_000, 100_000);
    notes.close();
    const counted = details().map((detail) => Number(/^(\d+) more/.exec(detail)?.[1] ?? 0));
    expect(counted.reduce((sum, count) => sum + count, 0)).to.equal(36_000 - single);
    // The next hour has a budget of its own.
    const before = written.length;
    const again = makeNotes({ rejectBytesPerHour: 100_000 });
    again.state.now += 3_600_000;
    again.notes.note(reject());
    expect(again.written).to.have.length(1);
    expect(before).to.be.greaterThan(0);
    again.notes.close();
  });

  it('begins anew when an hour is over, and when the clock was set back', () => {
    const { state, written, notes } = makeNotes({ rejectBytesPerHour: 1_024 });
    for (const step of [0, 1, 3_600_000, -7_200_000]) {
      state.now += step;
      notes.note(reject());
      notes.note(reject());
    }
    notes.close();
    expect(written.filter(({ fields }) => fields.length > 0).length).to.be.within(3, 6);
  });

  it('counts bytes as they are written, escapes too', () => {
    const { written, notes } = makeNotes({ rejectBytesPerHour: 100_000, rejectsPerSecond: 10_000 });
    const header = Buffer.from(JSON.stringify({ kid: '\u0001\u202e'.repeat(250) })).toString('base64url');
    const token = `${header}.a.b.c.d`;
    for (let call = 0; call < 1_000; call++) {
      notes.note({
        ...reject(),
        fields: [field({ token, keep: false, outcome: 'refused', path: '\u0001'.repeat(500) })],
      });
    }
    notes.close();
    const bytes = written.map((note) => Buffer.byteLength(encodeRecord(note, { seq: 1, time: 0, origin: 'test' })));
    expect(bytes[0]).to.be.greaterThan(5_000);
    expect(bytes.reduce((sum, size) => sum + size, 0)).to.be.within(80_000, 100_500);
  });

  it('writes what one caller tries however much rubbish another one sends', () => {
    const { state, written, notes } = makeNotes({ rejectBytesPerHour: 20_000, rejectsPerSecond: 10 });
    const from = (account: string) => notes.note({ ...reject(), account, principal: `name of ${account}` });
    for (let second = 0; second < 100; second++) {
      for (let call = 0; call < 100; call++) from('address:flood');
      from('certificate:probe');
      state.now += 30_000;
    }
    notes.close();
    const of = (account: string) => written.filter(({ principal }) => principal === `name of ${account}`);
    const single = ({ fields }: RecordInput) => fields.length > 0;
    expect(of('certificate:probe').filter(single).length).to.be.greaterThan(20);
    expect(of('address:flood').filter(single).length).to.be.lessThan(40);
    const told = of('address:flood').flatMap(({ detail }) => /^(\d+) more refused calls$/.exec(detail)?.[1] ?? []);
    const sum = told.reduce((total, count) => total + Number(count), 0);
    expect(sum + of('address:flood').filter(single).length).to.equal(10_000);
  });

  it('gives so many callers a budget of their own, and one to all others', () => {
    const { written, notes } = makeNotes({ rejectsPerSecond: 1 });
    for (let caller = 0; caller < 1_000; caller++) {
      for (let call = 0; call < 2; call++)
        notes.note({ ...reject(), account: `address:${caller}`, principal: `p${caller}` });
    }
    notes.close();
    expect(written.filter(({ fields }) => fields.length > 0)).to.have.length(129);
    const others = written.find(({ detail }) => detail.endsWith('of other callers'));
    expect(others).to.include({
      detail: `${2 * (1_000 - 128) - 1} more refused calls of other callers`,
      principal: '',
    });
  });

  it('keeps the number for later while nothing can be written', () => {
    const { state, notes, details } = makeNotes({ rejectsPerSecond: 1 });
    state.isFull = true;
    for (let call = 0; call < 5; call++) notes.note(reject());
    state.now += 1_000;
    notes.note(reject());
    expect(details()).to.deep.equal([]);
    state.isFull = false;
    notes.close();
    expect(details()).to.deep.equal(['6 more refused calls']);
  });

  for (const options of [{ rejectBytesPerHour: 1 }, { rejectBytesPerHour: 2 ** 41 }, { rejectsPerSecond: 0.5 }]) {
    it(`refuses ${JSON.stringify(options)}`, () => {
      expect(() => makeNotes(options))
        .to.throw(SealwireError)
        .with.property('code', 'OPTIONS_INVALID');
    });
  }
});
