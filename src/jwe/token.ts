/** Takes a compact JWE apart (checks 1 to 3 as far as no key is needed). */
import { SealwireError } from '../errors.js';
import { encryptedKeyBytes, encryptions } from '../profile/algorithms.js';
import type { OpenLimits } from '../profile/limits.js';
import { decodePart } from './base64url.js';
import { parseHeader, type TokenHeader } from './header.js';
import type { HeaderCache } from './header-cache.js';

/** The five parts of a compact JWE, the last four decoded. */
export interface TokenParts {
  /** The first part as received: the additional authenticated data (RFC 7516 §5.1 step 14). */
  readonly headerPart: string;
  readonly encryptedKey: Buffer;
  readonly iv: Buffer;
  readonly ciphertext: Buffer;
  readonly tag: Buffer;
}

/** A token by the profile whose form is good. */
export interface ParsedToken extends TokenParts {
  /** The compact JWE as received. */
  readonly token: string;
  readonly header: TokenHeader;
  /** Name of the agreement, if the cache knew the header. */
  readonly agreementId: string | undefined;
}

const CBC_BLOCK_BYTES = 16;
const GCM_IV_CHARS = 16;
/** Lengths that some algorithm of the profile has: the rest is refused before the header is read. */
const KEY_BYTES: ReadonlySet<number> = new Set([0, 40, 72]);
const IV_BYTES: ReadonlySet<number> = new Set([12, 16]);
const TAG_BYTES: ReadonlySet<number> = new Set([16, 32]);

/**
 * Takes a compact JWE apart (RFC 7516 §7.1) as far as that needs no header.
 *
 * @param token any text
 * @param limits size caps
 * @throws SealwireError `TOKEN_TOO_LARGE`, `HEADER_TOO_LARGE`, `INNER_TOO_LARGE`, `TOKEN_PART_COUNT`,
 *   `TOKEN_ENCODING`, `TOKEN_PART_LENGTH`
 */
export function splitToken(token: string, limits: OpenLimits): TokenParts {
  if (token.length > limits.tokenBytes) throw new SealwireError('TOKEN_TOO_LARGE', 'the token is too large');
  const [headerPart, keyPart, ivPart = '', ciphertextPart = '', tagPart, ...rest] = token.split('.', 6);
  if ((headerPart as string).length > Math.ceil((limits.headerBytes * 4) / 3)) {
    throw new SealwireError('HEADER_TOO_LARGE', 'the header is too large');
  }
  // CBC pads to the next block, so its exact size shows after decryption only. Which of the two it claims
  // to be shows in the length of the IV, before anything is decoded.
  const slack = ivPart.length === GCM_IV_CHARS ? 0 : CBC_BLOCK_BYTES;
  if (Math.floor((ciphertextPart.length * 3) / 4) > limits.innerBytes + slack) {
    throw new SealwireError('INNER_TOO_LARGE', 'the inner message is too large');
  }
  if (tagPart === undefined || rest.length > 0) throw new SealwireError('TOKEN_PART_COUNT', 'not five parts');
  const encryptedKey = decodePart(keyPart as string);
  const iv = decodePart(ivPart);
  const ciphertext = decodePart(ciphertextPart);
  const tag = decodePart(tagPart);
  if (!KEY_BYTES.has(encryptedKey.length) || !IV_BYTES.has(iv.length) || !TAG_BYTES.has(tag.length)) {
    throw new SealwireError('TOKEN_PART_LENGTH', 'a token part has a wrong length');
  }
  return { headerPart: headerPart as string, encryptedKey, iv, ciphertext, tag };
}

/**
 * @param token a compact JWE by the token profile
 * @param limits size caps
 * @param known headers that need no parsing
 * @throws SealwireError those of {@link splitToken} and of {@link parseHeader}
 */
export function parseToken(token: string, limits: OpenLimits, known?: HeaderCache): ParsedToken {
  const { headerPart, encryptedKey, iv, ciphertext, tag } = splitToken(token, limits);
  const found = known?.find(headerPart, limits.headerBytes);
  const header = found?.header ?? parseHeader(headerPart, limits.headerBytes);
  const facts = encryptions[header.enc];
  const lengthsFit =
    encryptedKey.length === encryptedKeyBytes(header.alg, header.enc) &&
    iv.length === facts.ivBytes &&
    tag.length === facts.tagBytes &&
    (facts.hmac === undefined || (ciphertext.length > 0 && ciphertext.length % CBC_BLOCK_BYTES === 0));
  if (!lengthsFit) throw new SealwireError('TOKEN_PART_LENGTH', 'a token part has a wrong length');
  return { token, header, agreementId: found?.agreementId, headerPart, encryptedKey, iv, ciphertext, tag };
}
