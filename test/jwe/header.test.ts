import { expect } from 'chai';
import fc from 'fast-check';
import { SealwireError } from '../../src/errors.js';
import { parseHeader, peekHeader } from '../../src/jwe/header.js';
import { hasDuplicateNames } from '../../src/profile/json-names.js';
import { expectCode, makeEphemeral } from './helpers.js';

const KID = Buffer.alloc(32, 7).toString('base64url');
const epk = makeEphemeral('P-521').jwk;
const base = { alg: 'ECDH-ES+A256KW', enc: 'A256GCM', kid: KID, epk };
const encode = (text: string | Uint8Array) => Buffer.from(text).toString('base64url');
const parse = (members: object) => parseHeader(encode(JSON.stringify(members)));

describe('parseHeader', () => {
  it('gives decoded values', () => {
    const all = { ...base, typ: 't', cty: 'c', fld: 'f', iat: 5, bnd: KID, apu: 'QWxpY2U', apv: 'Qm9i' };
    const header = parse(all);
    expect(header).to.include({
      alg: base.alg,
      enc: base.enc,
      kid: KID,
      typ: 't',
      cty: 'c',
      fld: 'f',
      iat: 5,
      bnd: KID,
    });
    expect([header.apu?.toString(), header.apv?.toString()]).to.deep.equal(['Alice', 'Bob']);
    expect(header.epk.x.toString('base64url')).to.equal(epk.x);
    expect(header.epk.y.toString('base64url')).to.equal(epk.y);
  });

  it('ignores names that mean nothing to it', () => {
    expect(parse({ ...base, unknown: { deep: [1, { a: 1 }] }, constructor: 1 }).kid).to.equal(KID);
  });

  it('takes JSON with white space and escapes', () => {
    expect(parseHeader(encode(JSON.stringify(base, null, 1).replace('"kid"', '"\\u006bid"'))).kid).to.equal(KID);
  });

  describe('check 3: encoding and JSON', () => {
    it('refuses bytes that are not UTF-8', () => {
      for (const bytes of [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80]]) {
        const text = JSON.stringify({ ...base, fld: '@' });
        const [before, after] = text.split('@') as [string, string];
        const whole = Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(after)]);
        expectCode('HEADER_UTF8', () => parseHeader(encode(whole)));
      }
    });

    for (const text of ['', '{', 'x', '{"a":1,}', '\ufeff{}', '{} {}', "{'a':1}", '[]', 'null', '1', '"a"', 'true']) {
      it(`refuses ${JSON.stringify(text)}`, () => void expectCode('HEADER_JSON', () => parseHeader(encode(text))));
    }

    const duplicates: Record<string, string> = {
      'at the top': JSON.stringify(base).replace('{', `{"kid":"${KID}",`),
      'written with an escape': JSON.stringify(base).replace('{', `{"\\u006bid":"${KID}",`),
      'in epk': JSON.stringify(base).replace('"kty":"EC"', '"kty":"EC","kty":"EC"'),
      'far below': JSON.stringify({ ...base, other: [{ a: [{ '@': 1 }] }] }).replace('"@":1', '"b":1,"b":2'),
      'that is empty': JSON.stringify(base).replace('{', '{"":1,"":2,'),
      'called __proto__': JSON.stringify(base).replace('{', '{"__proto__":1,"__proto__":2,'),
    };
    for (const [name, text] of Object.entries(duplicates)) {
      it(`refuses a duplicate name ${name}`, () => {
        expectCode('HEADER_DUPLICATE_NAME', () => parseHeader(encode(text)));
      });
    }
  });

  describe('check 3: names and values', () => {
    for (const name of ['zip', 'crit', 'jwk', 'jku', 'x5u', 'x5c', 'x5t', 'x5t#S256', 'p2c', 'p2s']) {
      it(`refuses ${name}, even when null`, () => {
        expectCode('HEADER_FORBIDDEN_NAME', () => parse({ ...base, [name]: 'x' }));
        expectCode('HEADER_FORBIDDEN_NAME', () => parse({ ...base, [name]: null }));
      });
    }

    const ALGORITHMS = [
      'none',
      'dir',
      'A256KW',
      'ECDH-ES+A128KW',
      'RSA1_5',
      'RSA-OAEP',
      'PBES2-HS256+A128KW',
      'ecdh-es',
      '',
    ];
    for (const alg of [...ALGORITHMS, 'constructor', '__proto__', 1, null, ['ECDH-ES'], undefined]) {
      it(`refuses alg ${JSON.stringify(alg)}`, () => {
        expectCode('ALGORITHM_NOT_ALLOWED', () => parse({ ...base, alg }));
      });
    }

    for (const enc of [
      'A128GCM',
      'A192GCM',
      'A192CBC-HS384',
      'toString',
      '__proto__',
      1,
      null,
      ['A256GCM'],
      undefined,
    ]) {
      it(`refuses enc ${JSON.stringify(enc)}`, () => {
        expectCode('ALGORITHM_NOT_ALLOWED', () => parse({ ...base, enc }));
      });
    }

    const values: readonly [string, object][] = [
      ['kid absent', { kid: undefined }],
      ['kid not a string', { kid: 1 }],
      ['kid too short', { kid: KID.slice(1) }],
      ['kid too long', { kid: `${KID}A` }],
      ['kid with a foreign character', { kid: `${KID.slice(1)}+` }],
      ['kid with a line end', { kid: `${KID.slice(1)}\n` }],
      ...['typ', 'cty', 'fld', 'bnd', 'apu', 'apv'].flatMap((name): [string, object][] => [
        [`${name} not a string`, { [name]: 1 }],
        [`${name} null`, { [name]: null }],
      ]),
      ['apu with padding', { apu: 'QQ==' }],
      ['apv with a foreign character', { apv: 'QWx!' }],
      ...[1.5, -1, '5', null, true, 2 ** 53].map((iat): [string, object] => [`iat ${JSON.stringify(iat)}`, { iat }]),
    ];
    for (const [name, members] of values) {
      it(`refuses ${name}`, () => void expectCode('HEADER_VALUE', () => parse({ ...base, ...members })));
    }
  });

  describe('check 3: epk', () => {
    it('notes members beyond those of a public key', () => {
      const parse = (extra: object) =>
        parseHeader(encode(JSON.stringify({ ...base, epk: { ...epk, ...extra } }))).hasOtherEpkMembers;
      expect([parse({}), parse({ use: 'enc' }), parse({ kid: 'x', alg: 'ECDH-ES' })]).to.deep.equal([
        undefined,
        true,
        true,
      ]);
    });

    const short = Buffer.from(epk.x, 'base64url').subarray(1).toString('base64url');
    const long = Buffer.concat([Buffer.alloc(1), Buffer.from(epk.x, 'base64url')]).toString('base64url');
    const points: readonly [string, unknown][] = [
      ['absent', undefined],
      ['null', null],
      ['a string', 'epk'],
      ['an array', [1, 2, 3, 4]],
      ['with a private key', { ...epk, d: epk.x }],
      ['without y', { kty: 'EC', crv: epk.crv, x: epk.x }],
      ['with d in place of y', { kty: 'EC', crv: epk.crv, x: epk.x, d: epk.y }],
      ['with kty OKP', { ...epk, kty: 'OKP' }],
      ['with a short coordinate', { ...epk, x: short }],
      ['with a long coordinate', { ...epk, x: long }],
      ['with a padded coordinate', { ...epk, y: `${epk.y.slice(0, -1)}=` }],
      ['with standard base64', { ...epk, y: `+${epk.y.slice(1)}` }],
      ['with a number as a coordinate', { ...epk, y: 1 }],
      ['with an empty coordinate', { ...epk, x: '' }],
    ];
    for (const [name, point] of points) {
      it(`refuses one ${name}`, () => void expectCode('EPK_INVALID', () => parse({ ...base, epk: point })));
    }

    it('refuses stray bits in a coordinate', () => {
      const small = makeEphemeral('P-256').jwk;
      const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
      const last = ALPHABET[ALPHABET.indexOf(small.x.at(-1) as string) + 1] as string;
      expectCode('EPK_INVALID', () => parse({ ...base, epk: { ...small, x: small.x.slice(0, -1) + last } }));
    });

    for (const crv of ['P-192', 'secp256k1', 'X25519', 'p-256', '__proto__', '', 1, null]) {
      it(`refuses the curve ${JSON.stringify(crv)}`, () => {
        expectCode('CURVE_NOT_ALLOWED', () => parse({ ...base, epk: { ...epk, crv } }));
      });
    }
  });

  it('throws nothing but SealwireError, whatever it is given', () => {
    const mutated = fc
      .tuple(fc.constantFrom(...Object.keys(base), 'iat', 'bnd', 'apu', 'typ'), fc.jsonValue())
      .map(([name, value]) => JSON.stringify({ ...base, [name]: value }));
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string(), mutated, fc.uint8Array()), (input) => {
        try {
          parseHeader(encode(input));
        } catch (error) {
          expect(error).to.be.instanceOf(SealwireError);
        }
      }),
    );
  });
});

