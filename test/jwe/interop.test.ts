import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { expect } from 'chai';
import { CompactEncrypt, compactDecrypt } from 'jose';
import jose from 'node-jose';
import { TokenOpener } from '../../src/jwe/opener.js';
import { AgreementPool } from '../../src/jwe/pool.js';
import { SealingSessions } from '../../src/jwe/sender.js';
import type { Curve } from '../../src/profile/algorithms.js';
import { expectCode, FIELD, IAT, makeKey, type TestKey, TestKeys, toKey } from './helpers.js';

const MESSAGE = Buffer.from('{"number":"4111111111111111","holderName":"Zoë"}');
const expected = { field: FIELD };
const profile = { typ: 'sealed-field+jwe', cty: 'application/json', fld: FIELD, iat: IAT };
const algorithms = ['ECDH-ES+A256KW', 'ECDH-ES'] as const;
const encryptions = ['A256GCM', 'A128CBC-HS256', 'A256CBC-HS512'] as const;

function open(key: TestKey, token: string, policy: 'strict' | 'interop' = 'strict') {
  const opener = new TokenOpener({ keys: new TestKeys(key), policy, now: () => IAT * 1_000 });
  return opener.open(opener.check(token, expected), 'caller');
}

function toNodeJose(key: TestKey): Promise<jose.JWK.Key> {
  return jose.JWK.asKey({ ...key.privateKey.export({ format: 'jwk' }), kid: key.kid } as object);
}

describe('interoperation', () => {
  const pool = new AgreementPool();
  const sessions = new SealingSessions({ pool });
  after(() => pool.close());

  for (const crv of ['P-521', 'P-384', 'P-256'] as const satisfies readonly Curve[]) {
    const key = makeKey(crv);

    it(`jose and node-jose open what we seal to ${crv}`, async () => {
      const session = await sessions.acquire(key);
      for (const plaintext of [MESSAGE, Buffer.alloc(65_536, 7), Buffer.alloc(0)]) {
        const token = session.seal(plaintext, { field: FIELD, cty: 'application/json', iat: IAT });
        const byJose = await compactDecrypt(token, key.privateKey);
        expect(Buffer.from(byJose.plaintext)).to.deep.equal(plaintext);
        expect(byJose.protectedHeader).to.deep.include({ ...profile, kid: key.kid });
        const byNodeJose = await jose.JWE.createDecrypt(await toNodeJose(key)).decrypt(token);
        expect(byNodeJose.plaintext).to.deep.equal(plaintext);
      }
    });

    for (const alg of algorithms) {
      for (const enc of encryptions) {
        it(`we open under strict what jose and node-jose encrypt to ${crv} with ${alg}, ${enc}`, async () => {
          const byJose = await new CompactEncrypt(MESSAGE)
            .setProtectedHeader({ alg, enc, kid: key.kid, ...profile })
            .encrypt(key.publicKey);
          expect(await open(key, byJose)).to.deep.equal(MESSAGE);
          // node-jose 2.2 cannot encrypt this pair: "unsupported algorithm".
          if (alg === 'ECDH-ES' && enc === 'A256CBC-HS512') return;
          const options = { format: 'compact', contentAlg: enc, fields: { alg, ...profile } } as const;
          const byNodeJose = await jose.JWE.createEncrypt(options, await toNodeJose(key))
            .update(MESSAGE)
            .final();
          expect(await open(key, byNodeJose as unknown as string)).to.deep.equal(MESSAGE);
        });
      }
    }

    it(`interop opens the plain token of a node-jose client with a ${crv} PEM key, strict refuses it`, async () => {
      const curve = { 'P-521': 'secp521r1', 'P-384': 'secp384r1', 'P-256': 'prime256v1' }[crv];
      let pair = generateKeyPairSync('ec', { namedCurve: curve });
      while (isMisread(pair.publicKey)) pair = generateKeyPairSync('ec', { namedCurve: curve });
      const own = toKey(crv, pair.privateKey);
      const pem = pair.publicKey.export({ type: 'spki', format: 'pem' });
      const client = await jose.JWK.asKey(pem, 'pem');
      const made = await jose.JWE.createEncrypt({ format: 'compact' }, client).update(MESSAGE).final();
      const token = made as unknown as string;
      const header = JSON.parse(Buffer.from(token.split('.')[0] as string, 'base64url').toString()) as object;
      expect(header).to.include({ alg: 'ECDH-ES', enc: 'A128CBC-HS256', kid: own.kid });
      expect(await open(own, token, 'interop')).to.deep.equal(MESSAGE);
      expectCode('POLICY_MISSING_HEADER', () => open(own, token, 'strict'));
    });
  }

  it('we open what jose encrypts with apu and apv', async () => {
    const key = makeKey('P-521');
    const token = await new CompactEncrypt(MESSAGE)
      .setProtectedHeader({ alg: 'ECDH-ES+A256KW', enc: 'A256GCM', kid: key.kid, ...profile })
      .setKeyManagementParameters({ apu: Buffer.from('Alice'), apv: Buffer.from('Bob') })
      .encrypt(key.publicKey);
    expect(await open(key, token)).to.deep.equal(MESSAGE);
  });
});

/** node-jose 2.2 takes one uncompressed point in 256 for a nested ASN.1 value: 04 and what would be its length. */
function isMisread(publicKey: KeyObject): boolean {
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const coordinates = Buffer.concat([x, y].map((each) => Buffer.from(each, 'base64url')));
  return coordinates[0] === coordinates.length - 1;
}
