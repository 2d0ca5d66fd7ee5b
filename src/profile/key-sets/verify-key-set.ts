/** Signed key sets: a recipient's public keys under the signature of a key that a pinned root delegated to. */
import type { SealwireError } from '../../errors.js';
import type { Curve } from '../algorithms.js';
import type { Members } from '../header-members.js';
import type { SendingTime } from './active-key.js';
import { type Delegation, type SignatureVerifier, verifyDelegation } from './delegation.js';
import { type JwsForm, parseJwsForm, refuse } from './jws-form.js';
import {
  checkCurves,
  checkSetClaims,
  KEY_SET_TYPE,
  MAX_SET_CHARS,
  readKeyDates,
  readSetKeys,
} from './key-set-rules.js';
import { checkNotOlder, checkSameKeys, fingerprintOf, readVersion, type SeenSet } from './version.js';

export const KEY_SET_FORM: JwsForm = { typ: KEY_SET_TYPE, headerNames: ['dlg'], maxChars: MAX_SET_CHARS };

/** What a set is checked against. */
export interface KeySetChecks {
  /** RFC 7638 thumbprints of the pinned roots: one, or two while the root changes. */
  readonly roots: readonly string[];
  /** The recipient whose set was asked for. */
  readonly issuer: string;
  /** ms since 1970. */
  readonly nowMs: number;
  /** The newest set seen of this recipient. Default: none was seen. */
  readonly seen?: SeenSet | undefined;
}

/** What is used of a verified set; `S` is a key to seal to. */
export interface UsedSet<S> extends SeenSet {
  /** Seconds since 1970; from then on it must not be used. */
  readonly expiresAt: number;
  readonly keys: readonly (S & SendingTime)[];
}

/** What the delegated key signed, before its content is looked at. */
export interface DelegatedJws<V> extends Pick<UsedSet<unknown>, 'expiresAt'> {
  readonly payload: Members;
  readonly delegation: Delegation<V>;
  /** Seconds since 1970. */
  readonly issuedAt: number;
}

/** A set that passed every check. */
export interface VerifiedSet<S, V> extends UsedSet<S>, Omit<DelegatedJws<V>, 'payload'> {
  readonly issuer: string;
}

/** Verifies with the platform's cryptography. */
export interface KeySetVerifier<S, V> extends SignatureVerifier<V> {
  /** @param members of a public JWK, from anybody. @throws SealwireError `KEY_INVALID` */
  importSealingKey(members: object): Promise<S>;
}

/**
 * Verifies a set: its form, the delegation by a pinned root, the signature by the delegated key, and only then what it
 * says.
 *
 * @param text compact JWS, from anybody
 * @throws SealwireError with one of `KEY_SET_CODES`
 */
export async function verifyKeySet<
  S extends { readonly kid: string; readonly crv: Curve },
  V extends { readonly kid: string },
>(text: string, checks: KeySetChecks, verifier: KeySetVerifier<S, V>): Promise<VerifiedSet<S, V>> {
  const { payload, ...verified } = await verifyDelegated(text, KEY_SET_FORM, checks, verifier);
  const version = readVersion(payload);
  checkNotOlder(version, checks.seen);
  const published = readSetKeys(payload['keys']);
  const keys: (S & SendingTime)[] = [];
  for (const members of published) keys.push(await importPublished(members, verifier));
  checkCurves(keys);
  const fingerprint = fingerprintOf(published);
  checkSameKeys({ version, fingerprint }, checks.seen);
  return { issuer: checks.issuer, ...verified, version, fingerprint, keys };
}

/**
 * Verifies what the delegated key signs: key sets and sealing statements.
 *
 * @throws SealwireError with one of `KEY_SET_CODES`
 */
export async function verifyDelegated<V extends { readonly kid: string }>(
  text: string,
  form: JwsForm,
  checks: Omit<KeySetChecks, 'seen'>,
  verifier: SignatureVerifier<V>,
): Promise<DelegatedJws<V>> {
  const { roots, issuer, nowMs } = checks;
  const jws = parseJwsForm(text, form, verifier.decode);
  const dlg = jws.header['dlg'] as string;
  const delegation = await verifyDelegation(dlg, { roots, recipient: issuer, nowMs }, verifier);
  if (jws.kid !== delegation.signer.kid) throw refuse('KEY_SET_SIGNER', 'the signer is not the delegated key');
  if (!(await verifier.isSignedBy(jws, delegation.signer))) {
    throw refuse('KEY_SET_SIGNATURE', 'the signature is not that of the delegated key');
  }
  const { payload } = jws;
  const life = checkSetClaims(payload, { ...checks, delegationExpiresAt: delegation.expiresAt });
  return { payload, delegation, ...life };
}

async function importPublished<S extends { readonly kid: string }, V>(
  members: Members,
  verifier: KeySetVerifier<S, V>,
): Promise<S & SendingTime> {
  const { kid, ...rest } = members;
  if (rest['use'] !== 'enc') throw refuse('KEY_SET_KEY', 'a key is not marked for encryption');
  const key = await verifier.importSealingKey(rest).catch((error: SealwireError) => {
    throw refuse('KEY_SET_KEY', `a key was refused: ${error.message}`);
  });
  if (kid !== key.kid) throw refuse('KEY_SET_KID', "a kid is not its key's thumbprint");
  return { ...key, ...readKeyDates(members) };
}
