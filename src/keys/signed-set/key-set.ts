/** Signed key sets: a recipient's public keys under the signature of a key that a pinned root delegated to. */
import { SealwireError } from '../../errors.js';
import type { Members } from '../../profile/header-members.js';
import { type JwsForm, readSeconds, refuse } from '../../profile/jws-form.js';
import {
  checkCurves,
  checkSetClaims,
  KEY_SET_TYPE,
  MAX_SET_CHARS,
  readKeyDates,
  readSetKeys,
} from '../../profile/key-set-rules.js';
import type { SendingKey } from '../active-key.js';
import type { PublicJwk } from '../import.js';
import { recipientKey } from '../public-keys.js';
import { type Delegation, verifyDelegation } from './delegation.js';
import { isSignedBy, parseJws } from './jws.js';
import type { SigningKey } from './signing-key.js';

const FORM: JwsForm = { typ: KEY_SET_TYPE, headerNames: ['dlg'], maxChars: MAX_SET_CHARS };

/** A public key in a set. */
export interface PublishedJwk extends PublicJwk {
  /** Senders use it from then on, in seconds since 1970. Default: at once. */
  readonly nbf?: number;
  /** Senders stop then, in seconds since 1970. Default: when it is no longer in the set. */
  readonly exp?: number;
}

/** The claims of a set. */
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

/** What a set is checked against. */
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
 * Verifies a set: its form, the delegation by a pinned root, the signature by the delegated key, and only then what it
 * says.
 *
 * @param text compact JWS, from anybody
 * @throws SealwireError with one of `KEY_SET_CODES`
 */
export async function verifyKeySet(text: string, checks: KeySetChecks): Promise<VerifiedKeySet> {
  const { payload, ...verified } = await verifyDelegated(text, FORM, checks);
  return { issuer: checks.issuer, ...verified, keys: await importKeys(payload['keys']) };
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
export async function verifyDelegated(text: string, form: JwsForm, checks: KeySetChecks): Promise<DelegatedJws> {
  const { roots, issuer, nowMs } = checks;
  const jws = parseJws(text, form);
  const delegation = await verifyDelegation(jws.header['dlg'] as string, { roots, recipient: issuer, nowMs });
  if (jws.kid !== delegation.signer.kid) throw refuse('KEY_SET_SIGNER', 'the signer is not the delegated key');
  if (!(await isSignedBy(jws, delegation.signer.key))) {
    throw refuse('KEY_SET_SIGNATURE', 'the signature is not that of the delegated key');
  }
  const { payload } = jws;
  const life = checkSetClaims(payload, { ...checks, delegationExpiresAt: delegation.expiresAt });
  return { payload, delegation, ...life };
}

async function importKeys(value: unknown): Promise<SendingKey[]> {
  const keys: SendingKey[] = [];
  for (const members of readSetKeys(value)) keys.push(await importPublished(members));
  checkCurves(keys);
  return keys;
}

async function importPublished(members: Members): Promise<SendingKey> {
  const { kid, ...rest } = members;
  if (rest['use'] !== 'enc') throw refuse('KEY_SET_KEY', 'a key is not marked for encryption');
  const key = await recipientKey(rest).catch((error: SealwireError) => {
    throw refuse('KEY_SET_KEY', `a key was refused: ${error.message}`);
  });
  if (kid !== key.kid) throw refuse('KEY_SET_KID', "a kid is not its key's thumbprint");
  return { ...key, ...readKeyDates(members) };
}

/**
 * @param text a set that the caller trusts, e.g. from its own file
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
