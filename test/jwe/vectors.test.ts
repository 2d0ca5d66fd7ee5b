import {
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  type JsonWebKey,
} from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { concatKdf, deriveKey } from '../../src/jwe/agreement.js';
import { decryptContent, encryptGcm } from '../../src/jwe/content.js';
import { parseHeader } from '../../src/jwe/header.js';
import { KeyUnwrapper, KeyWrapper } from '../../src/jwe/key-wrap.js';
import { TokenOpener } from '../../src/jwe/opener.js';
import { AgreementPool } from '../../src/jwe/pool.js';
import { type Curve, curves, encryptions, isContentEncryption, isKeyAlgorithm } from '../../src/profile/algorithms.js';
import { readVectors } from '../support/vectors.js';
import { expectCode, expectRejection, TestKeys, toKey } from './helpers.js';

const hex = (text: string) => Buffer.from(text, 'hex');
const b64 = (text: string) => Buffer.from(text, 'base64url');

interface OwnVectors {
  field: string;
  iat: number;
  plaintext: string;
  key: JsonWebKey;
  vectors: { comment: string; jwe: string; strict: string; interop: string }[];
}

describe('our own P-521 vectors', () => {
  const file = readFileSync('test/vectors/jwe-p521.json', 'utf8');
  const { field, iat, plaintext, key, vectors } = JSON.parse(file) as OwnVectors;
  const keys = new TestKeys(toKey('P-521', createPrivateKey({ key, format: 'jwk' })));

  for (const { comment, jwe, ...results } of vectors) {
    for (const policy of ['strict', 'interop'] as const) {
      it(`${policy}: ${comment} (${results[policy]})`, async () => {
        const opener = new TokenOpener({ keys, policy, now: () => iat * 1_000 });
        const open = async () => opener.open(opener.check(jwe, { field }), 'caller');
        if (results[policy] === 'valid') expect((await open()).toString()).to.equal(plaintext);
        else await expectRejection(results[policy], open);
      });
    }
  }
});

interface Cookbook {
  input: { plaintext: string; key: JsonWebKey };
  generated: { cek?: string; iv: string };
  encrypting_key: { epk: JsonWebKey; cek?: string; encrypted_key?: string };
  encrypting_content: { protected_b64u: string; ciphertext: string; tag: string };
}

function sharedSecret({ input, encrypting_key: { epk } }: Cookbook): Buffer {
  const { kty, crv, x, y } = epk;
  const publicKey = createPublicKey({ key: { kty, crv, x, y } as JsonWebKey, format: 'jwk' });
  return diffieHellman({ privateKey: createPrivateKey({ key: input.key, format: 'jwk' }), publicKey });
}

describe('RFC 7520', () => {
  it('5.4: the key-encryption key unwraps the CEK; the token is refused, A128KW is not ours', function () {
    const file = '5_4.key_agreement_with_key_wrapping_using_ecdh-es_and_aes-keywrap_with_aes-gcm.json';
    const vector = readVectors<Cookbook>(this, 'rfc7520', file);
    const kek = concatKdf(sharedSecret(vector), { algorithmId: 'ECDH-ES+A128KW', keyBytes: 16 });
    const decipher = createDecipheriv('id-aes128-wrap', kek, Buffer.alloc(8, 0xa6));
    const cek = decipher.update(b64(vector.encrypting_key.encrypted_key as string));
    expect(cek.toString('base64url')).to.equal(vector.generated.cek);
    expectCode('ALGORITHM_NOT_ALLOWED', () => parseHeader(vector.encrypting_content.protected_b64u));
  });

  it('5.5: direct agreement gives the CEK, which decrypts', function () {
    const vector = readVectors<Cookbook>(
      this,
      'rfc7520',
      '5_5.key_agreement_using_ecdh-es_with_aes-cbc-hmac-sha2.json',
    );
    const cek = deriveKey(sharedSecret(vector), 'ECDH-ES', 'A128CBC-HS256');
    expect(cek.export().toString('base64url')).to.equal(vector.encrypting_key.cek);
    const { protected_b64u, ciphertext, tag } = vector.encrypting_content;
    const iv = b64(vector.generated.iv);
    const plaintext = decryptContent('A128CBC-HS256', cek, Buffer.from(protected_b64u), {
      iv,
      ciphertext: b64(ciphertext),
      tag: b64(tag),
    });
    expect(plaintext.toString()).to.equal(vector.input.plaintext);
    expectCode('HEADER_VALUE', () => parseHeader(protected_b64u));
  });
});

