import { expect } from 'chai';
import { CompactEncrypt } from 'jose';
import { Grant, grantKid, openGranted } from '../../src/jwe/grant.js';
import { TokenOpener } from '../../src/jwe/opener.js';
import { AgreementPool } from '../../src/jwe/pool.js';
import { SealingSessions } from '../../src/jwe/sender.js';
import { expectCode, FIELD, IAT, makeKey, PLAINTEXT, TestKeys } from './helpers.js';

const profile = { typ: 'sealed-field+jwe', cty: 'application/json', fld: FIELD, iat: IAT };

describe('grants', () => {
  const pool = new AgreementPool();
  const sessions = new SealingSessions({ pool });
  after(() => pool.close());
  const reviewer = makeKey('P-521');
  const service = makeKey('P-256');
  const opener = new TokenOpener({ keys: new TestKeys(service), now: () => IAT * 1_000 });
  const grantFor = async (token: string) => {
    const grant = (await sessions.acquire(reviewer)).createGrant();
    await opener.open(opener.check(token, { field: FIELD }), 'caller', 'wire', grant);
    return grant.text as string;
  };
  const encrypt = (alg: string, enc: string) =>
    new CompactEncrypt(PLAINTEXT)
      .setProtectedHeader({ alg, enc, kid: service.kid, ...profile })
      .encrypt(service.publicKey);

  for (const alg of ['ECDH-ES+A256KW', 'ECDH-ES']) {
    for (const enc of ['A256GCM', 'A128CBC-HS256', 'A256CBC-HS512']) {
      it(`open a token of ${alg} and ${enc}, the first of its agreement and a later one`, async () => {
        const token = await encrypt(alg, enc);
        for (let round = 0; round < 2; round++) {
          const grant = await grantFor(token);
          const { plaintext, cty } = openGranted(token, grant, reviewer.privateKey);
          expect([plaintext, cty]).to.deep.equal([PLAINTEXT, 'application/json']);
        }
      });
    }
  }

  it('open what is sealed, and name the key that they are for', async () => {
    const session = await sessions.acquire(service);
    const grant = (await sessions.acquire(reviewer)).createGrant();
    const token = session.seal(PLAINTEXT, { field: FIELD, cty: 'application/protobuf', iat: IAT }, grant);
    expect(openGranted(token, grant.text as string, reviewer.privateKey)).to.deep.equal({
      plaintext: PLAINTEXT,
      cty: 'application/protobuf',
    });
    expect(grantKid(grant.text as string)).to.equal(reviewer.kid);
  });

  it('are not given for a token whose tag is wrong', async () => {
    const token = await encrypt('ECDH-ES+A256KW', 'A256GCM');
    const grant = new Grant(() => 'given');
    const bad = `${token.slice(0, token.lastIndexOf('.'))}.${'A'.repeat(22)}`;
    const opening = async () => opener.open(opener.check(bad, { field: FIELD }), 'caller', 'wire', grant);
    expect(await opening().catch((error: unknown) => error)).to.have.property('code', 'DECRYPTION_FAILED');
    expect(grant.text).to.equal(undefined);
  });

  it('open no other token, with no other key, and not when they were changed', async () => {
    const [token, another] = [await encrypt('ECDH-ES+A256KW', 'A256GCM'), await encrypt('ECDH-ES+A256KW', 'A256GCM')];
    const grant = await grantFor(token);
    const [header = '', wrapped = ''] = grant.split('.');
    expectCode('DECRYPTION_FAILED', () => openGranted(another, grant, reviewer.privateKey));
    expectCode('DECRYPTION_FAILED', () => openGranted(token, grant, makeKey('P-521').privateKey));
    expectCode('DECRYPTION_FAILED', () =>
      openGranted(token, `${header}.${'A'.repeat(wrapped.length - 1)}A`, reviewer.privateKey),
    );
    expectCode('DECRYPTION_FAILED', () => openGranted(token, `${header}.AAAA`, reviewer.privateKey));
    expectCode('TOKEN_ENCODING', () => openGranted(token, `${grant}.AAAA`, reviewer.privateKey));
    // A token's header is not that of a grant.
    expectCode('TOKEN_ENCODING', () => openGranted(token, token.split('.').slice(0, 2).join('.'), reviewer.privateKey));
    expect(grantKid('no grant')).to.equal(undefined);
  });
});
