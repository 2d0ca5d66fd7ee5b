import { expect } from 'chai';
import { AgreementPool } from '../../src/jwe/pool.js';
import { createGranter } from '../../src/server/granter.js';
import { makeKey } from '../jwe/helpers.js';

describe('createGranter', () => {
  const pool = new AgreementPool({ threads: 1 });
  after(() => pool.close());

  it('goes on with the old agreement until the next is ready: no call waits for it but the first', async () => {
    const key = makeKey();
    let made = 0;
    const never = new Promise<never>(() => {});
    const generate = (...args: Parameters<AgreementPool['generate']>) =>
      made++ === 0 ? pool.generate(...args) : never;
    const granter = createGranter(key, { maxTokens: 10, pool: { generate } });
    const first = await granter?.();
    for (let n = 1; n < 20; n++) expect(granter?.()).to.equal(first);
    expect(made).to.equal(2);
    expect(granter?.()).to.be.instanceOf(Promise);
  });
});
