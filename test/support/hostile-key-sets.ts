/**
 * Signed sets that no verifier may use, each with the code of its refusal, and a few that it must accept: the same for
 * Node's verifier and the browser's.
 */
import { createHmac, createPublicKey } from 'node:crypto';
import type { KeySetCode } from '../../src/errors.js';
import { DELEGATION_TYPE } from '../../src/profile/key-sets/delegation.js';
import { KEY_SET_TYPE, MAX_SET_KEYS } from '../../src/profile/key-sets/key-set-rules.js';
import type { KeySetChecks } from '../../src/profile/key-sets/verify-key-set.js';
import { fingerprintOf, type SeenSet } from '../../src/profile/key-sets/version.js';
import {
  assemble,
  type DelegationChanges,
  type Members,
  makeSealingKey,
  makeSigningPair,
  signAny,
  TestIssuer,
} from './signed-sets.js';

/** A text, and what differs in what it is checked against. */
export interface GivenSet {
  readonly text: string;
  readonly checks?: Partial<KeySetChecks>;
}

type Given = string | GivenSet;

/** Texts with one fault in common. */
export interface SetCase {
  readonly name: string;
  readonly result: KeySetCode | 'valid';
  make(issuer: TestIssuer): Promise<readonly Given[]>;
}

const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
const split = (text: string) => text.split('.') as [string, string, string];
const base64url = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url');

/** What an issuer is checked against when all is right. */
export function goodChecks({ root, name, now }: TestIssuer): KeySetChecks {
  return { roots: [root.kid], issuer: name, nowMs: now * 1000 };
}

/** A set that was seen before. */
function seenOf([changed, passed]: readonly [number, number], keys: readonly object[]): SeenSet {
  return { version: { changed, passed }, fingerprint: fingerprintOf(keys) };
}

/** One set for each of these claims. */
const withClaims = (...all: readonly Members[]) => {
  return (issuer: TestIssuer) => Promise.all(all.map((claims) => issuer.set({ claims })));
};

/** One set for each of these delegations. */
function withDelegations(issuer: TestIssuer, ...all: readonly (DelegationChanges | string)[]): Promise<string[]> {
  return Promise.all(all.map((delegation) => issuer.set({ delegation })));
}

const ALGORITHMS = ['none', 'None', 'NONE', 'HS512', 'ES256', 'ES384', 'es512', 'RS256', 'EdDSA', '', 512, null];

const HEADER_NAMES: Readonly<Record<string, unknown>> = {
  jwk: makeSigningPair().jwk,
  jku: 'https://example.org/keys',
  x5u: 'https://example.org/chain',
  x5c: ['AAAA'],
  x5t: 'AAAA',
  'x5t#S256': 'AAAA',
  cty: 'json',
  zip: 'DEF',
};

