/**
 * Sealing statements under the signature of the delegated key: what a service has sealed, for whoever was told a
 * schema.
 */
import { type JwsForm, refuse } from '../../profile/key-sets/jws-form.js';
import { type KeySetChecks, verifyDelegated } from '../../profile/key-sets/verify-key-set.js';
import type { SigningKey } from './signing-key.js';
import { verifier } from './verifier.js';

/** `typ` of a sealing statement. */
const STATEMENT_TYPE = 'sealing-statement+jwt';
/** Longest text: a statement of 524,288 characters in base64url, and its header. */
const MAX_CHARS = 786_432;

const FORM: JwsForm = { typ: STATEMENT_TYPE, headerNames: ['dlg'], maxChars: MAX_CHARS };

/** What a signed statement says. */
export interface StatementClaims {
  /** The service that owns the methods. */
  readonly iss: string;
  /** Seconds since 1970. */
  readonly iat: number;
  /** Seconds since 1970; at most 24 h after `iat`. */
  readonly exp: number;
  /** Grows when it is signed anew; apart from the version of the key set, which it does not change. */
  readonly ver: number;
  /** The lines, see docs/key-sets.md. */
  readonly statement: string;
}

/** @param delegation for `signer`, by the root. @returns a compact JWS */
export function signStatement(signer: SigningKey, delegation: string, claims: StatementClaims): Promise<string> {
  return signer.sign({ typ: STATEMENT_TYPE, dlg: delegation }, claims);
}

/**
 * Verifies a statement as a key set is verified.
 *
 * @param text compact JWS, from anybody
 * @returns its lines
 * @throws SealwireError with one of `KEY_SET_CODES`
 */
export async function verifyStatement(text: string, checks: Omit<KeySetChecks, 'seen'>): Promise<string> {
  const { payload } = await verifyDelegated(text, FORM, checks, verifier);
  const { statement } = payload;
  if (typeof statement !== 'string') throw refuse('KEY_SET_CONTENT', 'statement is not a text');
  return statement;
}
