import { createCipheriv, createSecretKey, randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { KeyUnwrapper, KeyWrapper, REUSES_CIPHERS, testReuse } from '../../src/jwe/key-wrap.js';

const hex = (text: string) => Buffer.from(text, 'hex');

/** The documented way, and where this Node allows it the quick one. */
for (const reuse of REUSES_CIPHERS ? [false, true] : [false]) {
  describe(`KeyWrapper and KeyUnwrapper, ${reuse ? 'one cipher object for all keys' : 'a cipher object for each key'}`, () => {
    it('give the values of RFC 3394 §4.6', () => {
      const kek = createSecretKey(hex('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'));
      const cek = hex('00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f');
      const wrapped = hex('28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21');
      expect(new KeyWrapper(kek, reuse).wrap(cek)).to.deep.equal(wrapped);
      expect(new KeyUnwrapper(kek, reuse).unwrap(wrapped, 'A256GCM')).to.deep.equal(cek);
    });

    it('serve many keys of one agreement, each as a new cipher object would', () => {
      const kek = createSecretKey(randomBytes(32));
      const wrapper = new KeyWrapper(kek, reuse);
      const unwrapper = new KeyUnwrapper(kek, reuse);
      for (let round = 0; round < 200; round++) {
        const cek = randomBytes(round % 3 === 0 ? 64 : 32);
        const wrapped = wrapper.wrap(cek);
        expect(wrapped).to.deep.equal(createCipheriv('id-aes256-wrap', kek, Buffer.alloc(8, 0xa6)).update(cek));
        expect(unwrapper.unwrap(wrapped, 'A256GCM')).to.deep.equal(cek);
      }
    });

    it('go on after the work of a failure that was none', () => {
      const kek = createSecretKey(randomBytes(32));
      const [wrapper, unwrapper] = [new KeyWrapper(kek, reuse), new KeyUnwrapper(kek, reuse)];
      for (let round = 0; round < 3; round++) {
        const cek = randomBytes(32);
        expect(unwrapper.unwrap(wrapper.wrap(cek), 'A256GCM')).to.deep.equal(cek);
        unwrapper.evenOut('A256GCM');
      }
    });

    it('go on after a key that does not unwrap, for which they give a random one of the right size', () => {
      const kek = createSecretKey(randomBytes(32));
      const wrapper = new KeyWrapper(kek, reuse);
      const unwrapper = new KeyUnwrapper(kek, reuse);
      const cek = randomBytes(32);
      const wrapped = wrapper.wrap(cek);
      for (let bit = 0; bit < wrapped.length * 8; bit++) {
        const bad = Buffer.from(wrapped);
        bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7));
        const [first, second] = [unwrapper.unwrap(bad, 'A256CBC-HS512'), unwrapper.unwrap(bad, 'A128CBC-HS256')];
        expect([first.length, second.length]).to.deep.equal([64, 32]);
        expect(first.subarray(0, 32).equals(second) || second.equals(cek)).to.equal(false);
        expect(unwrapper.unwrap(wrapped, 'A256GCM')).to.deep.equal(cek);
      }
    });
  });
}

describe('the test for cipher objects that can be used again', () => {
  it('says the same each time, and what is known of each line of Node', () => {
    expect(testReuse()).to.equal(REUSES_CIPHERS);
    const major = Number(process.versions.node.split('.')[0]);
    // Node 24 changed between 24.21 and 24.22.
    if (major < 24) expect(REUSES_CIPHERS).to.equal(true);
    if (major >= 26) expect(REUSES_CIPHERS).to.equal(false);
  });
});
