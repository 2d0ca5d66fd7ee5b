/** Signed key sets: what is accepted, and every reason for which one is refused, by its code. */
import { createPublicKey } from 'node:crypto';
import { expect } from 'chai';
import { compactVerify, importJWK } from 'jose';
import { KEY_SET_CODES, type KeySetCode } from '../../../src/errors.js';
import { signDelegation } from '../../../src/keys/signed-set/delegation.js';
import { signKeySet, verifyKeySet } from '../../../src/keys/signed-set/key-set.js';
import { SigningKey } from '../../../src/keys/signed-set/signing-key.js';
import { DELEGATION_TYPE } from '../../../src/profile/key-sets/delegation.js';
import { KEY_SET_TYPE } from '../../../src/profile/key-sets/key-set-rules.js';
import { type GivenSet, goodChecks, setCases } from '../../support/hostile-key-sets.js';
import { makeSealingKey, TestIssuer } from '../../support/signed-sets.js';
import { printed, refusal } from '../helpers.js';

describe('verifyKeySet', () => {
  const issuer = new TestIssuer();
  const { now } = issuer;
  const checks = goodChecks(issuer);
  const covered = new Set<string>();

  async function judge(result: KeySetCode | 'valid', given: string | GivenSet): Promise<void> {
    covered.add(result);
    const { text, checks: changes } = typeof given === 'string' ? { text: given } : given;
    const verify = () => verifyKeySet(text, { ...checks, ...changes });
    if (result === 'valid') await verify();
    else {
      const error = await refusal(verify, result);
      if (text !== '') expect(printed(error)).not.to.contain(text.slice(-40));
    }
  }

  it('accepts a set and tells what it says', async () => {
    const [first, second] = [makeSealingKey('P-384'), makeSealingKey('P-384')];
    const keys = [
      { ...first.jwk, nbf: now - 10, exp: now + 10 },
      { ...second.jwk, nbf: now + 10 },
    ];
    const found = await verifyKeySet(await issuer.set({ claims: { keys, ver: [7, 3] } }), checks);
    expect(found).to.include({ issuer: 'payments', issuedAt: now, expiresAt: now + 86_400 });
    expect(found.version).to.deep.equal({ changed: 7, passed: 3 });
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
    const claims = { iss: 'payments', iat: now, exp: now + 60, ver: [1, 0] as const, keys: [jwk] };
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
  });

  for (const [what, cases] of Object.entries(setCases)) {
    describe(`judges by ${what}`, () => {
      for (const { name, result, make } of cases) {
        it(`${name}: ${result}`, async () => {
          for (const given of await make(issuer)) await judge(result, given);
        });
      }
    });
  }

  it('refuses the set or the delegation of another issuer, and names both, cut and escaped', async () => {
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

  // In a suite of its own, so that it comes last.
  describe('of all its codes', () => {
    it('has a test for each', () => {
      const elsewhere = ['KEY_SET_NO_ACTIVE_KEY', 'KEY_SET_UNAVAILABLE'];
      expect(KEY_SET_CODES.filter((code) => !covered.has(code))).to.deep.equal(elsewhere);
    });
  });
});
