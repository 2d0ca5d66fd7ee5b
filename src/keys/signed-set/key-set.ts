/** Signed key sets: a recipient's public keys under the signature of a key that a pinned root delegated to. */
import { SealwireError } from '../../errors.js';
import type { SendingKey } from '../active-key.js';
import type { PublicJwk } from '../import.js';
import { recipientKey } from '../public-keys.js';
import { MAX_KEY_SET_SECONDS } from '../rotation.js';
import { CLOCK_SKEW_SECONDS, type Delegation, verifyDelegation } from './delegation.js';
import { isSignedBy, type JwsForm, type Members, parseJws, readSeconds, refuse } from './jws.js';
import { privateMember, type SigningKey } from './signing-key.js';

/** `typ` of a key set. */
export const KEY_SET_TYPE = 'jwk-set+jwt';
/** Most keys in a set. */
export const MAX_SET_KEYS = 32;
/** Longest text of a set. */
export const MAX_SET_CHARS = 65_536;

const FORM: JwsForm = { typ: KEY_SET_TYPE, headerNames: ['dlg'], maxChars: MAX_SET_CHARS };

/** A public key as it stands in a set. */
export interface PublishedJwk extends PublicJwk {
  /** Senders use it from then on, in seconds since 1970. Default: at once. */
  readonly nbf?: number;
  /** Senders stop then, in seconds since 1970. Default: when it is no longer in the set. */
  readonly exp?: number;
}

/** What a set says. */
export interface KeySetClaims {
  /** The recipient whose keys they are. */
  readonly iss: string;
  /** Seconds since 1970. */
  readonly iat: number;
  /** Seconds since 1970; at most 24 h after `iat`. */
  readonly exp: number;
  /** Grows with every set of this recipient. */
  readonly ver: number;
  readonly keys: readonly PublishedJwk[];
}

/** @param delegation for `signer`, by the root. @returns a compact JWS */
export function signKeySet(signer: SigningKey, delegation: string, claims: KeySetClaims): Promise<string> {
  return signer.sign({ typ: KEY_SET_TYPE, dlg: delegation }, claims);
}

/** What a set must fit. */
export interface KeySetChecks {
  /** RFC 7638 thumbprints of the pinned roots: one, or two while the root changes. */
  readonly roots: readonly string[];
  /** The recipient whose set was asked for. */
  readonly issuer: string;
  /** ms since 1970. */
  readonly nowMs: number;
  /** The highest `ver` seen of this recipient. Default: none was seen. */
  readonly highestVersion?: number;
}

/** A set that passed every check. */
export interface VerifiedKeySet {
  readonly issuer: string;
  readonly version: number;
  /** Seconds since 1970. */
  readonly issuedAt: number;
  /** Seconds since 1970; from then on it must not be used. */
  readonly expiresAt: number;
  readonly keys: readonly SendingKey[];
  readonly delegation: Delegation;
}

/**
 * Verifies a set: its form, the delegation by a pinned root, the signature by the delegated key, and only then what it says.
 *
 * @param text compact JWS, from anybody
 * @throws SealwireError with one of `KEY_SET_CODES`
 */
export async function verifyKeySet(text: string, checks: KeySetChecks): Promise<VerifiedKeySet> {
  const { issuer } = checks;
  const { payload, delegation, issuedAt, expiresAt, version } = await verifyDelegated(text, FORM, checks);
  if (version < (checks.highestVersion ?? 0)) {
    throw refuse('KEY_SET_ROLLED_BACK', 'the set is older than one that was seen before');
  }
  return { issuer, version, issuedAt, expiresAt, keys: await importKeys(payload['keys']), delegation };
}

/** What the delegated key signed, before its content is looked at. */
export interface DelegatedJws {
  readonly payload: Members;
  readonly delegation: Delegation;
  /** Seconds since 1970. */
  readonly issuedAt: number;
  /** Seconds since 1970. */
  readonly expiresAt: number;
  readonly version: number;
}

/**
 * Verifies what the delegated key signs: key sets and sealing statements.
 *
 * @throws SealwireError with one of `KEY_SET_CODES`
 */
