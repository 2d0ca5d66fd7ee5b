import { expect } from 'chai';
import { InvalidArgumentError } from 'commander';
import { formatDuration, parseDuration } from '../../src/cli/duration.js';

describe('durations', () => {
  const table: readonly [string, number][] = [
    ['0s', 0],
    ['90s', 90],
    ['30m', 1_800],
    ['36h', 129_600],
    ['90d', 7_776_000],
    ['999999d', 86_399_913_600],
  ];
  for (const [text, seconds] of table) {
    it(`${text} is ${seconds} s`, () => expect(parseDuration(text)).to.equal(seconds));
  }

  it('are written with the largest unit that leaves nothing over', () => {
    const written = [90, 1_800, 129_600, 86_400, 7_776_000].map(formatDuration);
    expect(written).to.deep.equal(['90s', '30m', '36h', '1d', '90d']);
  });

  for (const text of ['', '90', '1.5d', '-1d', '9999999d', '1w', ' 1d', '1d ', '1D', 'd']) {
    it(`are refused: '${text}'`, () => expect(() => parseDuration(text)).to.throw(InvalidArgumentError));
  }
});
