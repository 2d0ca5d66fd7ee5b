import { expect } from 'chai';
import { createSoftToken, type SoftToken } from '../support/softhsm.js';
import { compareAgreements } from '../support/token-agreements.js';

describe('agreements on a PKCS#11 token', () => {
  let token: SoftToken;
  before(async function () {
    token = await createSoftToken(this);
  });
  after(() => token?.remove());

  it('are those of the same exchange made locally, 10,000 times', async () => {
    // Half of all P-521 secrets begin with a zero byte: its size is no multiple of eight bits.
    expect(await compareAgreements(token, 'P-521', 10_000)).to.be.within(4_500, 5_500);
  });
});
