/** What a recipient demands of a token beyond being well-formed (check 4). */
import { SealwireError } from '../errors.js';

/** `strict` demands the whole token profile; `interop` also takes tokens of stock JOSE clients. */
export type PolicyName = 'strict' | 'interop';

/** `typ` of every sealed-field token. */
export const TOKEN_TYPE = 'sealed-field+jwe';
/** Oldest accepted `iat`, in seconds before now. */
export const MAX_AGE_SECONDS = 300;
/** Newest accepted `iat`, in seconds after now: clocks differ. */
export const MAX_SKEW_SECONDS = 60;

/** The actual place of a token, which its header must name. */
export interface Expected {
  /** Full name of the field. */
  readonly field: string;
  /** `bnd` of the siblings; undefined when the field binds nothing. */
  readonly bound?: string;
  /** The longest plaintext, in bytes. Default: the general limit. */
  readonly maxBytes?: number;
}

/** The header names that are compared with the call. */
export interface ProfileHeader {
  readonly typ?: string | undefined;
  readonly cty?: string | undefined;
  readonly fld?: string | undefined;
  readonly iat?: number | undefined;
  readonly bnd?: string | undefined;
  /** The full path of the method that a reply token is for. */
  readonly mth?: string | undefined;
  /** base64url SHA-256 of the request that a reply token is for. */
  readonly req?: string | undefined;
  /** Whether `epk` had members beyond those of a public key; RFC 7518 §4.6.1.1 has them ignored. */
  readonly hasOtherEpkMembers?: boolean | undefined;
}

/** Options of {@link checkPolicy}. */
export interface PolicyOptions {
  /** False skips `iat`, for stored tokens. Default true. */
  readonly freshness?: boolean;
}

const CONTENT_TYPES = ['application/protobuf', 'application/json'];
const PROFILE_NAMES = ['typ', 'cty', 'fld', 'iat'] as const;

/**
 * Compares a header with what is really being called.
 *
 * @param header a parsed header
 * @param expected field and binding of this place in this call
 * @param policy strict: every name must be present; interop: absent ones pass, present ones must fit
 * @param nowMs the time, ms since 1970
 * @throws SealwireError `POLICY_MISSING_HEADER`, `EPK_INVALID`, `POLICY_TYPE`, `FIELD_MISMATCH`, `BINDING_MISMATCH`,
 *   `TOKEN_STALE`, `TOKEN_FROM_FUTURE`
 */
export function checkPolicy(
  header: ProfileHeader,
  expected: Expected,
  policy: PolicyName,
  nowMs: number,
  options: PolicyOptions = {},
): void {
  const { typ, cty, fld, iat, bnd } = header;
  if (policy === 'strict') {
    for (const name of PROFILE_NAMES) {
      if (header[name] === undefined) throw new SealwireError('POLICY_MISSING_HEADER', `the header has no ${name}`);
    }
    if (header.hasOtherEpkMembers) throw new SealwireError('EPK_INVALID', 'epk has other members');
  }
  if (typ !== undefined && typ !== TOKEN_TYPE) throw new SealwireError('POLICY_TYPE', 'typ is not ours');
  if (cty !== undefined && !CONTENT_TYPES.includes(cty)) throw new SealwireError('POLICY_TYPE', 'cty is not accepted');
  if (fld !== undefined && fld !== expected.field) throw new SealwireError('FIELD_MISMATCH', 'made for another field');
  checkBinding(bnd, expected.bound, policy);
  if (iat === undefined || options.freshness === false) return;
  const now = nowMs / 1000;
  const ageSeconds = Math.floor(now) - iat;
  if (iat < now - MAX_AGE_SECONDS) throw new SealwireError('TOKEN_STALE', 'iat is too old', { ageSeconds });
  if (iat > now + MAX_SKEW_SECONDS)
    throw new SealwireError('TOKEN_FROM_FUTURE', 'iat is in the future', { ageSeconds });
}

/** `bnd` is present exactly when the field binds siblings; interop lets it be absent. */
function checkBinding(bnd: string | undefined, bound: string | undefined, policy: PolicyName): void {
  if (bnd === bound || (bnd === undefined && policy === 'interop')) return;
  throw new SealwireError('BINDING_MISMATCH', 'made for other sibling values');
}