const byForm: readonly SetCase[] = [
  { name: 'a text that is too long', result: 'KEY_SET_TOO_LARGE', make: async () => ['A'.repeat(65_537)] },
  {
    name: 'a text that is not three parts, or not canonical base64url',
    result: 'KEY_SET_FORM',
    async make(issuer) {
      const good = await issuer.set();
      const [head, body, signature] = split(good);
      const parts = ['', 'a.b', `${good}.x`, `${head}.${body}`, `${head}=.${body}.${signature}`];
      // The last character of 132 bytes carries no stray bits, that of the header may.
      const signatures = [`${signature}A`, `+${signature.slice(1)}`, `${signature}\n`];
      const texts = signatures.map((changed) => `${head}.${body}.${changed}`);
      return [...parts, `${head}. ${body}.${signature}`, ...texts];
    },
  },
  {
    name: 'a header or a payload that is not an object of JSON in UTF-8',
    result: 'KEY_SET_JSON',
    async make(issuer) {
      const good = await issuer.set();
      const rest = good.slice(good.indexOf('.'));
      const heads = ['[]', '"x"', 'null', '{', '\u{feff}{}'].map((text) => Buffer.from(text));
      const header = { typ: KEY_SET_TYPE, dlg: await issuer.delegation() };
      const payloads = ['[]', 'payload'].map((text) => signAny(issuer.signer, header, text));
      const headers = [...heads, Buffer.from([0x7b, 0xff, 0x7d])].map((head) => `${base64url(head)}${rest}`);
      return [...headers, ...(await Promise.all(payloads))];
    },
  },
  {
    name: 'a name that occurs twice, however it is written',
    result: 'KEY_SET_DUPLICATE_NAME',
    async make(issuer) {
      const header = { typ: KEY_SET_TYPE, dlg: await issuer.delegation() };
      const claims = JSON.stringify(issuer.claims());
      const twice = (name: string) => signAny(issuer.signer, header, `{${name}:"x",${claims.slice(1)}`);
      const texts = await Promise.all(['"iss"', '"\\u0069ss"'].map(twice));
      return [...texts, assemble('{"alg":"none","alg":"ES512"}', claims, '')];
    },
  },
  ...ALGORITHMS.map(
    (alg): SetCase => ({
      name: `alg ${JSON.stringify(alg)}`,
      result: 'KEY_SET_ALGORITHM',
      async make(issuer) {
        const [, body, signature] = split(await issuer.set());
        const header = part({ alg, typ: KEY_SET_TYPE, kid: issuer.signer.kid, dlg: await issuer.delegation() });
        return [`${header}.${body}.${signature}`, `${header}.${body}.`];
      },
    }),
  ),
  {
    name: 'HS512 keyed with the public key of the root, in any of its forms',
    result: 'KEY_SET_ALGORITHM',
    async make(issuer) {
      const header = { alg: 'HS512', typ: KEY_SET_TYPE, kid: issuer.signer.kid, dlg: await issuer.delegation() };
      return publicForms(issuer).map((key) => signByMac(key, `${part(header)}.${part(issuer.claims())}`));
    },
  },
  {
    // Its own form is checked as strictly.
    name: 'a delegation with HS512 keyed with the public key of the root',
    result: 'KEY_SET_DELEGATION',
    async make(issuer) {
      const [, body] = split(await issuer.delegation());
      const header = part({ alg: 'HS512', typ: DELEGATION_TYPE, kid: issuer.root.kid });
      return withDelegations(issuer, ...publicForms(issuer).map((key) => signByMac(key, `${header}.${body}`)));
    },
  },
  {
    name: 'another typ: a delegation is no set',
    result: 'KEY_SET_TYPE',
    async make(issuer) {
      const types = ['JWT', DELEGATION_TYPE, 'application/jwk-set+jwt', undefined];
      return [...(await Promise.all(types.map((typ) => issuer.set({ header: { typ } })))), await issuer.delegation()];
    },
  },
  ...Object.entries(HEADER_NAMES).map(
    ([name, value]): SetCase => ({
      name: `a header with ${name}`,
      result: 'KEY_SET_HEADER',
      make: async (issuer) => [await issuer.set({ header: { [name]: value } })],
    }),
  ),
  {
    name: 'a header with crit, or without kid or delegation',
    result: 'KEY_SET_HEADER',
    async make(issuer) {
      const [, body, signature] = split(await issuer.set());
      const base = { alg: 'ES512', typ: KEY_SET_TYPE, kid: issuer.signer.kid, dlg: 'x' };
      const { kid: _, ...withoutKid } = base;
      const headers = [{ ...base, crit: ['exp'] }, withoutKid, { ...base, dlg: 7 }, { ...base, dlg: undefined }];
      return headers.map((header) => `${part(header)}.${body}.${signature}`);
    },
  },
  {
    name: 'a stripped signature',
    result: 'KEY_SET_UNSIGNED',
    async make(issuer) {
      const good = await issuer.set();
      return [good.slice(0, good.lastIndexOf('.') + 1)];
    },
  },
];

