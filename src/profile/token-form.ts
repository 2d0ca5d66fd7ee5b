/** A compact JWE (RFC 7516 §7.1) as text: its five parts and their lengths, before any of it is understood. */
import { SealwireError } from '../errors.js';
import type { OpenLimits } from './limits.js';

/** The five parts of a compact JWE, the last four decoded. */
export interface TokenParts<B extends Uint8Array = Uint8Array> {
  /** The first part as received: the additional authenticated data (RFC 7516 §5.1 step 14). */
  readonly headerPart: string;
  readonly encryptedKey: B;
  readonly iv: B;
  readonly ciphertext: B;
  readonly tag: B;
}

/** Canonical base64url; undefined for any other text. */
export type DecodeBase64url<B extends Uint8Array = Uint8Array> = (text: string) => B | undefined;

export const CBC_BLOCK_BYTES = 16;
const GCM_IV_CHARS = 16;
/** Lengths that some algorithm of the profile has: the rest is refused before the header is read. */
const KEY_BYTES: ReadonlySet<number> = new Set([0, 40, 72]);
const IV_BYTES: ReadonlySet<number> = new Set([12, 16]);
const TAG_BYTES: ReadonlySet<number> = new Set([16, 32]);

/** Five parts, the first of them a JSON object: `ey` is base64url of `{"`. */
const TOKEN_FORM = /^ey[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*){4}$/;

/** Whether a text is meant to be a token; nothing is checked. */
export function looksLikeToken(text: string): boolean {
  return TOKEN_FORM.test(text);
}

/** Most characters of a header part. */
export function maxHeaderChars(headerBytes: number): number {
  return Math.ceil((headerBytes * 4) / 3);
}

/**
 * Takes a compact JWE apart as far as that needs no header.
 *
 * @param token any text
 * @param limits size caps
 * @throws SealwireError `TOKEN_TOO_LARGE`, `HEADER_TOO_LARGE`, `INNER_TOO_LARGE`, `TOKEN_PART_COUNT`,
 *   `TOKEN_ENCODING`, `TOKEN_PART_LENGTH`
 */
export function splitToken<B extends Uint8Array>(
  token: string,
  limits: Pick<OpenLimits, 'tokenBytes' | 'headerBytes' | 'innerBytes'>,
  decode: DecodeBase64url<B>,
): TokenParts<B> {
  if (token.length > limits.tokenBytes) throw new SealwireError('TOKEN_TOO_LARGE', 'the token is too large');
  const [headerPart, keyPart, ivPart = '', ciphertextPart = '', tagPart, ...rest] = token.split('.', 6);
  if ((headerPart as string).length > maxHeaderChars(limits.headerBytes)) {
    throw new SealwireError('HEADER_TOO_LARGE', 'the header is too large');
  }
  // CBC pads to the next block, so its exact size shows after decryption only. Which of the two it claims
  // to be shows in the length of the IV, before anything is decoded.
  const slack = ivPart.length === GCM_IV_CHARS ? 0 : CBC_BLOCK_BYTES;
  if (Math.floor((ciphertextPart.length * 3) / 4) > limits.innerBytes + slack) {
    throw new SealwireError('INNER_TOO_LARGE', 'the inner message is too large');
  }
  if (tagPart === undefined || rest.length > 0) throw new SealwireError('TOKEN_PART_COUNT', 'not five parts');
  const encryptedKey = decodePart(keyPart as string, decode);
  const iv = decodePart(ivPart, decode);
  const ciphertext = decodePart(ciphertextPart, decode);
  const tag = decodePart(tagPart, decode);
  if (!KEY_BYTES.has(encryptedKey.length) || !IV_BYTES.has(iv.length) || !TAG_BYTES.has(tag.length)) {
    throw new SealwireError('TOKEN_PART_LENGTH', 'a token part has a wrong length');
  }
  return { headerPart: headerPart as string, encryptedKey, iv, ciphertext, tag };
}

function decodePart<B extends Uint8Array>(text: string, decode: DecodeBase64url<B>): B {
  const bytes = decode(text);
  if (bytes === undefined) throw new SealwireError('TOKEN_ENCODING', 'a token part is not canonical base64url');
  return bytes;
}
