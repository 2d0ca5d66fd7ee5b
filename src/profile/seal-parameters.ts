/** What whoever seals a token is told, and what it must not exceed. */

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
  readonly cty: 'application/protobuf' | 'application/json';
  /** `bnd`, when the field binds siblings. */
  readonly bound?: string | undefined;
  /** What a reply token is for. */
  readonly call?: ReplyCall | undefined;
  /** Seconds since 1970. */
  readonly iat: number;
}

/** Caps on what a sender makes, the receiver's own. */
export interface SealLimits {
  readonly innerBytes: number;
  readonly headerBytes: number;
}
