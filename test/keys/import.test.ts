import { createECDH } from 'node:crypto';
import { expect } from 'chai';
import { calculateJwkThumbprint, exportJWK } from 'jose';
import { importKey, jwkThumbprint } from '../../src/keys/import.js';
import { recipientKey } from '../../src/keys/public-keys.js';
import {
  CURVES,
  makeNestedPair,
  makePaddedPair,
  makePair,
  printed,
  publicPart,
  refusal,
  stripPrivatePart,
} from './helpers.js';

const SIZES = { 'P-521': 66, 'P-384': 48, 'P-256': 32 } as const;

describe('importKey', () => {
  for (const crv of CURVES) {
    it(`reads a ${crv} key from PKCS#8, SEC1, SPKI and JWK alike`, async () => {
      const { privateKey, publicKey, jwk } = makePair(crv);
      const forms = [
        privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
        privateKey.export({ type: 'sec1', format: 'pem' }).toString(),
        JSON.stringify(jwk),
        jwk,
      ];
      const kid = await calculateJwkThumbprint(publicPart(jwk));
      for (const form of forms) {
        const key = await importKey(form);
        expect(key.jwk).to.deep.equal({ ...publicPart(jwk), kid, use: 'enc', alg: 'ECDH-ES+A256KW' });
        expect(key.privateKey?.equals(privateKey)).to.equal(true);
        expect(key.publicKey.equals(publicKey)).to.equal(true);
      }
      const spki = await importKey(publicKey.export({ type: 'spki', format: 'pem' }).toString());
      expect(spki.jwk.kid).to.equal(kid);
      expect(spki.privateKey).to.equal(undefined);
      expect(spki.publicKey.equals(publicKey)).to.equal(true);
    });
  }

  for (const member of ['x', 'y', 'd'] as const) {
    it(`keeps the leading zero bytes of a P-521 ${member}`, async () => {
      const { privateKey, jwk } = makePaddedPair(member);
      for (const type of ['pkcs8', 'sec1'] as const) {
        const key = await importKey(privateKey.export({ type, format: 'pem' }).toString());
        const exported = await exportJWK(key.privateKey as never);
        expect(exported).to.include({ x: jwk.x, y: jwk.y, d: jwk.d });
        expect(Buffer.from(key.jwk.x, 'base64url').length).to.equal(66);
        expect(key.jwk.kid).to.equal(await calculateJwkThumbprint(publicPart(jwk)));
      }
    });
  }

  for (const crv of ['P-384', 'P-256'] as const) {
    it(`reads a ${crv} point that looks like a nested ASN.1 value`, async () => {
      const { privateKey, publicKey } = makeNestedPair(crv);
      const { x, y } = publicKey.export({ format: 'jwk' });
      for (const pem of [
        privateKey.export({ type: 'pkcs8', format: 'pem' }),
        privateKey.export({ type: 'sec1', format: 'pem' }),
        publicKey.export({ type: 'spki', format: 'pem' }),
      ]) {
        expect((await importKey(pem.toString())).jwk).to.include({ crv, x, y });
      }
    });
  }

  it('restores the leading zero bytes of a P-521 d that the PEM leaves out', async () => {
    const pair = makePaddedPair('d');
    const key = await importKey(stripPrivatePart(pair));
    expect(key.privateKey?.equals(pair.privateKey)).to.equal(true);
  });

  for (const crv of CURVES) {
    for (const member of ['x', 'y', 'd'] as const) {
      const { jwk } = makePair(crv);
      const bytes = Buffer.from(jwk[member], 'base64url');
      const malformed: Record<string, unknown> = {
        'one byte short': bytes.subarray(1).toString('base64url'),
        'one zero byte too long': Buffer.concat([Buffer.alloc(1), bytes]).toString('base64url'),
        padded: `${jwk[member]}=`,
        'in the other alphabet': `+${jwk[member].slice(1)}`,
        empty: '',
        'a number': 7,
      };
      for (const [what, value] of Object.entries(malformed)) {
        it(`refuses a ${crv} ${member} that is ${what}`, async () => {
          expect(bytes.length).to.equal(SIZES[crv]);
          await refusal(() => importKey({ ...jwk, [member]: value }), 'KEY_INVALID');
        });
      }
    }

    it(`refuses a ${crv} point that is not on the curve`, async () => {
      const jwk = publicPart(makePair(crv).jwk);
      await refusal(() => importKey({ ...jwk, y: jwk.x }), 'KEY_INVALID');
    });

    it(`refuses a ${crv} d that belongs to another public key`, async () => {
      const { jwk } = makePair(crv);
      const other = makePair(crv).jwk;
      const error = await refusal(() => importKey({ ...jwk, d: other.d }), 'KEY_INVALID');
      expect(error.message).to.contain('does not belong');
    });
  }

  it('refuses a d of zero and one past the group order', async () => {
    const { jwk } = makePair('P-256');
    for (const byte of [0x00, 0xff]) {
      const d = Buffer.alloc(32, byte).toString('base64url');
      await refusal(() => importKey({ ...jwk, d }), 'KEY_INVALID');
    }
  });

  const { jwk } = makePair('P-256');
  const refused: Record<string, object> = {
    'an RSA key': { kty: 'RSA', n: 'AQAB', e: 'AQAB' },
    'a symmetric key': { kty: 'oct', k: 'AAAA' },
    'another curve': { ...jwk, crv: 'secp256k1' },
    'a curve named like an object member': { ...jwk, crv: 'constructor' },
    'a signing key': { ...jwk, use: 'sig' },
    'a key for another alg': { ...jwk, alg: 'ES256' },
    'a foreign kid': { ...jwk, kid: 'my-key' },
  };
  for (const [what, input] of Object.entries(refused)) {
    it(`refuses ${what}`, () => refusal(() => importKey(input), 'KEY_INVALID'));
  }

  it('refuses PEM of another kind, and text that is neither', async () => {
    const body = Buffer.from('not a key').toString('base64');
    const texts = [
      `-----BEGIN PRIVATE KEY-----\n${body}\n-----END PRIVATE KEY-----\n`,
      `-----BEGIN ENCRYPTED PRIVATE KEY-----\n${body}\n-----END ENCRYPTED PRIVATE KEY-----\n`,
      'hello',
      '"text"',
      'null',
      '',
    ];
    for (const text of texts) await refusal(() => importKey(text), 'KEY_INVALID');
  });

  it('names no private part in any refusal', async () => {
    const pair = makePair();
    const { d } = pair.jwk;
    const pem = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const secretLine = pem.split('\n')[1] as string;
    const inputs = [
      { ...pair.jwk, crv: 'P-256' },
      { ...pair.jwk, y: pair.jwk.x },
      { ...pair.jwk, kid: 'other' },
      { ...pair.jwk, d: `${d}=` },
      { ...makePair().jwk, d },
      JSON.stringify(pair.jwk).slice(0, -1),
      pem.replace('END', 'END OF'),
      pem.replace(/\n.{20}/, '\n'),
    ];
    for (const input of inputs) {
      const error = await refusal(() => importKey(input), 'KEY_INVALID');
      expect(printed(error)).not.to.contain(d.slice(0, 20));
      expect(printed(error)).not.to.contain(secretLine.slice(0, 40));
    }
  });

  it('prints no private part of an imported key', async () => {
    const { jwk } = makePair();
    const text = printed(await importKey(jwk));
    expect(text).not.to.contain(jwk.d);
    expect(text).not.to.contain(Buffer.from(jwk.d, 'base64url').toString('hex'));
  });
});

describe('jwkThumbprint', () => {
  it('is the RFC 7638 hash of crv, kty, x, y in that order', async () => {
    const ecdh = createECDH('prime256v1');
    ecdh.setPrivateKey(Buffer.alloc(32, 1));
    const point = ecdh.getPublicKey();
    const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((half) => half.toString('base64url')) as [
      string,
      string,
    ];
    const expected = await calculateJwkThumbprint({ kty: 'EC', crv: 'P-256', x, y }, 'sha256');
    expect(jwkThumbprint({ crv: 'P-256', x, y })).to.equal(expected);
  });
});

describe('recipientKey', () => {
  it('takes a public key and refuses a private one', async () => {
    const { jwk, publicKey } = makePair('P-384');
    const key = await recipientKey(publicPart(jwk));
    expect(key.crv).to.equal('P-384');
    expect(key.publicKey.equals(publicKey)).to.equal(true);
    const error = await refusal(() => recipientKey(jwk), 'KEY_INVALID');
    expect(printed(error)).not.to.contain(jwk.d);
  });
});
