/**
 * One base error for the whole project and the literal union of its codes.
 *
 * A {@link StepCode} says which check failed. It is for the audit record and for local callers; a
 * remote caller only ever sees the {@link Reason} it maps to.
 */

/** What a remote caller sees as `google.rpc.ErrorInfo.reason`. */
export type Reason =
  | 'SEALED_FIELD_REQUIRED'
  | 'SEALED_FIELD_INVALID'
  | 'SEALED_FIELD_STALE'
  | 'SEALED_FIELD_REPLAYED'
  | 'SEALED_FIELD_UNKNOWN_KEY'
  | 'INNER_MESSAGE_INVALID'
  | 'LIMIT_EXCEEDED'
  | 'REPLY_KEY_MISSING'
  | 'CALLER_NOT_AUTHENTICATED'
  | 'AUDIT_UNAVAILABLE'
  | 'CUSTODY_UNAVAILABLE';

const STEPS = {
  __proto__: null,
  // Check 1: sizes and counts.
  TOKEN_TOO_LARGE: 'LIMIT_EXCEEDED',
  HEADER_TOO_LARGE: 'LIMIT_EXCEEDED',
  INNER_TOO_LARGE: 'LIMIT_EXCEEDED',
  TOO_MANY_TOKENS: 'LIMIT_EXCEEDED',
  TOO_MANY_AGREEMENTS: 'LIMIT_EXCEEDED',
  NESTED_TOO_DEEP: 'LIMIT_EXCEEDED',
  TOO_MANY_MESSAGES: 'LIMIT_EXCEEDED',
  MESSAGE_RATE: 'LIMIT_EXCEEDED',
  RECEIVE_LIMIT: 'LIMIT_EXCEEDED',
  MAP_KEY_FORBIDDEN: 'SEALED_FIELD_INVALID',
  // Check 2: the five parts.
  TOKEN_PART_COUNT: 'SEALED_FIELD_INVALID',
  TOKEN_ENCODING: 'SEALED_FIELD_INVALID',
  TOKEN_PART_LENGTH: 'SEALED_FIELD_INVALID',
  TOKEN_EMPTY: 'SEALED_FIELD_INVALID',
  // Check 3: the header.
  HEADER_UTF8: 'SEALED_FIELD_INVALID',
  HEADER_JSON: 'SEALED_FIELD_INVALID',
  HEADER_DUPLICATE_NAME: 'SEALED_FIELD_INVALID',
  HEADER_FORBIDDEN_NAME: 'SEALED_FIELD_INVALID',
  HEADER_VALUE: 'SEALED_FIELD_INVALID',
  ALGORITHM_NOT_ALLOWED: 'SEALED_FIELD_INVALID',
  CURVE_NOT_ALLOWED: 'SEALED_FIELD_INVALID',
  EPK_INVALID: 'SEALED_FIELD_INVALID',
  KEY_UNKNOWN: 'SEALED_FIELD_UNKNOWN_KEY',
  KEY_RETIRED: 'SEALED_FIELD_UNKNOWN_KEY',
  // Check 4: policy.
  POLICY_MISSING_HEADER: 'SEALED_FIELD_INVALID',
  POLICY_TYPE: 'SEALED_FIELD_INVALID',
  FIELD_MISMATCH: 'SEALED_FIELD_INVALID',
  BINDING_MISMATCH: 'SEALED_FIELD_INVALID',
  BOUND_VALUE: 'SEALED_FIELD_INVALID',
  TOKEN_STALE: 'SEALED_FIELD_STALE',
  TOKEN_FROM_FUTURE: 'SEALED_FIELD_STALE',
  FIELD_REQUIRED: 'SEALED_FIELD_REQUIRED',
  // Check 5: the agreement.
  CALLER_RATE: 'LIMIT_EXCEEDED',
  POOL_FULL: 'LIMIT_EXCEEDED',
  CUSTODY_FAILED: 'CUSTODY_UNAVAILABLE',
  // Checks 6 and 7: decryption and the inner message. A point off the curve shows here too.
  DECRYPTION_FAILED: 'SEALED_FIELD_INVALID',
  INNER_DECODE: 'SEALED_FIELD_INVALID',
  INNER_INVALID: 'INNER_MESSAGE_INVALID',
  // Check 8 and the log.
  REPLAYED: 'SEALED_FIELD_REPLAYED',
  REPLAY_STORE_FULL: 'LIMIT_EXCEEDED',
  STORED_BYTES: 'LIMIT_EXCEEDED',
  // Reply tokens, beyond what is checked of every token.
  METHOD_MISMATCH: 'SEALED_FIELD_INVALID',
  REQUEST_MISMATCH: 'SEALED_FIELD_INVALID',
  NO_CREDENTIAL: 'CALLER_NOT_AUTHENTICATED',
  CALLER_REFUSED: 'CALLER_NOT_AUTHENTICATED',
  // Replies, checked by the caller.
  REPLY_MISMATCH: 'SEALED_FIELD_INVALID',
  NO_REPLY_KEY: 'REPLY_KEY_MISSING',
  AUDIT_FAILED: 'AUDIT_UNAVAILABLE',
} as const;