export async function verifyDelegated(
  text: string,
  form: JwsForm,
  { roots, issuer, nowMs }: Pick<KeySetChecks, 'roots' | 'issuer' | 'nowMs'>,
): Promise<DelegatedJws> {
  const jws = parseJws(text, form);
  const delegation = await verifyDelegation(jws.header['dlg'] as string, { roots, recipient: issuer, nowMs });
  if (jws.kid !== delegation.signer.kid) throw refuse('KEY_SET_SIGNER', 'the signer is not the delegated key');
  if (!(await isSignedBy(jws, delegation.signer.key))) {
    throw refuse('KEY_SET_SIGNATURE', 'the signature is not that of the delegated key');
  }
  const { payload } = jws;
  if (payload['iss'] !== issuer) throw refuse('KEY_SET_ISSUER', 'the set is that of another recipient');
  const { issuedAt, expiresAt } = checkLife(payload, delegation, Math.floor(nowMs / 1000));
  return { payload, delegation, issuedAt, expiresAt, version: readSeconds(payload, 'ver') };
}

function checkLife(payload: Members, delegation: Delegation, now: number) {
  const issuedAt = readSeconds(payload, 'iat');
  const expiresAt = readSeconds(payload, 'exp');
  const life = expiresAt - issuedAt;
  if (life <= 0 || life > MAX_KEY_SET_SECONDS) throw refuse('KEY_SET_TIME', 'the set does not live up to 24 hours');
  if (issuedAt > now + CLOCK_SKEW_SECONDS) throw refuse('KEY_SET_TIME', 'the set is from the future');
  if (expiresAt > delegation.expiresAt) throw refuse('KEY_SET_TIME', 'the set outlives its delegation');
  if (now >= expiresAt) throw refuse('KEY_SET_EXPIRED', 'the set has expired');
  return { issuedAt, expiresAt };
}

async function importKeys(value: unknown): Promise<SendingKey[]> {
  if (!Array.isArray(value) || value.length > MAX_SET_KEYS || !value.every(isObject)) {
    throw refuse('KEY_SET_CONTENT', `keys is not a list of at most ${MAX_SET_KEYS} keys`);
  }
  for (const members of value) {
    if (privateMember(members) !== undefined) throw refuse('KEY_SET_PRIVATE_MEMBER', 'a key has a private member');
  }
  const kids = value.map(({ kid }) => kid);
  if (new Set(kids).size !== kids.length) throw refuse('KEY_SET_DUPLICATE_KID', 'two keys have the same kid');
  const keys: SendingKey[] = [];
  for (const members of value) keys.push(await importPublished(members));
  // One curve a set: which strength is meant must not hang on which key a sender happens to pick.
  if (new Set(keys.map(({ crv }) => crv)).size > 1)
    throw refuse('KEY_SET_MIXED_CURVES', 'the keys have several curves');
  return keys;
}

async function importPublished(members: Members): Promise<SendingKey> {
  const { kid, ...rest } = members;
  if (rest['use'] !== 'enc') throw refuse('KEY_SET_KEY', 'a key is not marked for encryption');
  const key = await recipientKey(rest).catch((error: SealwireError) => {
    throw refuse('KEY_SET_KEY', `a key was refused: ${error.message}`);
  });
  if (kid !== key.kid) throw refuse('KEY_SET_KID', "a kid is not its key's thumbprint");
  const notBefore = optionalSeconds(members, 'nbf');
  const expires = optionalSeconds(members, 'exp');
  if (expires !== undefined && expires <= (notBefore ?? 0))
    throw refuse('KEY_SET_CONTENT', 'a key ends before it begins');
  return { ...key, notBefore, expires };
}

function optionalSeconds(members: Members, name: string): number | undefined {
  return members[name] === undefined ? undefined : readSeconds(members, name);
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * @param text a set of one's own making, e.g. from the file it was kept in
 * @returns its claims, or undefined when it is none; nothing is verified
 */
export function peekKeySet(text: string): { readonly version: number; readonly expiresAt: number } | undefined {
  try {
    const { payload } = parseJws(text, FORM);
    return { version: readSeconds(payload, 'ver'), expiresAt: readSeconds(payload, 'exp') };
  } catch (error) {
    if (error instanceof SealwireError) return undefined;
    throw error;
  }
}
