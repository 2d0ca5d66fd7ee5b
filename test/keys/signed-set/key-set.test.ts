/** Signed key sets: what is accepted, and every reason for which one is refused, by its code. */
import { createHmac, createPublicKey } from 'node:crypto';
import { expect } from 'chai';
import { compactVerify, importJWK } from 'jose';
import { KEY_SET_CODES, type KeySetCode } from '../../../src/errors.js';
import { signDelegation } from '../../../src/keys/signed-set/delegation.js';
import { peekKeySet, signKeySet, verifyKeySet } from '../../../src/keys/signed-set/key-set.js';
import { SigningKey } from '../../../src/keys/signed-set/signing-key.js';
import { DELEGATION_TYPE } from '../../../src/profile/key-sets/delegation.js';
import { KEY_SET_TYPE, MAX_SET_KEYS } from '../../../src/profile/key-sets/key-set-rules.js';
import { assemble, makeSealingKey, makeSigningPair, signAny, TestIssuer } from '../../support/signed-sets.js';
import { printed, refusal } from '../helpers.js';

describe('verifyKeySet', () => {
  const issuer = new TestIssuer();
  const { now } = issuer;
  const checks = { roots: [issuer.root.kid], issuer: issuer.name, nowMs: now * 1000 };
  const covered = new Set<string>();

  async function refused(code: KeySetCode, text: string | Promise<string>, changes: Partial<typeof checks> = {}) {
    covered.add(code);
    const given = await text;
    const error = await refusal(() => verifyKeySet(given, { ...checks, ...changes }), code);
    if (given !== '') expect(printed(error)).not.to.contain(given.slice(-40));
  }

  it('accepts a set and tells what it says', async () => {
    const [first, second] = [makeSealingKey('P-384'), makeSealingKey('P-384')];
    const keys = [
      { ...first.jwk, nbf: now - 10, exp: now + 10 },
      { ...second.jwk, nbf: now + 10 },
    ];
    const found = await verifyKeySet(await issuer.set({ claims: { keys, ver: 7 } }), checks);
    expect(found).to.include({ issuer: 'payments', version: 7, issuedAt: now, expiresAt: now + 86_400 });
    expect(found.delegation).to.include({ root: issuer.root.kid, expiresAt: now + 90 * 86_400 });
    expect(found.keys.map(({ kid, notBefore, expires }) => [kid, notBefore, expires])).to.deep.equal([
      [first.jwk.kid, now - 10, now + 10],
      [second.jwk.kid, now + 10, undefined],
    ]);
    expect(found.keys[0]?.publicKey.equals(createPublicKey(first.privateKey))).to.equal(true);
  });

  it('accepts what it makes itself, and jose does too', async () => {
    const [root, signer] = [await SigningKey.generate(), await SigningKey.generate()];
    const nowMs = now * 1000;
    const delegation = await signDelegation(root, { recipient: 'payments', signer: signer.publicJwk, nowMs });
    const { jwk } = makeSealingKey();
    const claims = { iss: 'payments', iat: now, exp: now + 60, ver: 1, keys: [jwk] };
    const text = await signKeySet(signer, delegation, claims);
    const found = await verifyKeySet(text, { roots: ['other', root.kid], issuer: 'payments', nowMs });
    expect(found.keys.map(({ kid }) => kid)).to.deep.equal([jwk.kid]);
    for (const [jws, key, typ] of [
      [text, signer, KEY_SET_TYPE],
      [delegation, root, DELEGATION_TYPE],
    ] as const) {
      const { protectedHeader } = await compactVerify(jws, await importJWK({ ...key.publicJwk }, 'ES512'));
      expect(protectedHeader).to.include({ alg: 'ES512', typ, kid: key.kid });
    }
    expect(peekKeySet(text)).to.deep.equal({ version: 1, expiresAt: now + 60 });
  });

  it('accepts the same version again, an empty set, and unknown members of a key', async () => {
    await verifyKeySet(await issuer.set({ claims: { ver: 5 } }), { ...checks, highestVersion: 5 });
    expect((await verifyKeySet(await issuer.set({ claims: { keys: [] } }), checks)).keys).to.deep.equal([]);
    await verifyKeySet(await issuer.set({ claims: { keys: [{ ...issuer.key.jwk, note: 'later' }] } }), checks);
  });

  describe('refuses by its form', () => {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

    it('a text that is too long', () => refused('KEY_SET_TOO_LARGE', `${'A'.repeat(65_537)}`));
    it('a text that is not three parts, or not canonical base64url', async () => {
      const good = await issuer.set();
      const [head, body, signature] = good.split('.') as [string, string, string];
      const bad = [
        '',
        'a.b',
        `${good}.x`,
        `${head}.${body}`,
        `${head}=.${body}.${signature}`,
        `${head}. ${body}.${signature}`,
      ];
      // The last character of 132 bytes carries no stray bits, that of the header may.
      bad.push(`${head}.${body}.${signature}A`, `${head}.${body}.+${signature.slice(1)}`, `${good}\n`);
      for (const text of bad) await refused('KEY_SET_FORM', text);
    });
    it('a header or a payload that is not an object of JSON in UTF-8', async () => {
      const good = await issuer.set();
      const rest = good.slice(good.indexOf('.'));
      for (const text of ['[]', '"x"', 'null', '{', '\u{feff}{}']) {
        await refused('KEY_SET_JSON', `${Buffer.from(text).toString('base64url')}${rest}`);
      }
      await refused('KEY_SET_JSON', `${Buffer.from([0x7b, 0xff, 0x7d]).toString('base64url')}${rest}`);
      const header = { typ: KEY_SET_TYPE, dlg: await issuer.delegation() };
      for (const text of ['[]', 'payload']) await refused('KEY_SET_JSON', signAny(issuer.signer, header, text));
    });
    it('a name that occurs twice, however it is written', async () => {
      const header = { typ: KEY_SET_TYPE, dlg: await issuer.delegation() };
      const claims = JSON.stringify(issuer.claims());
      for (const name of ['"iss"', '"\\u0069ss"']) {
        await refused('KEY_SET_DUPLICATE_NAME', signAny(issuer.signer, header, `{${name}:"x",${claims.slice(1)}`));
      }
      await refused('KEY_SET_DUPLICATE_NAME', assemble('{"alg":"none","alg":"ES512"}', claims, ''));
    });
    for (const alg of ['none', 'None', 'NONE', 'HS512', 'ES256', 'ES384', 'es512', 'RS256', 'EdDSA', '', 512, null]) {
      it(`alg ${JSON.stringify(alg)}`, async () => {
        const [, body, signature] = (await issuer.set()).split('.') as [string, string, string];
        const header = part({ alg, typ: KEY_SET_TYPE, kid: issuer.signer.kid, dlg: await issuer.delegation() });
        await refused('KEY_SET_ALGORITHM', `${header}.${body}.${signature}`);
        await refused('KEY_SET_ALGORITHM', `${header}.${body}.`);
      });
    }
    it('HS512 keyed with the public key of the root, in any of its forms', async () => {
      const { jwk, privateKey } = issuer.root;
      const forms = [
        createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }),
        createPublicKey(privateKey).export({ type: 'spki', format: 'der' }),
        JSON.stringify(jwk),
      ];
      const dlg = await issuer.delegation();
      for (const key of forms) {
        const head = part({ alg: 'HS512', typ: KEY_SET_TYPE, kid: issuer.signer.kid, dlg });
        const signed = `${head}.${part(issuer.claims())}`;
        const mac = createHmac('sha512', key).update(signed).digest('base64url');
        await refused('KEY_SET_ALGORITHM', `${signed}.${mac}`);
        // The same for the delegation: its own form is checked as strictly.
        const own = `${part({ alg: 'HS512', typ: DELEGATION_TYPE, kid: issuer.root.kid })}.${dlg.split('.')[1]}`;
        const forged = `${own}.${createHmac('sha512', key).update(own).digest('base64url')}`;
        await refused('KEY_SET_DELEGATION', issuer.set({ delegation: forged }));
      }
    });
    it('another typ: a delegation is no set', async () => {
      for (const typ of ['JWT', DELEGATION_TYPE, 'application/jwk-set+jwt', undefined]) {
        await refused('KEY_SET_TYPE', issuer.set({ header: { typ } }));
      }
      await refused('KEY_SET_TYPE', issuer.delegation());
    });
    for (const [name, value] of Object.entries({
      jwk: makeSigningPair().jwk,
      jku: 'https://example.org/keys',
      x5u: 'https://example.org/chain',
      x5c: ['AAAA'],
      x5t: 'AAAA',
      'x5t#S256': 'AAAA',
      cty: 'json',
      zip: 'DEF',
    })) {
      it(`a header with ${name}`, () => refused('KEY_SET_HEADER', issuer.set({ header: { [name]: value } })));
    }
    it('a header with crit, or without kid or delegation', async () => {
      const [, body, signature] = (await issuer.set()).split('.') as [string, string, string];
      const base = { alg: 'ES512', typ: KEY_SET_TYPE, kid: issuer.signer.kid, dlg: 'x' };
      const { kid: _, ...withoutKid } = base;
      for (const header of [{ ...base, crit: ['exp'] }, withoutKid, { ...base, dlg: 7 }, { ...base, dlg: undefined }]) {
        await refused('KEY_SET_HEADER', `${part(header)}.${body}.${signature}`);
      }
    });
    it('a stripped signature', async () => {
      const good = await issuer.set();
      await refused('KEY_SET_UNSIGNED', good.slice(0, good.lastIndexOf('.') + 1));
      await refused('KEY_SET_FORM', good.slice(0, good.lastIndexOf('.')));
    });
  });

  describe('refuses by who signed', () => {
    it('a signature of another length, a changed one, and one over another payload', async () => {
      const good = await issuer.set();
      const [head, body, signature] = good.split('.') as [string, string, string];
      const bytes = Buffer.from(signature, 'base64url');
      const flipped = Buffer.from(bytes);
      flipped[70] = (flipped[70] as number) ^ 1;
      const zero = Buffer.alloc(132);
      for (const wrong of [bytes.subarray(1), Buffer.concat([bytes, bytes]), flipped, zero]) {
        await refused('KEY_SET_SIGNATURE', `${head}.${body}.${wrong.toString('base64url')}`);
      }
      const other = Buffer.from(JSON.stringify(issuer.claims({ ver: now + 1 }))).toString('base64url');
      await refused('KEY_SET_SIGNATURE', `${head}.${other}.${signature}`);
    });
    it('a signer that the delegation does not name, under either name', async () => {
      const mallory = makeSigningPair();
      await refused('KEY_SET_SIGNER', issuer.set({ signer: mallory, header: { kid: mallory.kid } }));
      await refused('KEY_SET_SIGNATURE', issuer.set({ signer: mallory }));
    });
    it('the root itself as the signer of a set', () =>
      refused('KEY_SET_SIGNER', issuer.set({ signer: issuer.root, header: { kid: issuer.root.kid } })));
    it('a root that is not pinned', async () => {
      const mallory = new TestIssuer(issuer.name, now * 1000);
      await refused('KEY_SET_ROOT_UNKNOWN', mallory.set());
      await refused('KEY_SET_ROOT_UNKNOWN', issuer.set(), { roots: [] });
    });
    it('a delegation by another root, under either name', async () => {
      const mallory = makeSigningPair();
      await refused('KEY_SET_DELEGATION_SIGNATURE', issuer.set({ delegation: { by: mallory } }));
      // Nothing of a root that is not pinned is even read.
      const unreadable = { by: mallory, header: { kid: mallory.kid }, claims: { root: 'x' } };
      await refused('KEY_SET_ROOT_UNKNOWN', issuer.set({ delegation: unreadable }));
      const renamed = { by: mallory, header: { kid: mallory.kid }, claims: { root: mallory.jwk } };
      await refused('KEY_SET_ROOT_UNKNOWN', issuer.set({ delegation: renamed }));
      const claimed = { by: mallory, claims: { root: mallory.jwk } };
      await refused('KEY_SET_DELEGATION', issuer.set({ delegation: claimed }));
    });
    it('a delegation that has expired', () =>
      refused('KEY_SET_DELEGATION_EXPIRED', issuer.set({ delegation: { claims: { iat: now - 100, exp: now } } })));
    it('a delegation for more than 90 days, from the future, or that ends before it begins', async () => {
      for (const claims of [
        { exp: now + 90 * 86_400 + 1 },
        { iat: now + 301, exp: now + 1000 },
        { exp: now },
        { exp: now - 1 },
        { iat: -1 },
        { exp: '9' },
        { iat: undefined },
      ]) {
        await refused('KEY_SET_DELEGATION', issuer.set({ delegation: { claims } }));
      }
    });
    it('a delegation that is malformed', async () => {
      const good = await issuer.delegation();
      const { privateKey, jwk } = makeSigningPair();
      const { d } = privateKey.export({ format: 'jwk' });
      for (const text of ['', 'x', good.slice(0, good.lastIndexOf('.') + 1), `${good}${'A'.repeat(4_096)}`]) {
        await refused('KEY_SET_DELEGATION', issuer.set({ delegation: text }));
      }
      await refused('KEY_SET_DELEGATION', issuer.set({ delegation: await issuer.set() }));
      for (const claims of [
        { key: undefined },
        { key: null },
        { key: { ...jwk, d } },
        { key: { ...jwk, use: 'enc' } },
        { key: { ...jwk, y: jwk.x } },
        { key: makeSealingKey('P-256').jwk },
        { root: undefined },
        { root: { ...issuer.root.jwk, kid: 'x' } },
      ]) {
        await refused('KEY_SET_DELEGATION', issuer.set({ delegation: { claims } }));
      }
    });
  });

  describe('refuses by what it says', () => {
    it('the set or the delegation of another issuer', async () => {
      await refused('KEY_SET_ISSUER', issuer.set({ claims: { iss: 'fraud-team' } }));
      await refused('KEY_SET_ISSUER', issuer.set({ delegation: { claims: { sub: 'fraud-team' } } }));
      await refused('KEY_SET_ISSUER', issuer.set({ claims: { iss: undefined } }));
    });
    it('the set or the delegation of another issuer, and names both, cut and escaped', async () => {
      const message = async (options: Parameters<typeof issuer.set>[0]) => {
        const text = await issuer.set(options);
        return (await refusal(() => verifyKeySet(text, checks), 'KEY_SET_ISSUER')).message;
      };
      const own = `'${checks.issuer}'`;
      expect(await message({ claims: { iss: 'fraud-team' } })).to.equal(`the set is of 'fraud-team', not of ${own}`);
      expect(await message({ delegation: { claims: { sub: 'fraud-team' } } })).to.equal(
        `the delegation is for 'fraud-team', not for ${own}`,
      );
      expect(await message({ claims: { iss: undefined } })).to.equal(`the set is of nobody, not of ${own}`);
      const hostile = `\u001b[2J\u202e\n'${'x'.repeat(5_000)}`;
      expect(await message({ claims: { iss: hostile } })).to.equal(
        `the set is of '\\u{1b}[2J\\u{202e}\\u{a}\\u{27}${'x'.repeat(57)}…', not of ${own}`,
      );
    });
    it('a set past its end, to the second', async () => {
      const claims = { iat: now - 10, exp: now + 1 };
      await verifyKeySet(await issuer.set({ claims }), checks);
      await refused('KEY_SET_EXPIRED', issuer.set({ claims }), { nowMs: (now + 1) * 1000 });
    });
    it('a set from the future, for more than 24 hours, or that outlives its delegation', async () => {
      await verifyKeySet(await issuer.set({ claims: { iat: now + 300, exp: now + 390 } }), checks);
      for (const claims of [{ iat: now + 301, exp: now + 390 }, { exp: now + 86_401 }, { exp: now }]) {
        await refused('KEY_SET_TIME', issuer.set({ claims }));
      }
      await refused('KEY_SET_TIME', issuer.set({ delegation: { claims: { exp: now + 86_399 } } }));
    });
    it('members that are missing or of another type', async () => {
      const many = Array.from({ length: MAX_SET_KEYS + 1 }, () => issuer.key.jwk);
      for (const claims of [
        { iat: undefined },
        { exp: `${now}` },
        { ver: undefined },
        { ver: 1.5 },
        { ver: -1 },
        { ver: 2 ** 53 },
        { keys: undefined },
        { keys: {} },
        { keys: [null] },
        { keys: [[]] },
        { keys: many },
        { keys: [{ ...issuer.key.jwk, nbf: '1' }] },
        { keys: [{ ...issuer.key.jwk, nbf: 10, exp: 10 }] },
        { keys: [{ ...issuer.key.jwk, exp: 0 }] },
      ]) {
        await refused('KEY_SET_CONTENT', issuer.set({ claims }));
      }
    });
    it('a set that is older than one seen before', async () => {
      await refused('KEY_SET_ROLLED_BACK', issuer.set({ claims: { ver: 6 } }), { highestVersion: 7 } as never);
    });
    it('a key with a private member', async () => {
      const { d } = issuer.key.privateKey.export({ format: 'jwk' });
      for (const extra of [{ d }, { k: 'AAAA' }, { p: 'AAAA' }, { d: null }]) {
        await refused('KEY_SET_PRIVATE_MEMBER', issuer.set({ claims: { keys: [{ ...issuer.key.jwk, ...extra }] } }));
      }
    });
    it('a kid that occurs twice', async () => {
      const { jwk } = issuer.key;
      await refused('KEY_SET_DUPLICATE_KID', issuer.set({ claims: { keys: [jwk, jwk] } }));
      const other = { ...makeSealingKey().jwk, kid: jwk.kid };
      await refused('KEY_SET_DUPLICATE_KID', issuer.set({ claims: { keys: [jwk, other] } }));
    });
    it('a kid that is not the thumbprint', async () => {
      const other = makeSealingKey().jwk;
      for (const kid of [other.kid, 'my-key', undefined]) {
        await refused('KEY_SET_KID', issuer.set({ claims: { keys: [{ ...issuer.key.jwk, kid }] } }));
      }
    });
    it('keys on several curves', () => {
      const keys = [makeSealingKey('P-521').jwk, makeSealingKey('P-256').jwk];
      return refused('KEY_SET_MIXED_CURVES', issuer.set({ claims: { keys } }));
    });
    it('a key that is none: off its curve, on another one, for signatures, of another kind', async () => {
      const { jwk } = issuer.key;
      for (const key of [
        { ...jwk, y: jwk.x },
        { ...jwk, crv: 'P-384' },
        { ...jwk, crv: 'secp256k1' },
        { ...jwk, x: `${jwk.x}=` },
        { ...jwk, use: 'sig' },
        { ...jwk, use: undefined },
        { ...jwk, alg: 'ES512' },
        { kty: 'RSA', n: 'AQAB', e: 'AQAB', kid: 'x', use: 'enc' },
      ]) {
        await refused('KEY_SET_KEY', issuer.set({ claims: { keys: [key] } }));
      }
    });
  });

  // In a suite of its own, so that it comes last.
  describe('of all its codes', () => {
    it('has a test for each', () => {
      const elsewhere = ['KEY_SET_NO_ACTIVE_KEY', 'KEY_SET_UNAVAILABLE'];
      expect(KEY_SET_CODES.filter((code) => !covered.has(code))).to.deep.equal(elsewhere);
    });
  });
});
