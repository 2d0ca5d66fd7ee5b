import { expect } from 'chai';
import { rotateUnderLoad } from '../support/rotate-under-load.js';

describe('rotation under load', () => {
  it('fails no call, and refuses each retired key with its cached agreement too', async () => {
    const result = await rotateUnderLoad(3);
    expect(result).to.deep.include({ failures: [], refusedKeys: 3, rotations: 3, retirements: 3, exitCode: 0 });
    expect(result.calls).to.be.greaterThan(50);
  }).timeout(120_000);
});
