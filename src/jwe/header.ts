/** The protected header: parsing with every rule that needs no key (check 3), and a harmless peek for logs. */
import { SealwireError, type StepCode } from '../errors.js';
import {
  type ContentEncryption,
  type Curve,
  curves,
  isContentEncryption,
  isCurve,
  isKeyAlgorithm,
  type KeyAlgorithm,
} from '../profile/algorithms.js';
import { type Members, parseHeaderPart as parsePart } from '../profile/header-members.js';
import type { ProfileHeader } from '../profile/policy.js';
import { decodeCanonical } from './base64url.js';

/** A sender's ephemeral public key, decoded. */
export interface EphemeralPoint {
  readonly crv: Curve;
  readonly x: Buffer;
  readonly y: Buffer;
}

/** A header that passed every rule that needs no key. */
export interface TokenHeader extends ProfileHeader {
  readonly alg: KeyAlgorithm;
  readonly enc: ContentEncryption;
  /** RFC 7638 SHA-256 thumbprint, 43 characters. */
  readonly kid: string;
  readonly epk: EphemeralPoint;
  readonly apu?: Buffer | undefined;
  readonly apv?: Buffer | undefined;
}

/** What {@link peekHeader} found; nothing of it has been checked. */
export interface HeaderPeek {
  readonly kid?: string;
  readonly alg?: string;
  readonly enc?: string;
  /** The decoded header text. */
  readonly json?: string;
}

/** 43 base64url characters, the last without stray bits: exactly one text per 32 bytes. */
const THUMBPRINT = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;
const MAX_PARTY_INFO_BYTES = 128;

/**
 * Parses a protected header.
 *
 * @param part the token's first part, base64url
 * @param headerBytes cap on the decoded size
 * @returns the header's values, decoded
 * @throws SealwireError `HEADER_TOO_LARGE`, `TOKEN_ENCODING`, `HEADER_UTF8`, `HEADER_JSON`,
 *   `HEADER_DUPLICATE_NAME`, `HEADER_FORBIDDEN_NAME`, `ALGORITHM_NOT_ALLOWED`, `CURVE_NOT_ALLOWED`,
 *   `EPK_INVALID`, `HEADER_VALUE`
 */
export function parseHeader(part: string, headerBytes = 2_048): TokenHeader {
  const members = parseMembers(part, headerBytes);
  const { alg, enc, kid, iat } = members;
  if (!isKeyAlgorithm(alg)) throw refuse('ALGORITHM_NOT_ALLOWED', 'alg is not allowed');
  if (!isContentEncryption(enc)) throw refuse('ALGORITHM_NOT_ALLOWED', 'enc is not allowed');
  if (typeof kid !== 'string' || !THUMBPRINT.test(kid)) throw refuse('HEADER_VALUE', 'kid is not a thumbprint');
  if (iat !== undefined && !(Number.isSafeInteger(iat) && (iat as number) >= 0)) {
    throw refuse('HEADER_VALUE', 'iat is not a time in whole seconds');
  }
  return {
    alg,
    enc,
    kid,
    epk: parseEphemeral(members['epk']),
    ...(Object.keys(members['epk'] as object).length !== 4 && { hasOtherEpkMembers: true }),
    ...optionalText(members, 'typ'),
    ...optionalText(members, 'cty'),
    ...optionalText(members, 'fld'),
    ...optionalText(members, 'bnd'),
    ...optionalText(members, 'mth'),
    ...optionalText(members, 'req'),
    ...(iat !== undefined && { iat: iat as number }),
    ...partyInfo(members, 'apu'),
    ...partyInfo(members, 'apv'),
  };
}

/** As {@link parsePart}. */
export function parseMembers(part: string, headerBytes: number): Members {
  return parsePart(part, headerBytes, decodeCanonical);
}

/**
 * `kty`, `crv`, `x`, `y`, each coordinate with the curve's full length (RFC 7518 §6.2.1). Further members are for
 * policy to judge (RFC 7518 §4.6.1.1 has them ignored), but a private key is no key to send.
 */
function parseEphemeral(epk: unknown): EphemeralPoint {
  if (typeof epk !== 'object' || epk === null || Array.isArray(epk))
    throw refuse('EPK_INVALID', 'epk is not an object');
  const { kty, crv, x, y } = epk as Members;
  if (kty !== 'EC' || Object.hasOwn(epk, 'd')) throw refuse('EPK_INVALID', 'epk is not a public EC key');
  if (!isCurve(crv)) throw refuse('CURVE_NOT_ALLOWED', 'the curve is not allowed');
  return { crv, x: coordinate(x, crv), y: coordinate(y, crv) };
}

function coordinate(value: unknown, crv: Curve): Buffer {
  const bytes =
    typeof value === 'string' && value.length === curves[crv].coordinateChars ? decodeCanonical(value) : undefined;
  if (bytes === undefined) throw refuse('EPK_INVALID', 'an epk coordinate is malformed');
  return bytes;
}

type TextName = 'typ' | 'cty' | 'fld' | 'bnd' | 'mth' | 'req';

function optionalText<N extends TextName>(members: Members, name: N): { [K in N]?: string } {
  const value = members[name];
  if (value === undefined) return {};
  if (typeof value !== 'string') throw refuse('HEADER_VALUE', `${name} is not a string`);
  return { [name]: value } as { [K in N]?: string };
}

function partyInfo<N extends 'apu' | 'apv'>(members: Members, name: N): { [K in N]?: Buffer } {
  const value = members[name];
  if (value === undefined) return {};
  const bytes = typeof value === 'string' ? decodeCanonical(value) : undefined;
  if (bytes === undefined || bytes.length > MAX_PARTY_INFO_BYTES) throw refuse('HEADER_VALUE', `${name} is malformed`);
  return { [name]: bytes } as { [K in N]?: Buffer };
}

function refuse(code: StepCode, message: string): SealwireError {
  return new SealwireError(code, message);
}

/**
 * Reads what it can of a token's header for a log record. Nothing is checked and nothing thrown; at most
 * 2 KiB are looked at.
 *
 * @param token any text
 */
export function peekHeader(token: string): HeaderPeek {
  const part = token.slice(0, 2_732).split('.', 1)[0] ?? '';
  const json = Buffer.from(part, 'base64url').subarray(0, 2_048).toString('utf8');
  try {
    const { kid, alg, enc } = JSON.parse(json) as Members;
    const text = (name: string, value: unknown) => (typeof value === 'string' ? { [name]: value.slice(0, 128) } : {});
    return { json, ...text('kid', kid), ...text('alg', alg), ...text('enc', enc) };
  } catch {
    return { json };
  }
}
