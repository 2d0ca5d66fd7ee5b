/** Delegations: the root lets a key sign one recipient's key sets, for at most 90 days. */

import { SealwireError } from '../../errors.js';
import { checkRange } from '../../profile/check-range.js';
import type { Members } from '../../profile/header-members.js';
import { type JwsForm, type ParsedJws, readSeconds, refuse } from '../../profile/jws-form.js';
import { CLOCK_SKEW_SECONDS, quoteName } from '../../profile/key-set-rules.js';
import { isSignedBy, parseJws } from './jws.js';
import { importVerificationKey, type SigningKey, type VerificationJwk, type VerificationKey } from './signing-key.js';

/** `typ` of a delegation, so that it is never taken for a key set, nor the other way round. */
export const DELEGATION_TYPE = 'key-set-delegation+jwt';
/** Longest life of a delegation. */
const MAX_DELEGATION_DAYS = 90;

const DAY_SECONDS = 86_400;
const FORM: JwsForm = { typ: DELEGATION_TYPE, headerNames: [], maxChars: 4_096 };

/** A delegation that a pinned root signed. */
export interface Delegation {
  /** Thumbprint of the root. */
  readonly root: string;
  /** The recipient whose sets may be signed. */
  readonly recipient: string;
  /** The key that may sign them. */
  readonly signer: VerificationKey;
  /** Seconds since 1970. */
  readonly issuedAt: number;
  /** Seconds since 1970; from then on it is refused. */
  readonly expiresAt: number;
}

/** What {@link signDelegation} says. */
export interface DelegationOptions {
  /** Name of the recipient: the service's own, or that of a named recipient. */
  readonly recipient: string;
  /** Public key that may sign the recipient's sets. */
  readonly signer: VerificationJwk;
  /** Life in days. Default 90; 1 to 90. */
  readonly days?: number;
  /** ms since 1970. */
  readonly nowMs: number;
}

/**
 * Signs a delegation with the root.
 *
 * @returns a compact JWS
 * @throws SealwireError `OPTIONS_INVALID`
 */
export function signDelegation(root: SigningKey, options: DelegationOptions): Promise<string> {
  const { recipient, signer, days = MAX_DELEGATION_DAYS, nowMs } = options;
  checkRange('days', days, [1, MAX_DELEGATION_DAYS]);
  if (recipient === '') throw new SealwireError('OPTIONS_INVALID', 'a delegation needs the name of a recipient');
  const iat = Math.floor(nowMs / 1000);
  const claims = { sub: recipient, iat, exp: iat + days * DAY_SECONDS, root: root.publicJwk, key: signer };
  return root.sign({ typ: DELEGATION_TYPE }, claims);
}

/** What a delegation is checked against. */
export interface DelegationChecks {
  /** Thumbprints of the pinned roots. */
  readonly roots: readonly string[];
  readonly recipient: string;
  /** ms since 1970. */
  readonly nowMs: number;
}

/**
 * Verifies a delegation. The root's public key travels in it and counts only when its thumbprint is pinned.
 *
 * @throws SealwireError `KEY_SET_DELEGATION`, `KEY_SET_ROOT_UNKNOWN`, `KEY_SET_DELEGATION_SIGNATURE`,
 *   `KEY_SET_DELEGATION_EXPIRED`, `KEY_SET_ISSUER`
 */
export async function verifyDelegation(text: string, checks: DelegationChecks): Promise<Delegation> {
  const jws = parseForm(text);
  // Checked before its key is read: a delegation that does not even claim a pinned root needs no reading.
  if (!checks.roots.includes(jws.kid)) throw refuse('KEY_SET_ROOT_UNKNOWN', 'the root is not pinned');
  const root = await importMember(jws.payload, 'root');
  if (root.kid !== jws.kid) throw refuse('KEY_SET_DELEGATION', "the delegation's kid is not that of its root");
  if (!(await isSignedBy(jws, root.key))) {
    throw refuse('KEY_SET_DELEGATION_SIGNATURE', "the delegation's signature is not the root's");
  }
  const { sub } = jws.payload;
  if (sub !== checks.recipient) {
    throw refuse('KEY_SET_ISSUER', `the delegation is for ${quoteName(sub)}, not for ${quoteName(checks.recipient)}`);
  }
  const { issuedAt, expiresAt } = readLife(jws.payload, Math.floor(checks.nowMs / 1000));
  const signer = await importMember(jws.payload, 'key');
  return { root: root.kid, recipient: checks.recipient, signer, issuedAt, expiresAt };
}

/**
 * @param text a delegation that the caller trusts
 * @returns the name in it, or undefined when it is none; nothing is verified
 */
export function peekRecipient(text: string): string | undefined {
  try {
    const { sub } = parseForm(text).payload;
    return typeof sub === 'string' ? sub : undefined;
  } catch (error) {
    if (error instanceof SealwireError) return undefined;
    throw error;
  }
}

function readLife(payload: Members, now: number): { readonly issuedAt: number; readonly expiresAt: number } {
  const [issuedAt, expiresAt] = explain(() => [readSeconds(payload, 'iat'), readSeconds(payload, 'exp')] as const);
  const life = expiresAt - issuedAt;
  if (life <= 0 || life > MAX_DELEGATION_DAYS * DAY_SECONDS) {
    throw refuse('KEY_SET_DELEGATION', 'the life of the delegation is not between 0 and 90 days');
  }
  if (issuedAt > now + CLOCK_SKEW_SECONDS) throw refuse('KEY_SET_DELEGATION', 'the delegation is from the future');
  if (now >= expiresAt) throw refuse('KEY_SET_DELEGATION_EXPIRED', 'the delegation has expired');
  return { issuedAt, expiresAt };
}

function parseForm(text: string): ParsedJws {
  return explain(() => parseJws(text, FORM));
}

/** All faults in the form of a delegation have one code; the message names the rule. */
function explain<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw refuse('KEY_SET_DELEGATION', `the delegation: ${(error as SealwireError).message}`);
  }
}

async function importMember(payload: Members, name: 'root' | 'key'): Promise<VerificationKey> {
  const value = payload[name];
  if (typeof value !== 'object' || value === null) throw refuse('KEY_SET_DELEGATION', `the delegation has no ${name}`);
  try {
    return await importVerificationKey(value);
  } catch (error) {
    throw refuse('KEY_SET_DELEGATION', `the delegation's ${name}: ${(error as SealwireError).message}`);
  }
}
