/** Sealed replies: their names, and what each must say to be the next one of its call. */
import { SealwireError } from '../errors.js';
import type { Members } from './header-members.js';
import { type Expected, TOKEN_TYPE } from './policy.js';
import type { TokenParts } from './token-form.js';

/** Metadata key of the reply token. */
export const REPLY_METADATA = 'sealwire-reply';
/** `fld` of a reply token. */
export const REPLY_FIELD = 'sealwire.v1.reply';
/** `alg` of a reply. */
export const REPLY_ALGORITHM = 'A256KW';
/** `enc` of a reply. */
export const REPLY_ENCRYPTION = 'A256GCM';

const WRAPPED_CEK_BYTES = 40;
/** 16 bytes in base64url, in the one text they have. */
const CALL_ID = /^[A-Za-z0-9_-]{21}[AQgw]$/;

/** How an inner message is encoded. */
export type ContentType = 'application/protobuf' | 'application/json';

/** What a reply says that was checked. */
export interface ReplyClaims {
  readonly cty: ContentType;
  /** Which call the service made it in. */
  readonly cid: string;
}

/** The replies of one call, in order. */
export class ReplyOrder {
  readonly #kid: string;
  readonly #rto: string;
  /** As the first reply has it. */
  #cid: string | undefined;
  #seq = 0;

  /**
   * @param kid of the agreement's reply key
   * @param rto SHA-256 of the reply token that was sent with the call
   */
  constructor(kid: string, rto: string) {
    this.#kid = kid;
    this.#rto = rto;
  }

  /**
   * Compares a reply with its place in the call, before it is decrypted.
   *
   * @throws SealwireError `ALGORITHM_NOT_ALLOWED`, `HEADER_VALUE`, `TOKEN_PART_LENGTH`, `POLICY_TYPE`,
   *   `FIELD_MISMATCH`, `BINDING_MISMATCH`, `REPLY_MISMATCH` (another call, also one with the same reply token, another
   *   agreement, or out of order)
   */
  check({ encryptedKey, iv, tag }: TokenParts, header: Members, expected: Expected): ReplyClaims {
    const { alg, enc, kid, typ, cty, fld, iat, bnd, rto, cid, seq } = header;
    if (alg !== REPLY_ALGORITHM || enc !== REPLY_ENCRYPTION)
      throw new SealwireError('ALGORITHM_NOT_ALLOWED', 'not the algorithms of a reply');
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
    if (kid !== this.#kid || rto !== this.#rto) throw new SealwireError('REPLY_MISMATCH', 'made for another call');
    if (typeof cid !== 'string' || !CALL_ID.test(cid)) throw new SealwireError('HEADER_VALUE', 'cid is not 16 bytes');
    if (cid !== (this.#cid ?? cid)) throw new SealwireError('REPLY_MISMATCH', 'of another call with this reply token');
    if (seq !== this.#seq) throw new SealwireError('REPLY_MISMATCH', 'not the next reply of this call');
    return { cty, cid };
  }

  /** Goes on to the next reply, once the tag of this one was verified. */
  advance({ cid }: ReplyClaims): void {
    this.#cid = cid;
    this.#seq++;
  }
}