function publicForms({ root: { jwk, privateKey } }: TestIssuer): (string | Buffer)[] {
  const key = createPublicKey(privateKey);
  const pem = key.export({ type: 'spki', format: 'pem' }) as string;
  return [pem, key.export({ type: 'spki', format: 'der' }) as Buffer, JSON.stringify(jwk)];
}

function signByMac(key: string | Buffer, signed: string): string {
  return `${signed}.${createHmac('sha512', key).update(signed).digest('base64url')}`;
}

const bySigner: readonly SetCase[] = [
  {
    name: 'a signature of another length, a changed one, and one over another payload',
    result: 'KEY_SET_SIGNATURE',
    async make(issuer) {
      const [head, body, signature] = split(await issuer.set());
      const bytes = Buffer.from(signature, 'base64url');
      const flipped = Buffer.from(bytes);
      flipped[70] = (flipped[70] as number) ^ 1;
      const wrong = [bytes.subarray(1), Buffer.concat([bytes, bytes]), flipped, Buffer.alloc(132)];
      const other = part(issuer.claims({ ver: [issuer.now + 1, 0] }));
      return [...wrong.map((each) => `${head}.${body}.${base64url(each)}`), `${head}.${other}.${signature}`];
    },
  },
  {
    name: 'a signer that the delegation does not name, the root itself among them',
    result: 'KEY_SET_SIGNER',
    make: (issuer) =>
      Promise.all(
        [makeSigningPair(), issuer.root].map((signer) => issuer.set({ signer, header: { kid: signer.kid } })),
      ),
  },
  {
    name: 'such a signer under the name of the delegated one',
    result: 'KEY_SET_SIGNATURE',
    make: async (issuer) => [await issuer.set({ signer: makeSigningPair() })],
  },
  {
    name: 'a root that is not pinned',
    result: 'KEY_SET_ROOT_UNKNOWN',
    async make(issuer) {
      const mallory = new TestIssuer(issuer.name, issuer.now * 1000);
      return [await mallory.set(), { text: await issuer.set(), checks: { roots: [] } }];
    },
  },
  {
    name: 'a delegation by another root under the name of the pinned one',
    result: 'KEY_SET_DELEGATION_SIGNATURE',
    make: (issuer) => withDelegations(issuer, { by: makeSigningPair() }),
  },
  {
    name: 'a delegation by another root under its own name',
    result: 'KEY_SET_ROOT_UNKNOWN',
    make(issuer) {
      const by = makeSigningPair();
      const header = { kid: by.kid };
      // Nothing of a root that is not pinned is even read.
      return withDelegations(issuer, { by, header, claims: { root: 'x' } }, { by, header, claims: { root: by.jwk } });
    },
  },
  {
    name: 'a delegation that claims to be the pinned root’s and brings another one',
    result: 'KEY_SET_DELEGATION',
    make(issuer) {
      const by = makeSigningPair();
      return withDelegations(issuer, { by, claims: { root: by.jwk } });
    },
  },
  {
    name: 'a delegation that has expired',
    result: 'KEY_SET_DELEGATION_EXPIRED',
    make: (issuer) => withDelegations(issuer, { claims: { iat: issuer.now - 100, exp: issuer.now } }),
  },
  {
    name: 'a delegation for more than 90 days, from the future, or that ends before it begins',
    result: 'KEY_SET_DELEGATION',
    make(issuer) {
      const { now } = issuer;
      const lives: Members[] = [
        { exp: now + 90 * 86_400 + 1 },
        { iat: now + 301, exp: now + 1000 },
        { exp: now },
        { exp: now - 1 },
        { iat: -1 },
        { exp: '9' },
        { iat: undefined },
      ];
      return withDelegations(issuer, ...lives.map((claims) => ({ claims })));
    },
  },
  {
    name: 'a delegation that is malformed',
    result: 'KEY_SET_DELEGATION',
    async make(issuer) {
      const good = await issuer.delegation();
      const { privateKey, jwk } = makeSigningPair();
      const { d } = privateKey.export({ format: 'jwk' });
      const texts = ['', 'x', good.slice(0, good.lastIndexOf('.') + 1), `${good}${'A'.repeat(4_096)}`];
      const claims: Members[] = [
        { key: undefined },
        { key: null },
        { key: { ...jwk, d } },
        { key: { ...jwk, use: 'enc' } },
        { key: { ...jwk, key_ops: ['sign'] } },
        { key: { ...jwk, alg: 'ES384' } },
        { key: { ...jwk, y: jwk.x } },
        { key: makeSealingKey('P-256').jwk },
        { root: undefined },
        { root: { ...issuer.root.jwk, kid: 'x' } },
      ];
      return withDelegations(issuer, ...texts, await issuer.set(), ...claims.map((each) => ({ claims: each })));
    },
  },
];

