/**
 * Replies: what a service seals for its caller. The caller's reply token brings an agreement; a key
 * derived from it wraps the CEKs of plain `A256KW` tokens that name the call, the place and the order.
 */
import { randomBytes } from 'node:crypto';
import { SealwireError } from '../errors.js';
import type { OpenLimits } from '../profile/limits.js';
import { type Expected, TOKEN_TYPE } from '../profile/policy.js';
import type { SealParameters } from '../profile/seal-parameters.js';
import { decryptContent, encryptGcm, headerAad } from './content.js';
import type { Grant } from './grant.js';
import { parseMembers } from './header.js';
import type { ReplyKey } from './reply-key.js';
import { sha256 } from './sha256.js';
import { splitToken } from './token.js';

const ALG = 'A256KW';
const ENC = 'A256GCM';
const WRAPPED_CEK_BYTES = 40;
const CALL_ID_BYTES = 16;
/** So many bytes in base64url, in the one text they have. */
const CALL_ID = /^[A-Za-z0-9_-]{21}[AQgw]$/;

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
      alg: ALG,
      enc: ENC,
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
  readonly #rto: string;
  readonly #limits: OpenLimits;
  /** As the first reply has it. */
  #cid: string | undefined;
  #seq = 0;

  /** @param replyToken the one that was sent with the call */
  constructor(key: ReplyKey, replyToken: string, limits: OpenLimits) {
    this.#key = key;
    this.#rto = replyTo(replyToken);
    this.#limits = limits;
  }

  /**
   * @param token a compact JWE
   * @param expected field and binding at this place
   * @returns the plaintext and its content type
   * @throws SealwireError those of {@link splitToken}, `ALGORITHM_NOT_ALLOWED`, `HEADER_VALUE`, `TOKEN_PART_LENGTH`,
   *   `POLICY_TYPE`, `FIELD_MISMATCH`, `BINDING_MISMATCH`, `REPLY_MISMATCH` (another call, also one with the same reply
   *   token, another agreement, or out of order), `DECRYPTION_FAILED`
   */
  open(token: string, expected: Expected): { readonly plaintext: Buffer; readonly cty: string } {
    const parts = splitToken(token, this.#limits);
    const { headerPart, encryptedKey, iv, tag } = parts;
    const { alg, enc, kid, typ, cty, fld, iat, bnd, rto, cid, seq } = parseMembers(
      headerPart,
      this.#limits.headerBytes,
    );
    if (alg !== ALG || enc !== ENC) throw new SealwireError('ALGORITHM_NOT_ALLOWED', 'not the algorithms of a reply');
    if (encryptedKey.length !== WRAPPED_CEK_BYTES || iv.length !== 12 || tag.length !== 16) {
      throw new SealwireError('TOKEN_PART_LENGTH', 'a token part has a wrong length');
    }
    if (typ !== TOKEN_TYPE || (cty !== 'application/protobuf' && cty !== 'application/json')) {
      throw new SealwireError('POLICY_TYPE', 'not the types of a reply');
    }
    if (!Number.isSafeInteger(iat) || (iat as number) < 0)
      throw new SealwireError('HEADER_VALUE', 'iat is not a time in whole seconds');
    if (fld !== expected.field) throw new SealwireError('FIELD_MISMATCH', 'made for another field');
    if (bnd !== expected.bound) throw new SealwireError('BINDING_MISMATCH', 'made for other sibling values');
    if (kid !== this.#key.kid || rto !== this.#rto) throw new SealwireError('REPLY_MISMATCH', 'made for another call');
    if (typeof cid !== 'string' || !CALL_ID.test(cid)) throw new SealwireError('HEADER_VALUE', 'cid is not 16 bytes');
    if (cid !== (this.#cid ?? cid)) throw new SealwireError('REPLY_MISMATCH', 'of another call with this reply token');
    if (seq !== this.#seq) throw new SealwireError('REPLY_MISMATCH', 'not the next reply of this call');
    const cek = this.#key.unwrap(encryptedKey);
    const plaintext = decryptContent(ENC, cek, headerAad(headerPart), parts);
    this.#cid = cid;
    this.#seq++;
    return { plaintext, cty };
  }
}
