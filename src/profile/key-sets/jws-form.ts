/** What a JWS (RFC 7515) of a signed key set looks like: ES512 and nothing else, checked before any key is touched. */
import { type KeySetCode, SealwireError } from '../../errors.js';
import { type Members, parseJsonObject } from '../header-members.js';
import { SIGNATURE_ALGORITHM } from '../jwk-rules.js';

/** R and S, 66 bytes each. */
const SIGNATURE_BYTES = 132;

/** What a kind of JWS looks like. */
export interface JwsForm {
  /** Exact value of the header's `typ`. */
  readonly typ: string;
  /** Header names besides `alg`, `typ` and `kid`; all must be there, and no other may. */
  readonly headerNames: readonly string[];
  /** Longest accepted text. */
  readonly maxChars: number;
}

/** A JWS whose form is right; its signature has not been verified. */
export interface ParsedJws {
  /** The signer's thumbprint, as the header claims. */
  readonly kid: string;
  readonly header: Members;
  readonly payload: Members;
  readonly signature: Uint8Array;
  /** What the signature is over. */
  readonly signed: Uint8Array;
}

/**
 * Reads a compact JWS. Whatever could choose the key or change the meaning from outside (`crit`, `jwk`, `jku`,
 * `x5u`, `b64`, …) is refused with every other name that the form does not list.
 *
 * @param decode canonical base64url; undefined for any other text
 * @throws SealwireError `KEY_SET_TOO_LARGE`, `KEY_SET_FORM`, `KEY_SET_JSON`, `KEY_SET_DUPLICATE_NAME`,
 *   `KEY_SET_ALGORITHM`, `KEY_SET_TYPE`, `KEY_SET_HEADER`, `KEY_SET_UNSIGNED`, `KEY_SET_SIGNATURE`
 */
export function parseJwsForm(
  text: string,
  { typ, headerNames, maxChars }: JwsForm,
  decode: (part: string) => Uint8Array | undefined,
): ParsedJws {
  if (text.length > maxChars) throw refuse('KEY_SET_TOO_LARGE', `longer than ${maxChars} characters`);
  const parts = text.split('.');
  if (parts.length !== 3) throw refuse('KEY_SET_FORM', 'not three parts');
  const [headerBytes, payloadBytes, signature] = parts.map((part) => {
    const bytes = decode(part);
    if (bytes === undefined) throw refuse('KEY_SET_FORM', 'a part is not canonical base64url');
    return bytes;
  }) as [Uint8Array, Uint8Array, Uint8Array];
  const header = parseObject(headerBytes);
  // Exactly this text: `none`, HMAC and their spellings all end here.
  if (header['alg'] !== SIGNATURE_ALGORITHM) throw refuse('KEY_SET_ALGORITHM', `alg is not ${SIGNATURE_ALGORITHM}`);
  if (header['typ'] !== typ) throw refuse('KEY_SET_TYPE', `typ is not ${typ}`);
  const names = ['alg', 'typ', 'kid', ...headerNames];
  if (Object.keys(header).length !== names.length || !names.every((name) => typeof header[name] === 'string')) {
    throw refuse('KEY_SET_HEADER', `the header must have exactly ${names.join(', ')}, each a string`);
  }
  if (signature.length === 0) throw refuse('KEY_SET_UNSIGNED', 'there is no signature');
  if (signature.length !== SIGNATURE_BYTES) throw refuse('KEY_SET_SIGNATURE', 'the signature is not 132 bytes');
  return {
    kid: header['kid'] as string,
    header,
    payload: parseObject(payloadBytes),
    signature,
    signed: new TextEncoder().encode(`${parts[0]}.${parts[1]}`),
  };
}

function parseObject(bytes: Uint8Array): Members {
  try {
    return parseJsonObject(bytes);
  } catch (error) {
    const repeats = error instanceof SealwireError && error.code === 'HEADER_DUPLICATE_NAME';
    if (repeats) throw refuse('KEY_SET_DUPLICATE_NAME', 'a JSON object repeats a name');
    throw refuse('KEY_SET_JSON', 'header or payload is not a JSON object');
  }
}

/** @throws SealwireError `KEY_SET_CONTENT` unless the member is a time in whole seconds */
export function readSeconds(members: Members, name: string): number {
  const value = members[name];
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw refuse('KEY_SET_CONTENT', `${name} is not a whole number from 0`);
}

/** A refusal; the message holds names and rules, never a value. */
export function refuse(code: KeySetCode, message: string): SealwireError {
  return new SealwireError(code, message);
}