const byContent: readonly SetCase[] = [
  {
    name: 'the set or the delegation of another issuer',
    result: 'KEY_SET_ISSUER',
    async make(issuer) {
      const sets = await withClaims({ iss: 'fraud-team' }, { iss: undefined })(issuer);
      return [...sets, ...(await withDelegations(issuer, { claims: { sub: 'fraud-team' } }))];
    },
  },
  {
    name: 'a set that is about to end',
    result: 'valid',
    make: (issuer) => withClaims({ iat: issuer.now - 10, exp: issuer.now + 1 })(issuer),
  },
  {
    name: 'a set at its end, to the second',
    result: 'KEY_SET_EXPIRED',
    async make(issuer) {
      const { now } = issuer;
      const text = await issuer.set({ claims: { iat: now - 10, exp: now + 1 } });
      return [{ text, checks: { nowMs: (now + 1) * 1000 } }];
    },
  },
  {
    name: 'a set by a clock that is 300 s ahead',
    result: 'valid',
    make: (issuer) => withClaims({ iat: issuer.now + 300, exp: issuer.now + 390 })(issuer),
  },
  {
    name: 'a set from the future, for more than 24 hours, or that outlives its delegation',
    result: 'KEY_SET_TIME',
    async make(issuer) {
      const { now } = issuer;
      const sets = await withClaims({ iat: now + 301, exp: now + 390 }, { exp: now + 86_401 }, { exp: now })(issuer);
      return [...sets, ...(await withDelegations(issuer, { claims: { exp: now + 86_399 } }))];
    },
  },
  {
    name: 'members that are missing or of another type',
    result: 'KEY_SET_CONTENT',
    make(issuer) {
      const { jwk } = issuer.key;
      return withClaims(
        { iat: undefined },
        { exp: `${issuer.now}` },
        { ver: undefined },
        { ver: issuer.now },
        { ver: [issuer.now] },
        { ver: [issuer.now, 0, 0] },
        { ver: [1.5, 0] },
        { ver: [1, 1.5] },
        { ver: [-1, 0] },
        { ver: [2 ** 53, 0] },
        { ver: ['1', 0] },
        { keys: undefined },
        { keys: {} },
        { keys: [null] },
        { keys: [[]] },
        { keys: Array.from({ length: MAX_SET_KEYS + 1 }, () => jwk) },
        { keys: [{ ...jwk, nbf: '1' }] },
        { keys: [{ ...jwk, nbf: 10, exp: 10 }] },
        { keys: [{ ...jwk, exp: 0 }] },
      )(issuer);
    },
  },
  {
    name: 'the same version again, also with its keys in another order; a newer one, however little',
    result: 'valid',
    async make(issuer) {
      const keys = [issuer.key.jwk, { ...makeSealingKey().jwk, nbf: issuer.now }];
      const seen = seenOf([5, 7], keys);
      return Promise.all(
        [{ ver: [5, 7], keys }, { ver: [5, 7], keys: keys.toReversed() }, { ver: [5, 8] }, { ver: [6, 0] }].map(
          async (claims) => ({ text: await issuer.set({ claims }), checks: { seen } }),
        ),
      );
    },
  },
  {
    name: 'a set that is older than one seen before',
    result: 'KEY_SET_ROLLED_BACK',
    make: (issuer) =>
      Promise.all(
        [
          [5, 6],
          [4, 7],
          [4, 99],
          [0, 0],
        ].map(async (ver) => ({
          text: await issuer.set({ claims: { ver } }),
          checks: { seen: seenOf([5, 7], [issuer.key.jwk]) },
        })),
      ),
  },
  {
    name: 'other keys, or other dates, under a version that was seen before',
    result: 'KEY_SET_CONFLICT',
    async make(issuer) {
      const { jwk } = issuer.key;
      const other = makeSealingKey().jwk;
      const seen = seenOf([5, 7], [{ ...jwk, exp: issuer.now + 9 }]);
      return Promise.all(
        [[other], [jwk], [{ ...jwk, exp: issuer.now + 10 }], [{ ...jwk, exp: issuer.now + 9 }, other], []].map(
          async (keys) => ({ text: await issuer.set({ claims: { ver: [5, 7], keys } }), checks: { seen } }),
        ),
      );
    },
  },
  {
    name: 'an empty set, and unknown members of a key',
    result: 'valid',
    make: (issuer) => withClaims({ keys: [] }, { keys: [{ ...issuer.key.jwk, note: 'later' }] })(issuer),
  },
  {
    name: 'a key with a private member',
    result: 'KEY_SET_PRIVATE_MEMBER',
    make(issuer) {
      const { d } = issuer.key.privateKey.export({ format: 'jwk' });
      const extras = [{ d }, { k: 'AAAA' }, { p: 'AAAA' }, { d: null }];
      return withClaims(...extras.map((extra) => ({ keys: [{ ...issuer.key.jwk, ...extra }] })))(issuer);
    },
  },
  {
    name: 'a kid that occurs twice',
    result: 'KEY_SET_DUPLICATE_KID',
    make(issuer) {
      const { jwk } = issuer.key;
      return withClaims({ keys: [jwk, jwk] }, { keys: [jwk, { ...makeSealingKey().jwk, kid: jwk.kid }] })(issuer);
    },
  },
  {
    name: 'a kid that is not the thumbprint',
    result: 'KEY_SET_KID',
    make(issuer) {
      const kids = [makeSealingKey().jwk.kid, 'my-key', undefined];
      return withClaims(...kids.map((kid) => ({ keys: [{ ...issuer.key.jwk, kid }] })))(issuer);
    },
  },
  {
    name: 'keys on several curves',
    result: 'KEY_SET_MIXED_CURVES',
    make: withClaims({ keys: [makeSealingKey('P-521').jwk, makeSealingKey('P-256').jwk] }),
  },
  {
    name: 'a key that is none: off its curve, on another one, for signatures, of another kind',
    result: 'KEY_SET_KEY',
    make(issuer) {
      const { jwk } = issuer.key;
      const small = makeSealingKey('P-256').jwk;
      const keys = [
        { ...jwk, y: jwk.x },
        { ...small, y: small.x },
        // A stray bit: another text for the same 32 bytes.
        { ...small, x: small.x.slice(0, -1) + String.fromCharCode(small.x.charCodeAt(42) + 1) },
        { ...jwk, crv: 'P-384' },
        { ...jwk, crv: 'secp256k1' },
        { ...jwk, x: `${jwk.x}=` },
        // Leading zeros.
        { ...jwk, x: `AAAA${jwk.x}` },
        { ...jwk, use: 'sig' },
        { ...jwk, use: undefined },
        { ...jwk, alg: 'ES512' },
        { kty: 'RSA', n: 'AQAB', e: 'AQAB', kid: 'x', use: 'enc' },
      ];
      return withClaims(...keys.map((key) => ({ keys: [key] })))(issuer);
    },
  },
];

/** By what is wrong with them. */
export const setCases = { 'its form': byForm, 'who signed': bySigner, 'what it says': byContent };
