/** What a hostile key service may answer, with the code of each refusal: for Node's key directory and the browser's. */
import { createHmac } from 'node:crypto';
import type { KeySetCode } from '../../src/errors.js';
import { makeSealingKey, signAny, TestIssuer } from './signed-sets.js';

/** Makes a text for the client out of the genuine one. */
export type Forge = (genuine: string) => string | Promise<string>;

/** Who takes part; read when an attack is made. */
export interface Parties {
  /** Has the service's root and set-signing key. */
  readonly insider: TestIssuer;
  /** Has keys of its own, under the service's name. */
  readonly mallory: TestIssuer;
  /** Of the service's key. */
  readonly serviceKid: string;
}

const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
/** Replaces the payload, and keeps or replaces the rest. */
export function replacePayload(
  genuine: string,
  change: object,
  header?: object,
  sign?: (signed: string) => string,
): string {
  const [head, body, signature] = genuine.split('.') as [string, string, string];
  const claims = { ...(JSON.parse(Buffer.from(body, 'base64url').toString()) as object), ...change };
  const old = JSON.parse(Buffer.from(head, 'base64url').toString()) as object;
  const signed = `${header === undefined ? head : part({ ...old, ...header })}.${part(claims)}`;
  return `${signed}.${sign === undefined ? signature : sign(signed)}`;
}

/** Attacks by name. */
export function keySetAttacks(by: Parties): Readonly<Record<string, readonly [code: KeySetCode, forge: Forge]>> {
  const malloryKeys = () => ({ keys: [by.mallory.key.jwk] });
  return {
    'substituted key under the genuine signature': [
      'KEY_SET_SIGNATURE',
      (genuine) => replacePayload(genuine, malloryKeys()),
    ],
    'stripped signature': ['KEY_SET_UNSIGNED', (genuine) => replacePayload(genuine, malloryKeys(), {}, () => '')],
    'missing third part': ['KEY_SET_FORM', (genuine) => genuine.slice(0, genuine.lastIndexOf('.'))],
    'alg none': ['KEY_SET_ALGORITHM', (genuine) => replacePayload(genuine, malloryKeys(), { alg: 'none' }, () => '')],
    "HS512 keyed with the root's public key": [
      'KEY_SET_ALGORITHM',
      (genuine) =>
        replacePayload(genuine, malloryKeys(), { alg: 'HS512' }, (signed) =>
          createHmac('sha512', JSON.stringify(by.insider.root.jwk)).update(signed).digest('base64url'),
        ),
    ],
    'another root with everything under it': ['KEY_SET_ROOT_UNKNOWN', () => by.mallory.set({ claims: malloryKeys() })],
    'delegation by another root that names the pinned one': [
      'KEY_SET_DELEGATION_SIGNATURE',
      () =>
        by.insider.set({
          signer: by.mallory.signer,
          header: { kid: by.mallory.signer.kid },
          delegation: { by: by.mallory.root, claims: { key: by.mallory.signer.jwk } },
          claims: malloryKeys(),
        }),
    ],
    'set signed by a key that nobody delegated to': [
      'KEY_SET_SIGNER',
      () =>
        by.insider.set({ signer: by.mallory.signer, header: { kid: by.mallory.signer.kid }, claims: malloryKeys() }),
    ],
    'set signed by such a key in the name of the delegated one': [
      'KEY_SET_SIGNATURE',
      () => by.insider.set({ signer: by.mallory.signer, claims: malloryKeys() }),
    ],
    'set signed by the root in place of its delegate': [
      'KEY_SET_SIGNER',
      () => by.insider.set({ signer: by.insider.root, header: { kid: by.insider.root.kid }, claims: malloryKeys() }),
    ],
    'delegation in place of a set': ['KEY_SET_TYPE', () => by.insider.delegation()],
    'expired delegation': [
      'KEY_SET_DELEGATION_EXPIRED',
      () => {
        const claims = { iat: by.insider.now - 91 * 86_400, exp: by.insider.now - 86_400 };
        return by.insider.set({ delegation: { claims }, claims: malloryKeys() });
      },
    ],
    'set of another issuer under the same root': [
      'KEY_SET_ISSUER',
      () => new TestIssuer('fraud-team', Date.now(), by.insider).set({ claims: malloryKeys() }),
    ],
    'expired set': [
      'KEY_SET_EXPIRED',
      () => by.insider.set({ claims: { ...malloryKeys(), iat: by.insider.now - 600, exp: by.insider.now - 300 } }),
    ],
    'set for more than 24 hours': [
      'KEY_SET_TIME',
      () => by.insider.set({ claims: { ...malloryKeys(), exp: by.insider.now + 100_000 } }),
    ],
    'duplicate kid': [
      'KEY_SET_DUPLICATE_KID',
      () =>
        by.insider.set({
          claims: { keys: [by.insider.key.jwk, { ...by.mallory.key.jwk, kid: by.insider.key.jwk.kid }] },
        }),
    ],
    'private member': [
      'KEY_SET_PRIVATE_MEMBER',
      () => {
        const { d } = by.mallory.key.privateKey.export({ format: 'jwk' });
        return by.insider.set({ claims: { keys: [{ ...by.mallory.key.jwk, d }] } });
      },
    ],
    'kid that is not the thumbprint': [
      'KEY_SET_KID',
      () => by.insider.set({ claims: { keys: [{ ...by.mallory.key.jwk, kid: by.serviceKid }] } }),
    ],
    'mixed curves': [
      'KEY_SET_MIXED_CURVES',
      () => by.insider.set({ claims: { keys: [by.mallory.key.jwk, makeSealingKey('P-256').jwk] } }),
    ],
    'coordinates of one curve under the name of another': [
      'KEY_SET_KEY',
      () => by.insider.set({ claims: { keys: [{ ...makeSealingKey('P-256').jwk, crv: 'P-521' }] } }),
    ],
    'duplicate names': [
      'KEY_SET_DUPLICATE_NAME',
      async (genuine) => {
        const { dlg } = JSON.parse(Buffer.from(genuine.split('.')[0] ?? '', 'base64url').toString()) as { dlg: string };
        const claims = JSON.stringify(by.insider.claims(malloryKeys()));
        return signAny(by.insider.signer, { typ: 'jwk-set+jwt', dlg }, `{"keys":[],${claims.slice(1)}`);
      },
    ],
    'key embedded in the header': [
      'KEY_SET_HEADER',
      () =>
        by.insider.set({ signer: by.mallory.signer, header: { jwk: by.mallory.signer.jwk }, claims: malloryKeys() }),
    ],
    'set without a key': ['KEY_SET_NO_ACTIVE_KEY', () => by.insider.set({ claims: { keys: [] } })],
    'empty answer': ['KEY_SET_FORM', () => ''],
    'answer that is too long': ['KEY_SET_TOO_LARGE', () => 'A'.repeat(70_000)],
    'answer that is much too long': ['KEY_SET_UNAVAILABLE', () => 'A'.repeat(1_100_000)],
  };
}