type StepTable = Omit<typeof STEPS, '__proto__'>;

/** Which check refused a token; never shown to a remote caller. */
export type StepCode = keyof StepTable;

/**
 * Why a signed key set is not used, or none is at hand; told to local callers only.
 * docs/key-sets.md has a line for each.
 */
export const KEY_SET_CODES = [
  // The form of a JWS, before any key is touched.
  'KEY_SET_TOO_LARGE',
  'KEY_SET_FORM',
  'KEY_SET_JSON',
  'KEY_SET_DUPLICATE_NAME',
  'KEY_SET_ALGORITHM',
  'KEY_SET_TYPE',
  'KEY_SET_HEADER',
  'KEY_SET_UNSIGNED',
  // Who signed it.
  'KEY_SET_DELEGATION',
  'KEY_SET_ROOT_UNKNOWN',
  'KEY_SET_DELEGATION_SIGNATURE',
  'KEY_SET_DELEGATION_EXPIRED',
  'KEY_SET_SIGNER',
  'KEY_SET_SIGNATURE',
  // What it says.
  'KEY_SET_CONTENT',
  'KEY_SET_ISSUER',
  'KEY_SET_TIME',
  'KEY_SET_EXPIRED',
  'KEY_SET_ROLLED_BACK',
  'KEY_SET_CONFLICT',
  'KEY_SET_PRIVATE_MEMBER',
  'KEY_SET_DUPLICATE_KID',
  'KEY_SET_KID',
  'KEY_SET_KEY',
  'KEY_SET_MIXED_CURVES',
  'KEY_SET_NO_ACTIVE_KEY',
  // Nobody serves one.
  'KEY_SET_UNAVAILABLE',
] as const;

/** Why a signed key set is not used. */
export type KeySetCode = (typeof KEY_SET_CODES)[number];

/** Misuse and local failures: wrong options, unreadable files, a wrong key format. */
export type LocalCode =
  | 'OPTIONS_INVALID'
  | 'PLAN_INVALID'
  | 'KEY_INVALID'
  | 'KEY_FILE_MISSING'
  | 'KEY_FILE_MODE'
  | 'KEY_FILE_INVALID'
  | 'KEY_FILE_WRITE'
  | 'KEY_FILE_INCOMPLETE'
  | 'KEY_FILE_BUSY'
  | 'KEY_FILE_ENCRYPTED'
  | 'KEY_MEMORY_FAILED'
  | 'KEY_PASSPHRASE_WRONG'
  | 'KEY_DATES_INVALID'
  | 'KEY_NOT_DUE'
  | 'KEY_IN_USE'
  | 'KEY_NOT_FOUND'
  | 'SEAL_INPUT'
  | 'CLOSED'
  | 'AUDIT_FILE_INVALID'
  | 'AUDIT_NOTE_INVALID'
  | 'SCHEMA_UNAVAILABLE'
  | 'SCHEMA_UNTRUSTED'
  | 'SESSION_INVALID'
  | KeySetCode;

/** Every code a {@link SealwireError} can carry. */
export type ErrorCode = StepCode | LocalCode;

/** All step codes with the reason each maps to. */
export const reasonByStep: Readonly<Record<StepCode, Reason>> = STEPS;

/** A rule that an inner message breaks. */
export interface Violation {
  /** Path of the field, such as `card.number`. */
  readonly path: string;
  /** The rule in words; never a value. */
  readonly rule: string;
}

/**
 * @returns the error with the path of the field that it is about; an error that has one, or is not ours, stays as it is
 */
export function withPath(error: unknown, path: string): unknown {
  if (!(error instanceof SealwireError) || error.path !== undefined) return error;
  return new SealwireError(error.code, error.message, { path, ageSeconds: error.ageSeconds });
}

/** What a {@link SealwireError} may carry. */
export interface SealwireErrorOptions {
  readonly path?: string | undefined;
  readonly cause?: unknown;
  readonly violations?: readonly Violation[];
  readonly violationsOmitted?: number;
  readonly ageSeconds?: number | undefined;
}

/** The one error class. `message` never contains plaintext, a token or key material. */
export class SealwireError extends Error {
  override readonly name = 'SealwireError';
  /** Which check or rule failed. */
  readonly code: ErrorCode;
  /** Path of the sealed field, such as `items[3].card`, once known. */
  readonly path: string | undefined;

  /** With `INNER_INVALID`: every rule that is broken. */
  readonly violations: readonly Violation[] | undefined;
  /** How many more rules are broken than `violations` has. */
  readonly violationsOmitted: number;
  /** With `TOKEN_STALE` and `TOKEN_FROM_FUTURE`: how old the token is by this clock; negative: from the future. */
  readonly ageSeconds: number | undefined;

  /** @internal */
  constructor(code: ErrorCode, message: string, options?: SealwireErrorOptions) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.path = options?.path;
    this.violations = options?.violations;
    this.violationsOmitted = options?.violationsOmitted ?? 0;
    this.ageSeconds = options?.ageSeconds;
  }

  /** The caller-visible reason, or undefined for local errors. */
  get reason(): Reason | undefined {
    return (reasonByStep as Partial<Record<ErrorCode, Reason>>)[this.code];
  }
}
