/** PEM and JWK texts become checked EC JWKs. */
import { createECDH, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { type PemBlock, readPem } from '../files/file-text.js';
import { opensslCurves } from '../jwe/openssl-curves.js';
import { sha256 } from '../jwe/sha256.js';
import { type Curve, isCurve } from '../profile/algorithms.js';
import type { Members } from '../profile/header-members.js';
import {
  checkCoordinate,
  checkKid,
  checkSealingJwk,
  invalidKey,
  type JwkPoint,
  thumbprintInput,
} from '../profile/jwk-rules.js';

/** A public EC key with what senders may do with it (RFC 7517). */
export interface PublicJwk {
  readonly kty: 'EC';
  readonly crv: Curve;
  readonly x: string;
  readonly y: string;
  /** RFC 7638 SHA-256 thumbprint. */
  readonly kid: string;
  readonly use?: 'enc';
  readonly alg?: 'ECDH-ES+A256KW';
}

/** An imported key. `privateKey` is undefined for public keys. */
export interface ImportedKey {
  readonly jwk: PublicJwk;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject | undefined;
}

/**
 * Imports a key: PEM (PKCS#8, SEC1, SPKI) or JWK, as text or object.
 *
 * @param input PEM text, JWK text or a parsed JWK
 * @returns the key with its thumbprint as kid; a `kid` in the input must be that thumbprint
 * @throws SealwireError `KEY_INVALID`; the message never quotes the input
 */
export async function importKey(input: string | object): Promise<ImportedKey> {
  const members = typeof input === 'string' ? parseText(input) : (input as Members);
  return checkJwk(members);
}

function parseText(text: string): Members {
  if (text.includes('-----BEGIN')) return parsePem(text);
  try {
    const value: unknown = JSON.parse(text.trim());
    if (typeof value === 'object' && value !== null) return value as Members;
  } catch {
    // The parser's message quotes the text.
  }
  throw invalidKey('neither PEM nor a JWK');
}

const PRIVATE_FORMS: Readonly<Record<string, 'pkcs8' | 'sec1'>> = { 'PRIVATE KEY': 'pkcs8', 'EC PRIVATE KEY': 'sec1' };

/** The one key of a PEM text. Certificates and curve parameters beside it are passed over. */
function parsePem(text: string): Members {
  const blocks = readPem(text);
  const keys = blocks.filter(({ label }) => label.endsWith('KEY'));
  const [key] = keys;
  if (key === undefined) {
    const isOther = blocks.some(({ label }) => label.endsWith('CERTIFICATE'));
    throw invalidKey(
      isOther ? 'the PEM has a certificate and no key' : 'the PEM has no key, or its END line is missing',
    );
  }
  if (keys.length > 1) throw invalidKey('the PEM has more than one key');
  if (key.label.startsWith('ENCRYPTED') || key.body.includes('ENCRYPTED'))
    throw invalidKey('the key in the PEM is encrypted');
  const { kty, crv, x, y, d } = readPemKey(key) ?? {};
  if (kty === undefined) throw invalidKey('the PEM could not be read; expected an EC key as PKCS#8, SEC1 or SPKI');
  if (kty !== 'EC' || !isCurve(crv)) throw invalidKey('not an EC key on P-521, P-384 or P-256');
  return { kty, crv, x, y, ...(d !== undefined && { d }) };
}

/**
 * By the platform: node-jose takes the point of one key in 256 on P-256 and P-384 for a nested ASN.1 value, and what
 * it reads from a text with a certificate depends on that.
 */
function readPemKey({ label, body }: PemBlock): Members | undefined {
  const key = Buffer.from(body, 'base64');
  const type = PRIVATE_FORMS[label];
  try {
    if (type !== undefined) return createPrivateKey({ key, format: 'der', type }).export({ format: 'jwk' }) as Members;
    if (label !== 'PUBLIC KEY') return undefined;
    return createPublicKey({ key, format: 'der', type: 'spki' }).export({ format: 'jwk' }) as Members;
  } catch {
    return undefined;
  }
}

function checkJwk(members: Members): ImportedKey {
  const point = checkSealingJwk(members);
  const kid = jwkThumbprint(point);
  checkKid(members, kid);
  const jwk: PublicJwk = { ...point, kid, use: 'enc', alg: 'ECDH-ES+A256KW' };
  const publicKey = toPublicKey(point);
  const { d } = members;
  if (d === undefined) return { jwk, publicKey, privateKey: undefined };
  return { jwk, publicKey, privateKey: toPrivateKey({ ...point, d: checkCoordinate(d, point.crv) }) };
}

/** @throws SealwireError `KEY_INVALID` for a point that is not on the curve */
export function toPublicKey(point: JwkPoint): KeyObject {
  try {
    return createPublicKey({ key: { ...point }, format: 'jwk' });
  } catch {
    throw invalidKey('the point is not on the curve');
  }
}

/**
 * OpenSSL does not check `d`: with the wrong public half every agreement would fail.
 * @throws SealwireError `KEY_INVALID`
 */
export function toPrivateKey(key: JwkPoint & { readonly d: string }): KeyObject {
  try {
    const ecdh = createECDH(opensslCurves[key.crv].name);
    ecdh.setPrivateKey(Buffer.from(key.d, 'base64url'));
    const point = `04${Buffer.from(key.x, 'base64url').toString('hex')}${Buffer.from(key.y, 'base64url').toString('hex')}`;
    if (ecdh.getPublicKey('hex') !== point) throw new Error('mismatch');
    return createPrivateKey({ key: { ...key }, format: 'jwk' });
  } catch {
    throw invalidKey('the private part does not belong to the public part');
  }
}

/** RFC 7638 SHA-256 thumbprint, base64url. */
export function jwkThumbprint(point: Omit<JwkPoint, 'kty'>): string {
  return sha256(thumbprintInput(point));
}
