import { expect } from 'chai';
import { parseMoment } from '../../src/cli/moment.js';

const NOW = Date.parse('2026-03-01T10:20:30.400Z');
const at = (text: string) => {
  const ms = parseMoment(text, NOW);
  return ms === undefined ? undefined : new Date(ms).toISOString();
};

describe('moments', () => {
  it('are days at midnight UTC, exact times with a zone, or some time ago', () => {
    expect(at('2026-01-31')).to.equal('2026-01-31T00:00:00.000Z');
    expect(at('2026-01-31T12:00Z')).to.equal('2026-01-31T12:00:00.000Z');
    expect(at('2026-01-31T12:00:01.5+02:00')).to.equal('2026-01-31T10:00:01.500Z');
    expect(at('today')).to.equal('2026-03-01T00:00:00.000Z');
    expect(at('yesterday')).to.equal('2026-02-28T00:00:00.000Z');
    expect(at('90s')).to.equal('2026-03-01T10:19:00.400Z');
    expect(at('30m')).to.equal('2026-03-01T09:50:30.400Z');
    expect(at('2h')).to.equal('2026-03-01T08:20:30.400Z');
    expect(at('7d')).to.equal('2026-02-22T10:20:30.400Z');
  });

  it('are nothing else, and no days that do not exist', () => {
    for (const text of [
      '',
      'tomorrow',
      '2026-02-29',
      '2026-02-31',
      '2026-13-01',
      '2026-02-30T10:00Z',
      '2026-01-31T12:00',
      '31.1.2026',
      '1700000000',
      '5',
      '5w',
      '-5m',
    ]) {
      expect(at(text), text).to.equal(undefined);
    }
  });
});
