import { expect } from 'chai';
import { attackLog } from '../support/attack-log.js';

describe('verifying a log', () => {
  it('notices 36,000 attacks on a log of 10,000 records, each at the right record', () => {
    expect(attackLog({ records: 10_000, perKind: 4_000 })).to.deep.equal({ attacks: 36_000, missed: [] });
  }).timeout(7_200_000);

  it('notices one bit of every byte of a log of 200 records, and a cut at every byte', () => {
    const { attacks, missed } = attackLog({ records: 200, everyByte: true });
    expect(missed).to.deep.equal([]);
    expect(attacks).to.be.greaterThan(100_000);
  }).timeout(3_600_000);
});
