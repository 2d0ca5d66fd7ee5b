/**
 * Replies: what a service seals for its caller. The caller's reply token brings an agreement; a key
 * derived from it wraps the CEKs of plain `A256KW` tokens that name the call, the place and the order.
 */
import { randomBytes } from 'node:crypto';
import { SealwireError } from '../errors.js';
import type { OpenLimits } from '../profile/limits.js';
import { type Expected, TOKEN_TYPE } from '../profile/policy.js';
import { type ContentType, REPLY_ALGORITHM, REPLY_ENCRYPTION, ReplyOrder } from '../profile/replies.js';
import type { SealParameters } from '../profile/seal-parameters.js';
import { decryptContent, encryptGcm, headerAad } from './content.js';
import type { Grant } from './grant.js';
import { parseMembers } from './header.js';
import type { ReplyKey } from './reply-key.js';
import { sha256 } from './sha256.js';
import { splitToken } from './token.js';

const CALL_ID_BYTES = 16;

/** `rto`: which reply token, and so which call, a reply belongs to. */
function replyTo(replyToken: string): string {
  return sha256(replyToken);
}

/**
 * `req`: which request a reply token is for. @param request the uncompressed bytes of the message, without gRPC's
 * prefix
 */
export function requestDigest(request: Uint8Array): string {
  return sha256(request);
}

/** Seals the replies of one call, numbering them. */
export class ReplySealer {
  readonly #key: ReplyKey;
  readonly #rto: string;
  /** Identifies this call, even among calls with the same reply token. */
  #cid: string | undefined;
  readonly #limits: OpenLimits;
  #seq = 0;

  /** @param replyToken the caller's, as received */
  constructor(key: ReplyKey, replyToken: string, limits: OpenLimits) {
    this.#key = key;
    this.#rto = replyTo(replyToken);
    this.#limits = limits;
  }

  /**
   * @param plaintext the encoded inner message
   * @param grant given the token's content encryption key
   * @returns a compact JWE
   * @throws SealwireError `INNER_TOO_LARGE`, `HEADER_TOO_LARGE`
   */
  seal(plaintext: Uint8Array, { field, cty, bound, iat }: SealParameters, grant?: Grant): string {
    if (plaintext.length > this.#limits.innerBytes) {
      throw new SealwireError('INNER_TOO_LARGE', `the inner message exceeds ${this.#limits.innerBytes} bytes`);
    }
    this.#cid ??= randomBytes(CALL_ID_BYTES).toString('base64url');
    const header = JSON.stringify({
      alg: REPLY_ALGORITHM,
      enc: REPLY_ENCRYPTION,
      kid: this.#key.kid,
      typ: TOKEN_TYPE,
      cty,
      fld: field,
      iat,
      bnd: bound,
      rto: this.#rto,
      cid: this.#cid,
      seq: this.#seq,
    });
    if (header.length > this.#limits.headerBytes)
      throw new SealwireError('HEADER_TOO_LARGE', 'the header is too large');
    this.#seq++;
    const part = Buffer.from(header).toString('base64url');
    const cek = randomBytes(32);
    const iv = randomBytes(12);
    const wrapped = this.#key.wrap(cek);
    const [ciphertext, tag] = encryptGcm(cek, iv, headerAad(part), plaintext);
    grant?.take(cek);
    cek.fill(0);
    return [part, ...[wrapped, iv, ciphertext, tag].map((bytes) => bytes.toString('base64url'))].join('.');
  }
}

/** Opens the replies of one call; each must be the next one. */
export class ReplyOpener {
  readonly #key: ReplyKey;
  readonly #order: ReplyOrder;
  readonly #limits: OpenLimits;

  /** @param replyToken the one that was sent with the call */
  constructor(key: ReplyKey, replyToken: string, limits: OpenLimits) {
    this.#key = key;
    this.#order = new ReplyOrder(key.kid, replyTo(replyToken));
    this.#limits = limits;
  }

  /**
   * @param token a compact JWE
   * @param expected field and binding at this place
   * @returns the plaintext and its content type
   * @throws SealwireError those of {@link splitToken} and of {@link ReplyOrder.check}, `DECRYPTION_FAILED`
   */
  open(token: string, expected: Expected): { readonly plaintext: Buffer; readonly cty: ContentType } {
    const parts = splitToken(token, this.#limits);
    const { headerPart, encryptedKey } = parts;
    const claims = this.#order.check(parts, parseMembers(headerPart, this.#limits.headerBytes), expected);
    const cek = this.#key.unwrap(encryptedKey);
    const plaintext = decryptContent(REPLY_ENCRYPTION, cek, headerAad(headerPart), parts);
    this.#order.advance(claims);
    return { plaintext, cty: claims.cty };
  }
}
