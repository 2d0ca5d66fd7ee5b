/** What EC JWKs (RFC 7518 §6.2) must be, as far as that takes no import of the key. */
import { SealwireError } from '../errors.js';
import { type Curve, curves, isCurve } from './algorithms.js';
import { isCanonicalBase64url } from './base64url.js';
import type { Members } from './header-members.js';

/** A point as a JWK has it. */
export interface JwkPoint<C extends Curve = Curve> {
  readonly kty: 'EC';
  readonly crv: C;
  readonly x: string;
  readonly y: string;
}

/** ES512 is on this curve (RFC 7518 §3.4). */
export const SIGNING_CURVE = 'P-521';
/** The one signature algorithm (RFC 7518 §3.4). */
export const SIGNATURE_ALGORITHM = 'ES512';

/** Private members of EC, RSA and symmetric keys (RFC 7518 §6). */
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];

/** @returns the name of the first member that belongs to a private or symmetric key, if there is one */
export function privateMember(members: object): string | undefined {
  return PRIVATE_MEMBERS.find((name) => Object.hasOwn(members, name));
}

/** @throws SealwireError `KEY_INVALID` unless the members are of a key to seal to */
export function checkSealingJwk({ kty, crv, use, alg, x, y }: Members): JwkPoint {
  if (kty !== 'EC' || !isCurve(crv)) throw invalidKey('not an EC key on P-521, P-384 or P-256');
  if (use !== undefined && use !== 'enc') throw invalidKey('the key is not for encryption');
  if (alg !== undefined && alg !== 'ECDH-ES+A256KW' && alg !== 'ECDH-ES')
    throw invalidKey('the key is for another alg');
  return { kty, crv, x: checkCoordinate(x, crv), y: checkCoordinate(y, crv) };
}

/** @throws SealwireError `KEY_INVALID` unless the members are of a key for ES512 signatures */
export function checkSigningJwk(members: Members): JwkPoint<typeof SIGNING_CURVE> {
  const { kty, crv, use, alg, x, y, key_ops: operations } = members;
  if (kty !== 'EC' || crv !== SIGNING_CURVE) throw invalidKey('a signing key must be an EC key on P-521');
  const wrongUse = use !== undefined && use !== 'sig';
  const wrongOperations = operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'));
  if (wrongUse || wrongOperations) throw invalidKey('the key is not for signatures');
  if (alg !== undefined && alg !== SIGNATURE_ALGORITHM) throw invalidKey('the key is for another alg');
  return { kty, crv, x: checkCoordinate(x, crv), y: checkCoordinate(y, crv) };
}

/** @throws SealwireError `KEY_INVALID` for a private key: it has no business with a sender or a verifier */
export function checkPublic(members: object): void {
  if (privateMember(members) !== undefined) throw invalidKey('a private key in place of a public one');
}

/** @throws SealwireError `KEY_INVALID` for a `kid` that is there and is not the thumbprint */
export function checkKid({ kid }: Members, thumbprint: string): void {
  if (kid !== undefined && kid !== thumbprint) throw invalidKey("the kid is not the key's thumbprint");
}

/** @returns the value. @throws SealwireError `KEY_INVALID` unless it is base64url of the curve's length */
export function checkCoordinate(value: unknown, crv: Curve): string {
  const fits = typeof value === 'string' && value.length === curves[crv].coordinateChars && isCanonicalBase64url(value);
  if (!fits) throw invalidKey('a coordinate is not base64url of the curve’s length');
  return value;
}

/** What the RFC 7638 thumbprint is the SHA-256 of. */
export function thumbprintInput({ crv, x, y }: Omit<JwkPoint, 'kty'>): string {
  return JSON.stringify({ crv, kty: 'EC', x, y });
}

export function invalidKey(message: string): SealwireError {
  return new SealwireError('KEY_INVALID', message);
}
