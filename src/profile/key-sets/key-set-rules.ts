/** What the text of a signed key set must say, once its signature is known to be good. */
import type { Members } from '../header-members.js';
import { privateMember } from '../jwk-rules.js';
import { readSeconds, refuse } from './jws-form.js';

/** `typ` of a key set. */
export const KEY_SET_TYPE = 'jwk-set+jwt';
/** Most keys in a set. */
export const MAX_SET_KEYS = 32;
/** Longest text of a set. */
export const MAX_SET_CHARS = 65_536;
/** Longest life of a key set, in seconds: so long may a sender that cannot fetch a newer one use what it has. */
export const MAX_KEY_SET_SECONDS = 86_400;
/** How far a verifier's clock may be behind the signer's: as far as for the tokens that it will seal. */
export const CLOCK_SKEW_SECONDS = 300;

/** What a set must fit besides its signature. */
export interface SetClaimChecks {
  /** The recipient whose set was asked for. */
  readonly issuer: string;
  /** ms since 1970. */
  readonly nowMs: number;
  /** Seconds since 1970. */
  readonly delegationExpiresAt: number;
}

/**
 * Checks whose it is, and when it is good.
 *
 * @returns `iat` and `exp` in seconds since 1970
 * @throws SealwireError `KEY_SET_ISSUER`, `KEY_SET_CONTENT`, `KEY_SET_TIME`, `KEY_SET_EXPIRED`
 */
export function checkSetClaims(payload: Members, checks: SetClaimChecks) {
  const { iss } = payload;
  if (iss !== checks.issuer)
    throw refuse('KEY_SET_ISSUER', `the set is of ${quoteName(iss)}, not of ${quoteName(checks.issuer)}`);
  return checkLife(payload, checks.delegationExpiresAt, Math.floor(checks.nowMs / 1000));
}

const MAX_NAME = 64;

/**
 * A name of anybody's making as errors show it: in quotes, cut to 64 characters, with nothing that steers a terminal.
 */
export function quoteName(name: unknown): string {
  if (typeof name !== 'string') return 'nobody';
  const shown = name.length > MAX_NAME ? `${name.slice(0, MAX_NAME)}…` : name;
  return `'${shown.replace(/[^ -~…]|['\\]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)}'`;
}

function checkLife(payload: Members, delegationExpiresAt: number, now: number) {
  const issuedAt = readSeconds(payload, 'iat');
  const expiresAt = readSeconds(payload, 'exp');
  const life = expiresAt - issuedAt;
  if (life <= 0 || life > MAX_KEY_SET_SECONDS) throw refuse('KEY_SET_TIME', 'the set does not live up to 24 hours');
  if (issuedAt > now + CLOCK_SKEW_SECONDS) throw refuse('KEY_SET_TIME', 'the set is from the future');
  if (expiresAt > delegationExpiresAt) throw refuse('KEY_SET_TIME', 'the set outlives its delegation');
  if (now >= expiresAt) throw refuse('KEY_SET_EXPIRED', 'the set has expired');
  return { issuedAt, expiresAt };
}

/**
 * The keys of a set, as far as that needs no import of them.
 *
 * @param value of the member `keys`
 * @throws SealwireError `KEY_SET_CONTENT`, `KEY_SET_PRIVATE_MEMBER`, `KEY_SET_DUPLICATE_KID`
 */
export function readSetKeys(value: unknown): readonly Members[] {
  if (!Array.isArray(value) || value.length > MAX_SET_KEYS || !value.every(isObject)) {
    throw refuse('KEY_SET_CONTENT', `keys is not a list of at most ${MAX_SET_KEYS} keys`);
  }
  for (const members of value) {
    if (privateMember(members) !== undefined) throw refuse('KEY_SET_PRIVATE_MEMBER', 'a key has a private member');
  }
  const kids = value.map(({ kid }) => kid);
  if (new Set(kids).size !== kids.length) throw refuse('KEY_SET_DUPLICATE_KID', 'two keys have the same kid');
  return value;
}

/**
 * When senders use a key of a set, in seconds since 1970.
 *
 * @throws SealwireError `KEY_SET_CONTENT`
 */
export function readKeyDates(members: Members) {
  const notBefore = optionalSeconds(members, 'nbf');
  const expires = optionalSeconds(members, 'exp');
  if (expires !== undefined && expires <= (notBefore ?? 0))
    throw refuse('KEY_SET_CONTENT', 'a key ends before it begins');
  return { notBefore, expires };
}

/**
 * One curve a set: which strength is meant must not hang on which key a sender happens to pick.
 *
 * @throws SealwireError `KEY_SET_MIXED_CURVES`
 */
export function checkCurves(keys: readonly { readonly crv: string }[]): void {
  if (new Set(keys.map(({ crv }) => crv)).size > 1)
    throw refuse('KEY_SET_MIXED_CURVES', 'the keys have several curves');
}

function optionalSeconds(members: Members, name: string): number | undefined {
  return members[name] === undefined ? undefined : readSeconds(members, name);
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
