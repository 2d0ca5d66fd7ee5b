import { expect } from 'chai';
import { openPatiently } from '../../src/files/descriptors.js';

const failure = (code: string) => Object.assign(new Error(code), { code });

describe('openPatiently', () => {
  it('waits for a descriptor, and for nothing else', async () => {
    const codes = ['EMFILE', 'ENFILE'];
    let tries = 0;
    const open = () => {
      const code = codes[tries++];
      if (code !== undefined) throw failure(code);
      return 'open';
    };
    expect([await openPatiently(open), tries]).to.deep.equal(['open', 3]);
    const error = await openPatiently(() => Promise.reject(failure('EACCES'))).catch((found: unknown) => found);
    expect(error).to.have.property('code', 'EACCES');
  });
});
