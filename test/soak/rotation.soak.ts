import { expect } from 'chai';
import { rotateUnderLoad } from '../support/rotate-under-load.js';

describe('rotation under load', () => {
  it('fails no call over 50 rotations, and refuses each retired key within a second', async () => {
    const result = await rotateUnderLoad(50);
    process.stdout.write(`${JSON.stringify(result)}\n`);
    expect(result).to.deep.include({ failures: [], refusedKeys: 50, rotations: 50, retirements: 50, exitCode: 0 });
    expect(result.slowestRefusalMs).to.be.below(1_000);
  }).timeout(1_200_000);
});
