/** Signing key sets, and verifying them with the keys of this process. */
import { SealwireError } from '../../errors.js';
import type { RecipientKey } from '../../jwe/recipient.js';
import { KEY_SET_TYPE, readSetKeys } from '../../profile/key-sets/key-set-rules.js';
import {
  KEY_SET_FORM,
  type KeySetChecks,
  type VerifiedSet,
  verifyKeySet as verify,
} from '../../profile/key-sets/verify-key-set.js';
import { fingerprintOf, readVersion, type SeenSet } from '../../profile/key-sets/version.js';
import { isTaken, readKeyFile } from '../files.js';
import type { PublicJwk } from '../import.js';
import { parseJws } from './jws.js';
import type { SigningKey, VerificationKey } from './signing-key.js';
import { verifier } from './verifier.js';

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
  /** `changed` and `passed` of the version. */
  readonly ver: readonly [changed: number, passed: number];
  readonly keys: readonly PublishedJwk[];
}

/** @param delegation for `signer`, by the root. @returns a compact JWS */
export function signKeySet(signer: SigningKey, delegation: string, claims: KeySetClaims): Promise<string> {
  return signer.sign({ typ: KEY_SET_TYPE, dlg: delegation }, claims);
}

/** A set that passed every check. */
export type VerifiedKeySet = VerifiedSet<RecipientKey, VerificationKey>;

/** As {@link verify}. */
export function verifyKeySet(text: string, checks: KeySetChecks): Promise<VerifiedKeySet> {
  return verify(text, checks, verifier);
}

/**
 * @param path of a file with a set that the caller trusts: its own last one
 * @returns what is compared with the next set; undefined when there is none. Nothing is verified
 * @throws SealwireError `KEY_FILE_MISSING` when the file cannot be opened, `KEY_FILE_INVALID`
 */
export async function readSignedSet(path: string): Promise<SeenSet | undefined> {
  if (!(await isTaken(path))) return undefined;
  const text = (await readKeyFile(path, { secret: false })).trim();
  try {
    const { payload } = parseJws(text, KEY_SET_FORM);
    return { version: readVersion(payload), fingerprint: fingerprintOf(readSetKeys(payload['keys'])) };
  } catch (error) {
    if (error instanceof SealwireError) return undefined;
    throw error;
  }
}
