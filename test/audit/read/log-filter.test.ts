import { expect } from 'chai';
import { type LogRecord, parseRecord } from '../../../src/audit/format/log-record.js';
import { encodeRecord, type RecordInput } from '../../../src/audit/format/record.js';
import { compileFilter, type LogFilterOptions } from '../../../src/audit/read/log-filter.js';
import { countLog } from '../../../src/audit/read/log-stats.js';
import { field, input, reject } from '../helpers.js';

const refused = (path: string) => field({ path, keep: false, outcome: 'refused' });
const INPUTS: readonly RecordInput[] = [
  input(),
  reject(),
  // The step that failed came after those of the tokens, or before: no field has it.
  { ...reject('INNER_INVALID at card.number'), fields: [refused('card'), refused('security_code')] },
  { ...reject('FIELD_REQUIRED at items[3].card'), fields: [] },
  { ...reject('TOO_MANY_TOKENS'), fields: [] },
  { ...reject('245 more refused calls'), fields: [] },
  { ...reject('7 more refused calls of other callers'), fields: [] },
];
const LINES = INPUTS.map((each, seq) => encodeRecord(each, { seq, time: 0, origin: 'test' }));
const find = (options: LogFilterOptions) => {
  const { needle, matches } = compileFilter(options);
  return LINES.flatMap((line, seq) =>
    Buffer.from(line).includes(needle ?? '') && matches(parseRecord(line) as LogRecord) ? [seq] : [],
  );
};

describe('a filter', () => {
  it('finds the step of a refusal that stands in the detail alone', () => {
    expect(find({ reason: ['DECRYPTION_FAILED'] })).to.deep.equal([1]);
    expect(find({ reason: ['INNER_INVALID'] })).to.deep.equal([2]);
    expect(find({ reason: ['INNER_INVALID'], field: ['card'] })).to.deep.equal([2]);
    expect(find({ reason: ['FIELD_REQUIRED'] })).to.deep.equal([3]);
    expect(find({ reason: ['TOO_MANY_TOKENS'] })).to.deep.equal([4]);
    expect(find({ reason: ['REPLAYED'] })).to.deep.equal([]);
  });

  it('takes each rejected call for refused, also without fields', () => {
    expect(find({ outcome: ['refused'] })).to.deep.equal([1, 2, 3, 4, 5, 6]);
    expect(find({ outcome: ['refused'], principal: ['nobody'] })).to.deep.equal([]);
    expect(find({ outcome: ['opened'] })).to.deep.equal([0]);
  });

  it('finds a field that was refused before its token was looked at', () => {
    expect(find({ field: ['card'] })).to.deep.equal([0, 1, 2, 3]);
    expect(find({ field: ['payments.v1.AuthorizeRequest.card'] })).to.deep.equal([0, 1, 2, 3]);
    expect(find({ field: ['number'] })).to.deep.equal([]);
  });
});

describe('counts of a log', () => {
  it('have each refusal with its step, and the calls that were only counted', () => {
    const {
      records,
      refused: calls,
      counts,
    } = countLog(LINES.map((line) => ({ origin: 'test', record: parseRecord(line) })));
    expect([records, calls]).to.deep.equal([7, { calls: 256, onlyCounted: 252 }]);
    expect(counts.reason).to.deep.equal([
      ['DECRYPTION_FAILED', 1],
      ['FIELD_REQUIRED', 1],
      ['INNER_INVALID', 1],
      ['TOO_MANY_TOKENS', 1],
    ]);
    // A refusal without a token is none of a field.
    expect(counts.outcome).to.deep.equal([
      ['refused', 3],
      ['opened', 1],
    ]);
  });
});
