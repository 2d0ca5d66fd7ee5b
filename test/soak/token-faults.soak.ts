import { expect } from 'chai';
import { createSoftToken } from '../support/softhsm.js';
import { breakTokenUnderLoad } from '../support/token-faults.js';

describe('a token that goes away under load', () => {
  it('fails fresh agreements only, and is found again within five seconds, 20 times', async function () {
    const token = await createSoftToken(this);
    try {
      const result = await breakTokenUnderLoad(token, 20);
      process.stdout.write(`${JSON.stringify(result)}\n`);
      expect(result).to.deep.include({ freshReasons: ['CUSTODY_UNAVAILABLE'], cachedFailures: [], exitCode: 0 });
      expect(result.slowestRecoveryMs).to.be.below(5_000);
    } finally {
      await token.remove();
    }
  }).timeout(600_000);
});
