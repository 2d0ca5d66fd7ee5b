import { expect } from 'chai';
import { headerAad } from '../../src/jwe/content.js';

describe('the additional authenticated data of a token', () => {
  for (const length of [0, 1, 2_732, 4_096, 4_097, 87_384]) {
    it(`is each of the ${length} characters of its first part`, () => {
      const part = 'eyJhbGciOiJFQ0RI'.repeat(Math.ceil(length / 16)).slice(0, length);
      expect(headerAad(part).toString('latin1')).to.equal(part);
    });
  }
});
