/**
 * How an error looks to a remote caller: one gRPC code and one fixed sentence per reason, and
 * `google.rpc.Status` details. Transport-free, so that client and server share it.
 */

import { type ErrorCode, type Reason, SealwireError, type Violation } from '../errors.js';
import { BadRequest, ErrorInfo } from '../gen/portable/google/rpc/error_details.js';
import { Status } from '../gen/portable/google/rpc/status.js';
import { ERROR_DOMAIN, type ServiceErrorDetails, toDetails } from '../profile/error-details.js';

/** Trailer that carries a serialized `google.rpc.Status`. */
export const STATUS_DETAILS_KEY = 'grpc-status-details-bin';

const ERROR_INFO_TYPE = 'type.googleapis.com/google.rpc.ErrorInfo';
const BAD_REQUEST_TYPE = 'type.googleapis.com/google.rpc.BadRequest';
/** Longest serialized `BadRequest`: trailers have to fit into one HTTP/2 header block. */
const MAX_VIOLATION_BYTES = 3_072;
/** Characters of `ErrorInfo`'s field, which is told whatever else fits. */
const MAX_PATH = 200;

/** gRPC status codes used here, by number (grpc.io/docs/guides/status-codes). */
const GRPC = {
  INVALID_ARGUMENT: 3,
  ALREADY_EXISTS: 6,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

interface ReasonStatus {
  readonly code: number;
  readonly text: string;
}

/** Code and text by reason. The texts are fixed: nothing of the request or the failing step gets in. */
export const statusByReason: Readonly<Record<Reason, ReasonStatus>> = {
  SEALED_FIELD_REQUIRED: { code: GRPC.INVALID_ARGUMENT, text: 'a required sealed field is empty' },
  SEALED_FIELD_INVALID: { code: GRPC.INVALID_ARGUMENT, text: 'a sealed field could not be opened' },
  SEALED_FIELD_STALE: {
    code: GRPC.INVALID_ARGUMENT,
    text: 'a sealed field was sealed outside the accepted time window; check the clock and seal again',
  },
  SEALED_FIELD_REPLAYED: {
    code: GRPC.ALREADY_EXISTS,
    text: 'a sealed field was used before; seal again for each call',
  },
  SEALED_FIELD_UNKNOWN_KEY: {
    code: GRPC.FAILED_PRECONDITION,
    text: 'a sealed field was sealed to a key that is not in use; fetch the current key and seal again',
  },
  INNER_MESSAGE_INVALID: { code: GRPC.INVALID_ARGUMENT, text: 'a sealed message breaks a validation rule' },
  LIMIT_EXCEEDED: { code: GRPC.RESOURCE_EXHAUSTED, text: 'a limit on sealed fields is exceeded' },
  REPLY_KEY_MISSING: {
    code: GRPC.FAILED_PRECONDITION,
    text: 'the response has sealed fields and the request brought no key to seal them with',
  },
  CALLER_NOT_AUTHENTICATED: { code: GRPC.UNAUTHENTICATED, text: 'the caller was not authenticated by its reply token' },
  AUDIT_UNAVAILABLE: { code: GRPC.UNAVAILABLE, text: 'the audit log cannot take records' },
  CUSTODY_UNAVAILABLE: { code: GRPC.UNAVAILABLE, text: 'the key custody cannot serve' },
};

/** Said for everything that is not a known error. */
export const INTERNAL_STATUS: ReasonStatus = { code: GRPC.INTERNAL, text: 'internal error' };

/** @returns the name of a code of {@link statusByReason} */
export function nameOfCode(code: number): string {
  return Object.entries(GRPC).find(([, number]) => number === code)?.[0] ?? String(code);
}

/** What a caller gets to see of an error. */
export interface ErrorStatus {
  /** gRPC status code number. */
  readonly code: number;
  /** Fixed sentence. */
  readonly details: string;
  /** Serialized `google.rpc.Status`; undefined for errors that are not ours. */
  readonly statusDetails?: Uint8Array;
}

/** Facts that some reasons tell the caller. */
export interface ErrorStatusContext {
  /** The kid that senders should use; told with `SEALED_FIELD_UNKNOWN_KEY`. */
  readonly currentKid?: string | undefined;
  /** The server's clock in ms since 1970; told in whole seconds with `SEALED_FIELD_STALE`. */
  readonly nowMs?: number;
}

/**
 * The one mapping from errors to what a remote caller sees.
 *
 * @param error anything thrown; only a {@link SealwireError} with a reason is described
 * @param context facts for the reasons that tell something
 * @returns code, fixed text and details; `INTERNAL` with fixed text for anything unknown
 */
export function errorStatus(error: unknown, context: ErrorStatusContext = {}): ErrorStatus {
  const reason = error instanceof SealwireError ? error.reason : undefined;
  if (reason === undefined) return { code: INTERNAL_STATUS.code, details: INTERNAL_STATUS.text };
  const { code, text } = statusByReason[reason];
  const metadata: Record<string, string> = {};
  const path = (error as SealwireError).path;
  if (path !== undefined) metadata['field'] = path.length > MAX_PATH ? `${path.slice(0, MAX_PATH)}…` : path;
  if (reason === 'SEALED_FIELD_UNKNOWN_KEY' && context.currentKid) metadata['currentKid'] = context.currentKid;
  if (reason === 'SEALED_FIELD_STALE' && context.nowMs !== undefined) {
    metadata['serverTime'] = String(Math.floor(context.nowMs / 1000));
  }
  const { ageSeconds, code: step } = error as SealwireError;
  if (reason === 'SEALED_FIELD_STALE' && ageSeconds !== undefined) metadata['ageSeconds'] = String(ageSeconds);
  const limit = limitKinds[step];
  if (limit !== undefined) metadata['limit'] = limit;
  const { violations = [], violationsOmitted } = error as SealwireError;
  const fitting = fitViolations(violations);
  const omitted = violations.length - fitting.length + violationsOmitted;
  if (omitted > 0) metadata['violationsOmitted'] = String(omitted);
  const info = ErrorInfo.encode({ reason, domain: ERROR_DOMAIN, metadata }).finish();
  const details = [{ typeUrl: ERROR_INFO_TYPE, value: info }];
  if (fitting.length > 0) {
    const badRequest = BadRequest.encode({ fieldViolations: fitting.map(toFieldViolation) }).finish();
    details.push({ typeUrl: BAD_REQUEST_TYPE, value: badRequest });
  }
  return { code, details: text, statusDetails: Status.encode({ code, message: text, details }).finish() };
}

/** Which kind of limit: what to do about it differs, and it tells nothing of a key or a plaintext. */
const limitKinds: Partial<Readonly<Record<ErrorCode, string>>> = {
  TOKEN_TOO_LARGE: 'size',
  HEADER_TOO_LARGE: 'size',
  INNER_TOO_LARGE: 'size',
  NESTED_TOO_DEEP: 'size',
  TOO_MANY_TOKENS: 'count',
  TOO_MANY_AGREEMENTS: 'count',
  TOO_MANY_MESSAGES: 'count',
  MESSAGE_RATE: 'rate',
  RECEIVE_LIMIT: 'capacity',
  CALLER_RATE: 'rate',
  STORED_BYTES: 'rate',
  POOL_FULL: 'capacity',
  REPLAY_STORE_FULL: 'capacity',
};

const utf8 = new TextEncoder();

/** As many violations as fit. */
function fitViolations(violations: readonly Violation[]): Violation[] {
  let bytes = 0;
  const fitting: Violation[] = [];
  for (const violation of violations) {
    bytes += 16 + utf8.encode(violation.path + violation.rule).length;
    if (bytes > MAX_VIOLATION_BYTES) break;
    fitting.push(violation);
  }
  return fitting;
}

function toFieldViolation({ path, rule }: Violation): BadRequest['fieldViolations'][number] {
  return { field: path, description: rule, reason: '', localizedMessage: undefined };
}

/**
 * Reads our `ErrorInfo` out of a serialized `google.rpc.Status`.
 *
 * @param statusDetails value of the {@link STATUS_DETAILS_KEY} trailer
 * @returns the details, or undefined when it is malformed, not ours, or has a reason that this version does not know
 */
export function readErrorDetails(statusDetails: Uint8Array): ServiceErrorDetails | undefined {
  try {
    const { details } = Status.decode(statusDetails);
    const info = details.find(({ typeUrl }) => typeUrl === ERROR_INFO_TYPE);
    if (info === undefined) return undefined;
    const badRequest = details.find(({ typeUrl }) => typeUrl === BAD_REQUEST_TYPE);
    return toDetails(ErrorInfo.decode(info.value), badRequest && BadRequest.decode(badRequest.value));
  } catch {
    // Malformed details say nothing; the status code still does.
  }
  return undefined;
}
