/** What whoever seals a token is told, what it must not exceed, and the header that comes of it. */
import type { JwkPoint } from './jwk-rules.js';
import { TOKEN_TYPE } from './policy.js';
import type { ContentType } from './replies.js';

/** The call that a reply token is for. */
export interface ReplyCall {
  /** Full path of the method, `/payments.v1.PaymentService/GetPayment`. */
  readonly mth: string;
  /** `requestDigest` of its one request, where the sender knows the bytes that the service gets. */
  readonly req?: string | undefined;
}

/** What differs from token to token. */
export interface SealParameters {
  /** Full name of the field. */
  readonly field: string;
  readonly cty: ContentType;
  /** `bnd`, when the field binds siblings. */
  readonly bound?: string | undefined;
  /** Only in reply tokens: the call that it is for. */
  readonly call?: ReplyCall | undefined;
  /** Seconds since 1970. */
  readonly iat: number;
}

/** Caps on what a sender makes, the receiver's own. */
export interface SealLimits {
  readonly innerBytes: number;
  readonly headerBytes: number;
}

/** The agreement that a token is sealed with, as its header names it. */
export interface TokenAgreement {
  /** The recipient's kid. */
  readonly kid: string;
  readonly epk: JwkPoint;
}

/**
 * Header members that are the same for all tokens of one agreement and field; `iat`, `bnd` and `req` follow.
 *
 * @param mth only in reply tokens
 */
export function fixedHeader(
  { kid, epk }: TokenAgreement,
  { field, cty }: Pick<SealParameters, 'field' | 'cty'>,
  mth: string | undefined,
): object {
  return { alg: 'ECDH-ES+A256KW', enc: 'A256GCM', kid, epk, typ: TOKEN_TYPE, cty, fld: field, mth };
}
