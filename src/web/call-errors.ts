/** Failed calls as applications of Connect see them: a `ConnectError`, whatever went wrong. */
import { Code, ConnectError } from '@connectrpc/connect';
import { SealwireError } from '../errors.js';
import { BadRequestSchema, ErrorInfoSchema } from '../gen/google/rpc/error_details_pb.js';
import { describeFailure, type ErrorDetails, type ServiceErrorDetails, toDetails } from '../profile/error-details.js';

/** The error of a call that was not made, with the fault as its cause. */
export function toConnectError(error: unknown): ConnectError {
  if (error instanceof ConnectError) return error;
  // What a key source or a credential function of the application has thrown is for the application alone.
  if (!(error instanceof SealwireError)) return failure(Code.Internal, 'internal error', error);
  return failure(codeOf(error), `sealing failed: ${error.code}: ${error.message}`, error);
}

/** What the service would answer; to what it would never see, whether a later attempt may succeed. */
function codeOf({ code, reason }: SealwireError): Code {
  if (reason === undefined) return code === 'KEY_SET_UNAVAILABLE' ? Code.Unavailable : Code.FailedPrecondition;
  return reason === 'LIMIT_EXCEEDED' ? Code.ResourceExhausted : Code.InvalidArgument;
}

/** The caller's own finding, not the service's: what came back is not what the service sealed. */
export function replyRefusal(error: unknown): ConnectError {
  const cause = error instanceof SealwireError ? error : undefined;
  const at = cause?.path === undefined ? '' : ` at ${cause.path}`;
  return failure(Code.DataLoss, `the sealed reply was refused: ${cause?.code ?? 'INTERNAL'}${at}`, cause);
}

function failure(code: Code, text: string, cause: unknown): ConnectError {
  return new ConnectError(text, code, undefined, undefined, cause);
}

/**
 * What is known of a failed call: what the service said, or what was found on this side before the call was sent or
 * in what came back (`code`; the error's `cause` is then a {@link SealwireError}).
 *
 * @param error a rejection of a call, or a {@link SealwireError}
 * @returns reason or code, field path and metadata, or undefined when the failure is not one of sealed fields
 *
 * @example
 * ```ts
 * import { errorDetails } from 'sealwire/web';
 *
 * export function explain(error: unknown): string {
 *   const details = errorDetails(error);
 *   if (details?.reason === 'SEALED_FIELD_STALE') return 'Your clock is wrong. Set it, then try again.';
 *   return details?.violations.map(({ path, rule }) => `${path}: ${rule}`).join('\n') || 'Something went wrong.';
 * }
 * ```
 */
export function errorDetails(error: unknown): ErrorDetails | undefined {
  return describeFailure(error, toldBy(error));
}

function toldBy(error: unknown): ServiceErrorDetails | undefined {
  if (!(error instanceof ConnectError)) return undefined;
  const [info] = error.findDetails(ErrorInfoSchema);
  return info && toDetails(info, error.findDetails(BadRequestSchema)[0]);
}
