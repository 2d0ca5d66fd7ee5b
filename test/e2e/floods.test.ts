/**
 * The short form of `npm run soak -- floods`: what others attack, honest callers are not refused. Times are for the
 * long form.
 */
import { expect } from 'chai';
import { describeFlood, runFlood } from '../support/floods.js';

describe('honest callers of the real service', () => {
  for (const attack of ['rubbish']) {
    it(`are not refused under a flood of ${attack}`, async () => {
      const run = await runFlood({ attacks: [attack], seconds: 1 });
      const { attacked, attacks, findings, exitCode } = run;
      expect({ refused: attacked.refused, findings, exitCode }, describeFlood(run)).to.deep.equal({
        refused: 0,
        findings: [],
        exitCode: 0,
      });
      expect(attacks[attack]?.counts, 'what the attackers got').not.to.have.property('OK');
    }).timeout(120_000);
  }
});