interface Wycheproof<G> {
  testGroups: G[];
}
interface Case {
  tcId: number;
  comment: string;
  flags: string[];
  result: 'valid' | 'invalid' | 'acceptable';
}
type EcdhCase = Case & { public: JsonWebKey; private: JsonWebKey; shared: string };
type GcmGroup = {
  ivSize: number;
  keySize: number;
  tests: (Case & Record<'key' | 'iv' | 'aad' | 'msg' | 'ct' | 'tag', string>)[];
};
type WrapGroup = { keySize: number; tests: (Case & Record<'key' | 'msg' | 'ct', string>)[] };
type JweGroup = { private: JsonWebKey & { alg?: string }; tests: (Case & { jwe: string; pt?: string })[] };

describe('Wycheproof', () => {
  const pool = new AgreementPool();
  after(() => pool.close());

  for (const [crv, file] of [
    ['P-256', 'ecdh_secp256r1_webcrypto_test.json'],
    ['P-384', 'ecdh_secp384r1_webcrypto_test.json'],
    ['P-521', 'ecdh_secp521r1_webcrypto_test.json'],
  ] as const) {
    it(`agreement on ${crv}`, async function () {
      const { testGroups } = readVectors<Wycheproof<{ tests: EcdhCase[] }>>(this, 'wycheproof', file);
      const cases = testGroups.flatMap(({ tests }) => tests);
      // Hundreds of cases look for the same fault in point doubling: every tenth of those.
      const chosen = cases.filter(({ tcId, flags }) => !flags.includes('EdgeCaseDoubling') || tcId % 10 === 0);
      const count = { valid: 0, invalid: 0 };
      for (const test of chosen) {
        const privateKey = createPrivateKey({ key: test.private, format: 'jwk' });
        const { crv: claimed, x, y } = test.public as Record<'crv' | 'x' | 'y', string>;
        const point = { crv: claimed as Curve, x: b64(x), y: b64(y) };
        if (test.result === 'valid') {
          expect((await pool.agree(privateKey, point)).toString('hex'), `tcId ${test.tcId}`).to.equal(test.shared);
          count.valid++;
        } else {
          // Another curve is refused before the pool, by check 3.
          if (claimed === crv) await expectRejection('DECRYPTION_FAILED', () => pool.agree(privateKey, point));
          else expect(claimed, `tcId ${test.tcId}`).not.to.equal(crv);
          count.invalid++;
        }
      }
      expect(count.valid).to.be.above(90);
      expect(count.invalid).to.be.above(20);
    }).timeout(20_000);
  }

  it('AES-256-GCM with IV and tag of the profile', function () {
    const { testGroups } = readVectors<Wycheproof<GcmGroup>>(this, 'wycheproof', 'aes_gcm_test.json');
    const cases = testGroups
      .filter((group) => group.keySize === 256 && group.ivSize === 96)
      .flatMap(({ tests }) => tests);
    expect(cases.length).to.equal(66);
    for (const test of cases) {
      const [key, iv, aad, message, ciphertext, tag] = [test.key, test.iv, test.aad, test.msg, test.ct, test.tag].map(
        hex,
      ) as [Buffer, Buffer, Buffer, Buffer, Buffer, Buffer];
      const open = () => decryptContent('A256GCM', key, aad, { iv, ciphertext, tag });
      if (test.result === 'invalid') expectCode('DECRYPTION_FAILED', open);
      else {
        expect(open(), `tcId ${test.tcId}`).to.deep.equal(message);
        expect(encryptGcm(key, iv, aad, message)).to.deep.equal([ciphertext, tag]);
      }
    }
  });

  it('AES-256 key wrap; what does not unwrap gives a random CEK', function () {
    const { testGroups } = readVectors<Wycheproof<WrapGroup>>(this, 'wycheproof', 'aes_wrap_test.json');
    const cases = testGroups.filter(({ keySize }) => keySize === 256).flatMap(({ tests }) => tests);
    for (const test of cases.filter(({ result }) => result !== 'acceptable')) {
      const kek = createSecretKey(hex(test.key));
      const wrapped = hex(test.ct);
      if (test.result === 'valid') {
        expect(new KeyUnwrapper(kek).unwrap(wrapped, 'A256GCM'), `tcId ${test.tcId}`).to.deep.equal(hex(test.msg));
        expect(new KeyWrapper(kek).wrap(hex(test.msg))).to.deep.equal(wrapped);
      } else if (wrapped.length === 40) {
        // Check 2 lets no other length come this far.
        const unwrapper = new KeyUnwrapper(kek);
        const [first, second] = [unwrapper.unwrap(wrapped, 'A256GCM'), unwrapper.unwrap(wrapped, 'A256GCM')];
        expect(first.length, `tcId ${test.tcId}`).to.equal(32);
        expect(first).not.to.deep.equal(second);
      }
    }
  });

  it('JWE with our algorithms', async function () {
    const { testGroups } = readVectors<Wycheproof<JweGroup>>(this, 'wycheproof', 'json_web_encryption_test.json');
    let opened = 0;
    for (const group of testGroups) {
      for (const test of group.tests) {
        const [part = '', wrapped = '', iv = '', ciphertext = '', tag = ''] = test.jwe.split('.');
        const header = tryParse(part);
        if (group.private.kty !== 'EC' || header === undefined) continue;
        const { alg, enc, epk } = header;
        // None has a thumbprint as kid or exactly our members in epk: as tokens all are refused.
        expect(() => parseHeader(part), `tcId ${test.tcId}`).to.throw();
        if (!isKeyAlgorithm(alg) || !isContentEncryption(enc) || alg !== group.private.alg) continue;
        const privateKey = createPrivateKey({ key: group.private, format: 'jwk' });
        const z = await pool.agree(privateKey, { crv: epk.crv as Curve, x: b64(epk.x), y: b64(epk.y) });
        const key = deriveKey(z, alg, enc);
        const cek = alg === 'ECDH-ES' ? key : new KeyUnwrapper(key).unwrap(b64(wrapped), enc);
        const open = () =>
          decryptContent(enc, cek, Buffer.from(part), { iv: b64(iv), ciphertext: b64(ciphertext), tag: b64(tag) });
        if (test.result === 'invalid') expectCode('DECRYPTION_FAILED', open);
        else {
          expect(open().toString('hex'), `tcId ${test.tcId}`).to.equal(test.pt);
          opened++;
        }
      }
    }
    expect(opened).to.equal(7);
  });
});

