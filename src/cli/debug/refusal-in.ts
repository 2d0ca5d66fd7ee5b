/** Finds the details of an error in what gRPC tools print. The text is untrusted. */
import { BadRequest, ErrorInfo } from '../../gen/portable/google/rpc/error_details.js';
import { Status } from '../../gen/portable/google/rpc/status.js';
import type { ServiceErrorDetails } from '../../profile/error-details.js';
import { readErrorDetails } from '../../schema/error-status.js';

/** A `google.protobuf.Any`. */
interface Packed {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

const PREFIX = 'type.googleapis.com/';
const INFO = 'google.rpc.ErrorInfo';
const VIOLATIONS = 'google.rpc.BadRequest';

/**
 * Knows grpcurl (JSON and text, with and without `-format-error`, types that it does not recognise), `buf curl` and
 * other Connect clients, and the trailer `grpc-status-details-bin` of a verbose output.
 *
 * @returns undefined when there is no error of ours in the text
 */
export function findRefusal(text: string): ServiceErrorDetails | undefined {
  const told = readPacked(text);
  if (told !== undefined) return told;
  const [, trailer] = /grpc-status-details-bin: *([\w+/-]+=*)/i.exec(text) ?? [];
  return trailer === undefined ? undefined : readErrorDetails(Buffer.from(trailer, 'base64'));
}

function readPacked(text: string): ServiceErrorDetails | undefined {
  try {
    const details = [...objectsIn(text).flatMap(packedIn), ...packedInText(text)];
    return readErrorDetails(Status.encode({ code: 0, message: '', details }).finish());
  } catch {
    // Details with members of other types.
    return undefined;
  }
}

/** JSON objects with other text around them. */
function objectsIn(text: string): unknown[] {
  const found: unknown[] = [];
  const start = /\{(?=\s*")/g;
  for (let match = start.exec(text); match !== null; match = start.exec(text)) {
    const object = text.slice(match.index, endOf(text, match.index));
    try {
      found.push(JSON.parse(object));
      start.lastIndex = match.index + object.length;
    } catch {
      // A brace of something else.
    }
  }
  return found;
}

/** @returns the index after the brace that closes the one at `start` */
function endOf(text: string, start: number): number {
  const mark = /"(?:[^"\\]|\\.)*"|[{}]/g;
  mark.lastIndex = start;
  let depth = 0;
  for (let match = mark.exec(text); match !== null; match = mark.exec(text)) {
    if (match[0] === '{') depth++;
    else if (match[0] === '}' && --depth === 0) return mark.lastIndex;
  }
  return text.length;
}

/** Of a status, or of one of its details. */
function packedIn(value: unknown): Packed[] {
  if (typeof value !== 'object' || value === null) return [];
  const { details, error, type, value: base64, ...any } = value as Readonly<Record<string, unknown>>;
  if (Array.isArray(details)) return details.flatMap(packedIn);
  if (error !== undefined) return packedIn(error);
  if (typeof type === 'string' && typeof base64 === 'string') return [pack(type, Buffer.from(base64, 'base64'))];
  const name = String(any['@type']).replace(PREFIX, '');
  const raw = any['@value'];
  if (typeof raw === 'string') return [pack(name, Buffer.from(raw, 'base64'))];
  if (name === INFO) {
    const { reason = '', domain = '', metadata = {} } = any as Partial<ErrorInfo>;
    return [pack(name, ErrorInfo.encode({ reason, domain, metadata }).finish())];
  }
  if (name !== VIOLATIONS) return [];
  const { fieldViolations = [] } = any as Partial<BadRequest>;
  const complete = fieldViolations.map((one) => ({ ...NO_VIOLATION, field: one.field, description: one.description }));
  return [pack(name, BadRequest.encode({ fieldViolations: complete }).finish())];
}

const NO_VIOLATION = { reason: '', localizedMessage: undefined };

function pack(name: string, value: Uint8Array): Packed {
  return { typeUrl: `${PREFIX}${name}`, value };
}

/** The text form of protobuf, where the values of details are quoted bytes. */
function packedInText(text: string): Packed[] {
  const details = text.matchAll(/type_url: *"type\.googleapis\.com\/([\w.]+)"\s+value: *"((?:[^"\\]|\\.)*)"/g);
  return [...details].map(([, name = '', quoted = '']) => pack(name, unquote(quoted)));
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' };

function unquote(quoted: string): Uint8Array {
  const parts = quoted.matchAll(/\\([0-7]{1,3})|\\x([0-9a-fA-F]{1,2})|\\(.)|([^\\]+)/g);
  return Buffer.concat(
    [...parts].map(([, octal, hex, escaped, plain]) => {
      if (octal !== undefined) return Buffer.of(Number.parseInt(octal, 8));
      if (hex !== undefined) return Buffer.of(Number.parseInt(hex, 16));
      return Buffer.from(escaped === undefined ? (plain ?? '') : (ESCAPES[escaped] ?? escaped));
    }),
  );
}
