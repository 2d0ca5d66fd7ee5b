import { expect } from 'chai';
import type { RecordInput } from '../../../src/audit/format/record.js';
import { RejectNotes } from '../../../src/audit/write/reject-notes.js';
import { SealwireError } from '../../../src/errors.js';
import { reject } from '../helpers.js';

/** Notes with a clock, and what was written. */
function makeNotes(options: object) {
  const state = { now: Date.UTC(2026, 0, 1), isFull: false };
  const written: RecordInput[] = [];
  const notes = new RejectNotes({ ...options, now: () => state.now }, (input, lost) => {
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
    expect(single).to.be.within(80, 100);
    const counted = details().map((detail) => Number(/^(\d+) more/.exec(detail)?.[1] ?? 0));
    notes.close();
    expect(counted.reduce((sum, count) => sum + count, 0)).to.be.within(36_000 - single - 10, 36_000 - single);
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
