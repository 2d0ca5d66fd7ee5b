/** Takes a compact JWE apart (checks 1 to 3 as far as no key is needed). */
import { SealwireError } from '../errors.js';
import { encryptedKeyBytes, encryptions } from '../profile/algorithms.js';
import type { OpenLimits } from '../profile/limits.js';
import { CBC_BLOCK_BYTES, splitToken as split, type TokenParts } from '../profile/token-form.js';
import { decodeCanonical } from './base64url.js';
import { parseHeader, type TokenHeader } from './header.js';
import type { HeaderCache } from './header-cache.js';

/** A token by the profile whose form is good. */
export interface ParsedToken extends TokenParts<Buffer> {
  /** The compact JWE as received. */
  readonly token: string;
  readonly header: TokenHeader;
  /** Name of the agreement, if the cache knew the header. */
  readonly agreementId: string | undefined;
}

/** As {@link split}. */
export function splitToken(token: string, limits: OpenLimits): TokenParts<Buffer> {
  return split(token, limits, decodeCanonical);
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
