/** Delegations: the root lets a key sign one recipient's key sets, for at most 90 days. */
import type { SealwireError } from '../../errors.js';
import type { Members } from '../header-members.js';
import { type JwsForm, type ParsedJws, parseJwsForm, readSeconds, refuse } from './jws-form.js';
import { CLOCK_SKEW_SECONDS, quoteName } from './key-set-rules.js';

/** `typ` of a delegation, so that it is never taken for a key set, nor the other way round. */
export const DELEGATION_TYPE = 'key-set-delegation+jwt';
/** Longest life of a delegation. */
export const MAX_DELEGATION_DAYS = 90;
export const DAY_SECONDS = 86_400;

const FORM: JwsForm = { typ: DELEGATION_TYPE, headerNames: [], maxChars: 4_096 };

/** Whoever verifies brings the cryptography: `V` is a public signing key. */
export interface SignatureVerifier<V> {
  /** Canonical base64url; undefined for any other text. */
  decode(part: string): Uint8Array | undefined;
  /** @param members of a JWK, from anybody. @throws SealwireError `KEY_INVALID` */
  importVerificationKey(members: object): Promise<V>;
  /** @returns whether the key made the signature; never throws for a bad one */
  isSignedBy(jws: ParsedJws, key: V): Promise<boolean>;
}

/** A delegation that a pinned root signed. */
export interface Delegation<V> {
  /** Thumbprint of the root. */
  readonly root: string;
  /** The recipient whose sets may be signed. */
  readonly recipient: string;
  /** The key that may sign them. */
  readonly signer: V;
  /** Seconds since 1970. */
  readonly issuedAt: number;
  /** Seconds since 1970; from then on it is refused. */
  readonly expiresAt: number;
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
export async function verifyDelegation<V extends { readonly kid: string }>(
  text: string,
  checks: DelegationChecks,
  verifier: SignatureVerifier<V>,
): Promise<Delegation<V>> {
  const jws = parseDelegation(text, verifier.decode);
  // Checked before its key is read: a delegation that does not even claim a pinned root needs no reading.
  if (!checks.roots.includes(jws.kid)) throw refuse('KEY_SET_ROOT_UNKNOWN', 'the root is not pinned');
  const root = await importMember(jws.payload, 'root', verifier);
  if (root.kid !== jws.kid) throw refuse('KEY_SET_DELEGATION', "the delegation's kid is not that of its root");
  if (!(await verifier.isSignedBy(jws, root))) {
    throw refuse('KEY_SET_DELEGATION_SIGNATURE', "the delegation's signature is not the root's");
  }
  const { sub } = jws.payload;
  if (sub !== checks.recipient) {
    throw refuse('KEY_SET_ISSUER', `the delegation is for ${quoteName(sub)}, not for ${quoteName(checks.recipient)}`);
  }
  const { issuedAt, expiresAt } = readLife(jws.payload, Math.floor(checks.nowMs / 1000));
  const signer = await importMember(jws.payload, 'key', verifier);
  return { root: root.kid, recipient: checks.recipient, signer, issuedAt, expiresAt };
}

/** A delegation whose form is right. @throws SealwireError `KEY_SET_DELEGATION` */
export function parseDelegation(text: string, decode: SignatureVerifier<unknown>['decode']): ParsedJws {
  return explain(() => parseJwsForm(text, FORM, decode));
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

/** All faults in the form of a delegation have one code; the message names the rule. */
function explain<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw refuse('KEY_SET_DELEGATION', `the delegation: ${(error as SealwireError).message}`);
  }
}

async function importMember<V>(payload: Members, name: 'root' | 'key', verifier: SignatureVerifier<V>): Promise<V> {
  const value = payload[name];
  if (typeof value !== 'object' || value === null) throw refuse('KEY_SET_DELEGATION', `the delegation has no ${name}`);
  try {
    return await verifier.importVerificationKey(value);
  } catch (error) {
    throw refuse('KEY_SET_DELEGATION', `the delegation's ${name}: ${(error as SealwireError).message}`);
  }
}
