/** The protected header as JSON: what its text must be, and the names that no header may have. */
import { SealwireError } from '../errors.js';
import { hasDuplicateNames } from './json-names.js';
import { type DecodeBase64url, maxHeaderChars } from './token-form.js';

/** Members of a JSON object; nothing of them has been checked. */
export type Members = Readonly<Record<string, unknown>>;

/** Would change what is decrypted, with which key, or how (RFC 7516 §4.1, RFC 7518 §4.8); never accepted. */
const FORBIDDEN = ['zip', 'crit', 'jwk', 'jku', 'x5u', 'x5c', 'x5t', 'x5t#S256', 'p2c', 'p2s'] as const;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The members of a protected header, whatever its algorithm.
 *
 * @param part the token's first part
 * @param headerBytes cap on the decoded size
 * @throws SealwireError `HEADER_TOO_LARGE`, `TOKEN_ENCODING`, `HEADER_UTF8`, `HEADER_JSON`,
 *   `HEADER_DUPLICATE_NAME`, `HEADER_FORBIDDEN_NAME`
 */
export function parseHeaderPart(part: string, headerBytes: number, decode: DecodeBase64url): Members {
  if (part.length > maxHeaderChars(headerBytes)) throw new SealwireError('HEADER_TOO_LARGE', 'the header is too large');
  const bytes = decode(part);
  if (bytes === undefined) throw new SealwireError('TOKEN_ENCODING', 'the header is not canonical base64url');
  const members = parseJsonObject(bytes);
  for (const name of FORBIDDEN) {
    if (Object.hasOwn(members, name)) throw new SealwireError('HEADER_FORBIDDEN_NAME', `the header has '${name}'`);
  }
  return members;
}

/**
 * JSON text of one object, as strictly as a header is read.
 *
 * @throws SealwireError `HEADER_UTF8`, `HEADER_JSON`, `HEADER_DUPLICATE_NAME`
 */
export function parseJsonObject(bytes: Uint8Array): Members {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw new SealwireError('HEADER_UTF8', 'the header is not UTF-8');
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new SealwireError('HEADER_JSON', 'the header is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new SealwireError('HEADER_JSON', 'the header is not a JSON object');
  }
  if (hasDuplicateNames(text, value)) throw new SealwireError('HEADER_DUPLICATE_NAME', 'the header repeats a name');
  return value as Members;
}
