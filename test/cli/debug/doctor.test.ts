import { expect } from 'chai';
import { clockDifference } from '../../../src/cli/debug/doctor-network.js';

describe('the clock row of sealwire doctor, for a date that is cut to its second', () => {
  const second = Date.UTC(2026, 0, 2, 3, 4, 5);
  const cases: readonly (readonly [name: string, begun: number, ended: number, off: number])[] = [
    ['an answer at the begin of the second', 0, 1, 0],
    ['an answer at the end of the second', 998, 999, 0],
    ['a question from the second before', -20, 3, 0],
    ['a question that was long under way', -1_500, 2_500, 0],
    ['a clock that is a little ahead', -300, -200, 0],
    ['a clock that is ahead', -5_020, -5_000, 5],
    ['a clock that is a little behind', 1_300, 1_310, 0],
    ['a clock that is behind', 5_999, 6_010, -5],
  ];
  for (const [name, begun, ended, off] of cases) {
    it(name, () => void expect(clockDifference(second, second + begun, second + ended)).to.equal(off));
  }
});
