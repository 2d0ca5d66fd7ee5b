/** What a handler gives its caller, in forms with which grpc-js does not fail where nobody can catch it. */
import { type Metadata, type ServerErrorResponse, status } from '@grpc/grpc-js';
import { SealwireError } from '../errors.js';
import { INTERNAL_STATUS } from '../schema/error-status.js';
import { toStatusObject } from './status-object.js';

/** Names that Node's HTTP/2 refuses (RFC 9113 §8.2.2). */
const FORBIDDEN_NAME = /^(?:connection|http2-settings|keep-alive|proxy-connection|te|transfer-encoding|upgrade)$/;

/** Above 64 KiB of both, nothing goes out any more, and neither does it in other calls of the connection. */
const MAX_METADATA_BYTES = 32_768;
const MAX_DETAILS_BYTES = 16_384;

/**
 * A status object as it is; our own errors by the mapping; anything else as `INTERNAL` with fixed text.
 *
 * @param report told of what was hidden
 */
export function toServiceError(error: unknown, report: (error: unknown) => void): ServerErrorResponse {
  if (error instanceof SealwireError) {
    const { code, details, metadata } = toStatusObject(error);
    if (error.reason === undefined) report(error);
    return { name: 'Error', message: details, code, details, metadata };
  }
  const misuse = isStatus(error) ? findStatusMisuse(error) : undefined;
  if (isStatus(error) && misuse === undefined) {
    const { code, details, metadata } = error;
    return { name: 'Error', message: details, code, details, ...(metadata && { metadata }) };
  }
  report(misuse ?? error);
  return { name: 'Error', message: INTERNAL_STATUS.text, code: status.INTERNAL, details: INTERNAL_STATUS.text };
}

interface HandlerStatus {
  readonly code: status;
  readonly details: string;
  readonly metadata?: Metadata;
}

function isStatus(error: unknown): error is HandlerStatus {
  if (typeof error !== 'object' || error === null) return false;
  const { code, details } = error as { code?: unknown; details?: unknown };
  return Number.isInteger(code) && (code as number) >= 1 && (code as number) <= 16 && typeof details === 'string';
}

function findStatusMisuse({ details, metadata }: HandlerStatus): SealwireError | undefined {
  // Half of a surrogate pair makes grpc-js throw.
  const bytes = Buffer.from(details);
  if (bytes.toString() !== details) return misuse('the details of a status are no well-formed text');
  if (encodeURI(details).length > MAX_DETAILS_BYTES) return misuse('the details of a status are over 16 KiB');
  return findMisuse(metadata, 'the metadata of a status');
}

function misuse(why: string): SealwireError {
  return new SealwireError('OPTIONS_INVALID', why);
}

/**
 * Looks at what a handler gives for metadata; it may come from another copy of grpc-js.
 *
 * @param what the value in words, for the error
 * @param hint what may have been meant
 * @returns what is wrong with it; undefined for metadata and for none
 */
export function findMisuse(value: unknown, what: string, hint = ''): SealwireError | undefined {
  if (value === undefined || value === null) return undefined;
  const { toHttp2Headers } = value as Partial<Metadata>;
  if (typeof toHttp2Headers !== 'function') return misuse(`${what} must be Metadata${hint}`);
  const headers = Object.entries(toHttp2Headers.call(value));
  const [forbidden] = headers.find(([name]) => FORBIDDEN_NAME.test(name)) ?? [];
  if (forbidden !== undefined) return misuse(`${what} has the name ${forbidden}, which HTTP/2 forbids`);
  const bytes = headers.reduce((sum, [name, values]) => sum + name.length + String(values).length, 0);
  return bytes > MAX_METADATA_BYTES ? misuse(`${what} has over 32 KiB`) : undefined;
}
