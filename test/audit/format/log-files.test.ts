import { expect } from 'chai';
import { listSegments, segmentFile } from '../../../src/audit/format/log-files.js';

describe('names of log files', () => {
  it('are the first sequence number in 20 digits and what the file holds', () => {
    expect(segmentFile(0, 'jsonl')).to.equal('00000000000000000000.jsonl');
    expect(segmentFile(42, 'leaves')).to.equal('00000000000000000042.leaves');
    expect(segmentFile(2 ** 53 - 1, 'frontier')).to.equal('00009007199254740991.frontier');
  });

  it('are found among others, in the order of their numbers', () => {
    const names = [
      segmentFile(10, 'jsonl'),
      segmentFile(9, 'jsonl'),
      segmentFile(11, 'leaves'),
      'checkpoint',
      'lock',
      '0.jsonl',
      `x${segmentFile(1, 'jsonl')}`,
      `${segmentFile(1, 'jsonl')}.tmp`,
      '99999999999999999999.jsonl',
    ];
    expect(listSegments(names, 'jsonl')).to.deep.equal([9, 10]);
    expect(listSegments(names, 'leaves')).to.deep.equal([11]);
    expect(listSegments([], 'frontier')).to.deep.equal([]);
  });
});
