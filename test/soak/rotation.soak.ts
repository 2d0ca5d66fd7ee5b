import { expect } from 'chai';
import { rotateUnderLoad } from '../support/rotate-under-load.js';
import { createSoftToken } from '../support/softhsm.js';

describe('rotation under load', () => {
  it('fails no call over 50 rotations, and refuses each retired key within a second', async () => {
    const result = await rotateUnderLoad(50);
    process.stdout.write(`${JSON.stringify(result)}\n`);
    expect(result).to.deep.include({ failures: [], refusedKeys: 50, rotations: 50, retirements: 50, exitCode: 0 });
    expect(result.slowestRefusalMs).to.be.below(1_000);
  }).timeout(1_200_000);

  it('fails no call over 10 moves from a file to a PKCS#11 token and back', async function () {
    const token = await createSoftToken(this);
    try {
      const result = await rotateUnderLoad(20, token);
      process.stdout.write(`${JSON.stringify(result)}\n`);
      expect(result).to.deep.include({ failures: [], refusedKeys: 20, rotations: 20, retirements: 20, exitCode: 0 });
      expect(result.slowestRefusalMs).to.be.below(1_000);
    } finally {
      await token.remove();
    }
  }).timeout(1_200_000);
});
