import { expect } from 'chai';
import { parseToken } from '../../src/jwe/token.js';
import { resolveLimits } from '../../src/profile/limits.js';
import { expectCode, forge, makeKey, PLAINTEXT, withPart } from './helpers.js';

const key = makeKey();
const limits = resolveLimits();
const parse = (token: string) => parseToken(token, limits);
const zeros = (bytes: number) => Buffer.alloc(bytes).toString('base64url');

describe('parseToken', () => {
  const token = forge({ key });

  it('takes a token apart', () => {
    const parsed = parse(token);
    expect(parsed.token).to.equal(token);
    expect(parsed.headerPart).to.equal(token.split('.')[0]);
    expect(parsed.ciphertext.length).to.equal(PLAINTEXT.length);
    expect([parsed.encryptedKey, parsed.iv, parsed.tag].map((part) => part.length)).to.deep.equal([40, 12, 16]);
  });

  it('takes an empty inner message', () => {
    expect(parse(forge({ key, plaintext: Buffer.alloc(0) })).ciphertext.length).to.equal(0);
  });

  describe('check 1: sizes', () => {
    it('refuses a token above 96 KiB', () => {
      expectCode('TOKEN_TOO_LARGE', () => parse('A'.repeat(98_305)));
      expectCode('TOKEN_PART_COUNT', () => parse('A'.repeat(2_000)));
    });

    it('refuses a header of 2,049 bytes and takes one of 2,048', () => {
      const sized = (bytes: number) => forge({ key, headerBytes: (json) => json + ' '.repeat(bytes - json.length) });
      expect(parse(sized(2_048)).header.kid).to.equal(key.kid);
      expectCode('HEADER_TOO_LARGE', () => parse(sized(2_049)));
    });

    for (const enc of ['A256GCM', 'A128CBC-HS256', 'A256CBC-HS512'] as const) {
      it(`takes an inner message of 64 KiB with ${enc}`, () => {
        expect(parse(forge({ key, enc, plaintext: Buffer.alloc(65_536) })).header.enc).to.equal(enc);
      });
    }

    it('refuses an inner message of 64 KiB and 1 byte before decryption', () => {
      expectCode('INNER_TOO_LARGE', () => parse(forge({ key, plaintext: Buffer.alloc(65_537) })));
    });

    it('refuses a CBC ciphertext that no inner message of 64 KiB can have', () => {
      const enc = 'A128CBC-HS256';
      expectCode('INNER_TOO_LARGE', () => parse(forge({ key, enc, plaintext: Buffer.alloc(65_552) })));
    });
  });

  describe('check 2: five parts', () => {
    for (const [name, text] of [
      ['no dot', 'abcd'],
      ['four parts', token.split('.').slice(0, 4).join('.')],
      ['six parts', `${token}.`],
      ['the empty string', ''],
    ] as const) {
      it(`refuses ${name}`, () => void expectCode('TOKEN_PART_COUNT', () => parse(text)));
    }

    for (const [index, part] of ['header', 'encrypted key', 'IV', 'ciphertext', 'tag'].entries()) {
      it(`refuses padding, foreign characters and white space in the ${part}`, () => {
        for (const extra of ['=', '==', '!', '+', '/', ' ', '\n', '\u0000', 'é']) {
          expectCode('TOKEN_ENCODING', () => parse(withPart(token, index, (text) => text + extra)));
        }
      });
    }

    it('refuses stray bits in the last character', () => {
      // 16 bytes leave 4 unused bits in the 22nd character: 'A' has none set, 'B' has one.
      expectCode('TOKEN_ENCODING', () => parse(withPart(token, 4, () => `${'A'.repeat(21)}B`)));
      expectCode('TOKEN_ENCODING', () => parse(withPart(token, 4, () => 'A'.repeat(25))));
    });

    const wrong: readonly [string, Parameters<typeof forge>[0], number, readonly number[]][] = [
      ['IV of A256GCM', { key }, 2, [0, 8, 11, 13, 16]],
      ['tag of A256GCM', { key }, 4, [0, 4, 8, 12, 15, 17, 32]],
      ['encrypted key of ECDH-ES+A256KW', { key }, 1, [0, 32, 39, 41, 72]],
      ['encrypted key of ECDH-ES', { key, alg: 'ECDH-ES' }, 1, [1, 40]],
      ['IV of A128CBC-HS256', { key, enc: 'A128CBC-HS256' }, 2, [12, 15, 17]],
      ['tag of A128CBC-HS256', { key, enc: 'A128CBC-HS256' }, 4, [8, 15, 32]],
      ['tag of A256CBC-HS512', { key, enc: 'A256CBC-HS512' }, 4, [16, 31, 64]],
      ['encrypted key with A256CBC-HS512', { key, enc: 'A256CBC-HS512' }, 1, [40, 71]],
      ['ciphertext of A128CBC-HS256', { key, enc: 'A128CBC-HS256' }, 3, [0, 15, 17]],
    ];
    for (const [name, forgery, index, sizes] of wrong) {
      it(`refuses a wrong length: ${name}`, () => {
        const good = forge(forgery);
        for (const size of sizes) {
          expectCode('TOKEN_PART_LENGTH', () => parse(withPart(good, index, () => zeros(size))));
        }
      });
    }
  });

  describe('order of checks', () => {
    const header = { zip: 'DEF' };

    it('size before parts', () => void expectCode('TOKEN_TOO_LARGE', () => parse(`${'!'.repeat(98_305)}`)));

    it('form of the parts before the meaning of the header', () => {
      const bad = forge({ key, header });
      expectCode('HEADER_FORBIDDEN_NAME', () => parse(bad));
      expectCode('TOKEN_ENCODING', () => parse(withPart(bad, 4, (part) => `${part}=`)));
      expectCode('TOKEN_PART_COUNT', () => parse(`${bad}.x`));
    });
  });
});

describe('resolveLimits', () => {
  it('has the defaults of the design', () => {
    expect(limits).to.deep.equal({
      innerBytes: 65_536,
      tokenBytes: 98_304,
      headerBytes: 2_048,
      tokensPerMessage: 64,
      agreementsPerMessage: 2,
      messagesPerMessage: 8_192,
    });
    expect(resolveLimits({}, 'interop').agreementsPerMessage).to.equal(64);
  });

  for (const bad of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 40]) {
    it(`refuses ${bad}`, () => void expectCode('OPTIONS_INVALID', () => resolveLimits({ innerBytes: bad })));
  }

  for (const name of ['tokenByte', 'inner_bytes', 'toString', '']) {
    it(`refuses the name '${name}' and tells it`, () => {
      const error = expectCode('OPTIONS_INVALID', () => resolveLimits({ [name]: 1_024 } as object));
      expect(error.message).to.equal(`there is no limit '${name}'`);
    });
  }
});