interface RawHeader {
  alg: unknown;
  enc: unknown;
  epk: Record<'crv' | 'x' | 'y', string>;
}

function tryParse(part: string): RawHeader | undefined {
  try {
    return JSON.parse(b64(part).toString()) as RawHeader;
  } catch {
    return undefined;
  }
}

describe('concatKdf', () => {
  it('gives the key of RFC 7518 appendix C', () => {
    const alice = {
      d: '0_NxaRPUMQoAJt50Gz8YiTr8gRTwyEaCumd-MToTmIo',
      x: 'gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0',
    };
    const y = 'SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps';
    const bob = { x: 'weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ', y: 'e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck' };
    const z = diffieHellman({
      privateKey: createPrivateKey({ key: { kty: 'EC', crv: 'P-256', ...alice, y }, format: 'jwk' }),
      publicKey: createPublicKey({ key: { kty: 'EC', crv: 'P-256', ...bob }, format: 'jwk' }),
    });
    const parties = { algorithmId: 'A128GCM', apu: Buffer.from('Alice'), apv: Buffer.from('Bob'), keyBytes: 16 };
    const key = concatKdf(z, parties);
    expect(key.toString('base64url')).to.equal('VqqN6vgjbSBcIijNcacQGg');
  });

  it('takes a second round for 64 bytes', () => {
    const z = Buffer.alloc(curves['P-521'].coordinateBytes, 1);
    const long = concatKdf(z, { algorithmId: 'A256CBC-HS512', keyBytes: encryptions['A256CBC-HS512'].keyBytes });
    expect(long.length).to.equal(64);
    expect(long.subarray(0, 32)).not.to.deep.equal(long.subarray(32));
  });
});