describe('hasDuplicateNames', () => {
  it('finds none in any JSON a serialiser writes, with and without white space', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(0, 1, '\t'), (value, space) => {
        const text = JSON.stringify(value, null, space);
        expect(hasDuplicateNames(text, JSON.parse(text))).to.equal(false);
      }),
    );
  });

  it('finds one that is added anywhere', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string(), fc.jsonValue(), (other, name, value) => {
        const member = `${JSON.stringify(name)} : ${JSON.stringify(value)}`;
        const text = `[${JSON.stringify(other)}, {${member}, ${member}}]`;
        expect(hasDuplicateNames(text, JSON.parse(text))).to.equal(true);
      }),
    );
  });

  it('does not take values, array elements or text in strings for names', () => {
    for (const text of [
      '["a", "a"]',
      '{"a": "a" }',
      '{ "a":"b","c":"b"}',
      '{"x":"\\"a\\":1,\\"a\\":2" }',
      '{"a":{"a":{"a":1}} }',
    ]) {
      expect(hasDuplicateNames(text, JSON.parse(text)), text).to.equal(false);
    }
  });
});

describe('peekHeader', () => {
  it('reads the names a record needs', () => {
    const peeked = peekHeader(`${encode(JSON.stringify(base))}.rest`);
    expect(peeked).to.deep.equal({ kid: KID, alg: base.alg, enc: base.enc, json: JSON.stringify(base) });
  });

  it('never throws and never gives more than 2 KiB', () => {
    const samples = [
      '',
      '.',
      'x',
      '....',
      `${encode('null')}.`,
      'A'.repeat(1_000_000),
      `${encode(`{"kid":"${'k'.repeat(5_000)}"}`)}.`,
    ];
    for (const token of samples) expect((peekHeader(token).json ?? '').length).to.be.at.most(2_048);
    fc.assert(fc.property(fc.string(), (token) => void peekHeader(token)));
  });
});
