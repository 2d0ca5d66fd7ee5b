/**
 * An issuer of signed key sets that can be told to do anything wrong; signs with jose, not with the code under test.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { CompactSign } from 'jose';
import { jwkThumbprint, type PublicJwk } from '../../src/keys/import.js';
import type { Curve } from '../../src/profile/algorithms.js';
import { DELEGATION_TYPE } from '../../src/profile/key-sets/delegation.js';
import { KEY_SET_TYPE } from '../../src/profile/key-sets/key-set-rules.js';

export type Members = Record<string, unknown>;

/** A key pair for ES512 with the thumbprint of its public half. */
export interface SigningPair {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly jwk: { readonly kty: 'EC'; readonly crv: 'P-521'; readonly x: string; readonly y: string };
}

const OPENSSL = { 'P-521': 'secp521r1', 'P-384': 'secp384r1', 'P-256': 'prime256v1' } as const;

export function makeSigningPair(): SigningPair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'secp521r1' });
  const jwk = publicKey.export({ format: 'jwk' }) as unknown as SigningPair['jwk'];
  return { kid: jwkThumbprint(jwk), privateKey, jwk };
}

/** The pair in a key file of a service. */
export async function readSigningPair(path: string): Promise<SigningPair> {
  const { d, ...members } = JSON.parse(await readFile(path, 'utf8')) as SigningPair['jwk'] & { d: string };
  const { x, y } = members;
  const jwk = { kty: 'EC', crv: 'P-521', x, y } as const;
  return { kid: jwkThumbprint(jwk), privateKey: createPrivateKey({ key: { ...jwk, d }, format: 'jwk' }), jwk };
}

/** A sealing key as it stands in a set, with its private half for who wants to open. */
export function makeSealingKey(crv: Curve = 'P-521'): { readonly jwk: PublicJwk; readonly privateKey: KeyObject } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: OPENSSL[crv] });
  const { x, y } = publicKey.export({ format: 'jwk' }) as { x: string; y: string };
  const kid = jwkThumbprint({ crv, x, y });
  return { jwk: { kty: 'EC', crv, x, y, kid, use: 'enc', alg: 'ECDH-ES+A256KW' }, privateKey };
}

/** Signs as jose does. @param header replaces members; undefined ones are left out */
export function signAny(pair: SigningPair, header: Members, payload: string | object): Promise<string> {
  const text = typeof payload === 'string' ? payload : JSON.stringify(payload);
  const all = Object.fromEntries(
    Object.entries({ alg: 'ES512', kid: pair.kid, ...header }).filter(([, value]) => value !== undefined),
  );
  return new CompactSign(Buffer.from(text)).setProtectedHeader(all as never).sign(pair.privateKey);
}

/** Text of a JWS whose header and payload are given as they are. */
export function assemble(header: string, payload: string, signature: string): string {
  return `${Buffer.from(header).toString('base64url')}.${Buffer.from(payload).toString('base64url')}.${signature}`;
}

/** What can be changed in a set; the rest is right. */
export interface SetChanges {
  readonly claims?: Members;
  readonly header?: Members;
  /** Signs the set. Default: the delegated key. */
  readonly signer?: SigningPair;
  readonly delegation?: DelegationChanges | string;
}

/** What can be changed in a delegation. */
export interface DelegationChanges {
  readonly claims?: Members;
  readonly header?: Members;
  /** Signs the delegation, whatever root it names. */
  readonly by?: SigningPair;
}

/** Root, set-signing key and keys of one recipient. */
export class TestIssuer {
  readonly root: SigningPair;
  readonly signer: SigningPair;
  readonly name: string;
  readonly key = makeSealingKey();
  /** Seconds since 1970. */
  readonly now: number;

  /** @param pairs default: new ones */
  constructor(name = 'payments', nowMs = Date.now(), pairs: { root?: SigningPair; signer?: SigningPair } = {}) {
    this.root = pairs.root ?? makeSigningPair();
    this.signer = pairs.signer ?? makeSigningPair();
    this.name = name;
    this.now = Math.floor(nowMs / 1000);
  }

  delegation({ claims = {}, header = {}, by = this.root }: DelegationChanges = {}): Promise<string> {
    const { root, signer, now, name } = this;
    const life = { iat: now, exp: now + 90 * 86_400 };
    const payload = { sub: name, ...life, root: root.jwk, key: signer.jwk, ...claims };
    return signAny(by, { typ: DELEGATION_TYPE, kid: root.kid, ...header }, payload);
  }

  claims(changes: Members = {}): Members {
    const { now, name } = this;
    return { iss: name, iat: now, exp: now + 86_400, ver: [now, 0], keys: [this.key.jwk], ...changes };
  }

  async set({ claims = {}, header = {}, signer = this.signer, delegation = {} }: SetChanges = {}): Promise<string> {
    const dlg = typeof delegation === 'string' ? delegation : await this.delegation(delegation);
    return signAny(signer, { typ: KEY_SET_TYPE, kid: this.signer.kid, dlg, ...header }, this.claims(claims));
  }
}
