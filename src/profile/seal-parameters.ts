/** What whoever seals a token is told, and what it must not exceed. */

/** What differs from token to token. */
export interface SealParameters {
  /** Full name of the field. */
  readonly field: string;
  readonly cty: 'application/protobuf' | 'application/json';
  /** `bnd`, when the field binds siblings. */
  readonly bound?: string | undefined;
  /** Seconds since 1970. */
  readonly iat: number;
}

/** Caps on what a sender makes, the receiver's own. */
export interface SealLimits {
  readonly innerBytes: number;
  readonly headerBytes: number;
}
