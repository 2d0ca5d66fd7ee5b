/** PEM and JWK texts become checked EC JWKs. */
import { createECDH, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { SealwireError } from '../errors.js';
import { type PemBlock, readPem } from '../files/file-text.js';
import { decodeCanonical } from '../jwe/base64url.js';
import { sha256 } from '../jwe/sha256.js';
import { type Curve, curves, isCurve } from '../profile/algorithms.js';

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

type Members = Readonly<Record<string, unknown>>;

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
  const { kty, crv, d, kid, use, alg } = members;
  if (kty !== 'EC' || !isCurve(crv)) throw invalidKey('not an EC key on P-521, P-384 or P-256');
  if (use !== undefined && use !== 'enc') throw invalidKey('the key is not for encryption');
  if (alg !== undefined && alg !== 'ECDH-ES+A256KW' && alg !== 'ECDH-ES')
    throw invalidKey('the key is for another alg');
  const x = checkCoordinate(members['x'], crv);
  const y = checkCoordinate(members['y'], crv);
  const thumbprint = jwkThumbprint({ crv, x, y });
  if (kid !== undefined && kid !== thumbprint) throw invalidKey("the kid is not the key's thumbprint");
  const jwk: PublicJwk = { kty, crv, x, y, kid: thumbprint, use: 'enc', alg: 'ECDH-ES+A256KW' };
  const publicKey = toPublicKey({ kty, crv, x, y });
  if (d === undefined) return { jwk, publicKey, privateKey: undefined };
  return { jwk, publicKey, privateKey: toPrivateKey({ kty, crv, x, y, d: checkCoordinate(d, crv) }) };
}

/** @returns the value. @throws SealwireError `KEY_INVALID` unless it is base64url of the curve's length */
export function checkCoordinate(value: unknown, crv: Curve): string {
  const fits =
    typeof value === 'string' &&
    value.length === curves[crv].coordinateChars &&
    decodeCanonical(value)?.length === curves[crv].coordinateBytes;
  if (!fits) throw invalidKey('a coordinate is not base64url of the curve’s length');
  return value as string;
}

/** @throws SealwireError `KEY_INVALID` for a point that is not on the curve */
export function toPublicKey(key: { kty: 'EC'; crv: Curve; x: string; y: string }): KeyObject {
  try {
    return createPublicKey({ key, format: 'jwk' });
  } catch {
    throw invalidKey('the point is not on the curve');
  }
}

/**
 * OpenSSL does not check `d`: with the wrong public half every agreement would fail.
 * @throws SealwireError `KEY_INVALID`
 */
export function toPrivateKey(key: { kty: 'EC'; crv: Curve; x: string; y: string; d: string }): KeyObject {
  try {
    const ecdh = createECDH(curves[key.crv].openssl);
    ecdh.setPrivateKey(Buffer.from(key.d, 'base64url'));
    const point = `04${Buffer.from(key.x, 'base64url').toString('hex')}${Buffer.from(key.y, 'base64url').toString('hex')}`;
    if (ecdh.getPublicKey('hex') !== point) throw new Error('mismatch');
    return createPrivateKey({ key, format: 'jwk' });
  } catch {
    throw invalidKey('the private part does not belong to the public part');
  }
}

/** RFC 7638 SHA-256 thumbprint, base64url. */
export function jwkThumbprint({ crv, x, y }: { readonly crv: Curve; readonly x: string; readonly y: string }): string {
  return sha256(JSON.stringify({ crv, kty: 'EC', x, y }));
}

export function invalidKey(message: string): SealwireError {
  return new SealwireError('KEY_INVALID', message);
}
