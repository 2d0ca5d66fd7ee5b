/** What a failed call tells of itself, by whatever transport it came. */
import { type ErrorCode, type Reason, reasonByStep, SealwireError, type Violation } from '../errors.js';

/** `google.rpc.ErrorInfo.domain` of every error of ours. */
export const ERROR_DOMAIN = 'sealwire';

/** What is known of a failed call. */
export interface ErrorDetails {
  /** Undefined for failures on this side that no service could have, such as `KEY_SET_EXPIRED`. */
  readonly reason: Reason | undefined;
  /** Which check or rule failed, for failures found on this side; undefined for what the service said. */
  readonly code: ErrorCode | undefined;
  /** Path of the sealed field, such as `items[3].card`. */
  readonly field: string | undefined;
  /** All of `ErrorInfo.metadata`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** With `INNER_MESSAGE_INVALID`: the rules that the inner messages break, as many as the trailers hold. */
  readonly violations: readonly Violation[];
}

/** What a service said about a failed call. */
export type ServiceErrorDetails = ErrorDetails & { readonly reason: Reason; readonly code: undefined };

/** A decoded `google.rpc.ErrorInfo`. */
interface ToldInfo {
  readonly reason: string;
  readonly domain: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** One of a decoded `google.rpc.BadRequest`. */
interface ToldViolation {
  readonly field: string;
  readonly description: string;
}

/**
 * @returns what two decoded details say; undefined when they are not ours, or have a reason that this version does not
 *   know
 */
export function toDetails(
  { reason, domain, metadata }: ToldInfo,
  badRequest: { readonly fieldViolations: readonly ToldViolation[] } | undefined,
): ServiceErrorDetails | undefined {
  if (domain !== ERROR_DOMAIN || !isReason(reason)) return undefined;
  const told = badRequest?.fieldViolations ?? [];
  const violations = told.map(({ field, description }) => ({ path: field, rule: description }));
  return { reason, code: undefined, field: metadata['field'], metadata, violations };
}

/**
 * What is known of a failed call, from the error that a caller got.
 *
 * @param error it, or its `cause`, may be ours: then it was found on this side
 * @param told what the service said, if it said something
 */
export function describeFailure(error: unknown, told: ServiceErrorDetails | undefined): ErrorDetails | undefined {
  const own = error instanceof SealwireError ? error : (error as { readonly cause?: unknown } | undefined)?.cause;
  if (!(own instanceof SealwireError)) return told;
  const { reason, code, path: field, violations = [] } = own;
  return { reason, code, field, metadata: told?.metadata ?? {}, violations };
}

const reasons: ReadonlySet<string> = new Set(Object.values(reasonByStep));

function isReason(text: string): text is Reason {
  return reasons.has(text);
}
