/** Opening what a service sealed for its caller: the replies of one call, in their order. */
import { SealwireError } from '../../errors.js';
import { concatBytes } from '../../profile/bytes.js';
import { parseHeaderPart } from '../../profile/header-members.js';
import { DEFAULT_LIMITS } from '../../profile/limits.js';
import { type ContentType, ReplyOrder } from '../../profile/replies.js';
import { splitToken, type TokenParts } from '../../profile/token-form.js';
import type { WebReplyKey } from './agreement.js';
import { decodeBase64url, sha256, utf8, type WebCryptoKey } from './subtle.js';

/** What was in a sealed reply. */
export interface OpenedWebReply {
  /** The encoded inner message. */
  readonly plaintext: Uint8Array;
  /** How it is encoded. */
  readonly cty: ContentType;
}

/** Opens the replies of one call; each must be the next one. */
export class WebReplyOpener {
  readonly #key: WebCryptoKey;
  readonly #order: ReplyOrder;
  /** The reply before: whoever opens several at once gets them checked one after the other. */
  #previous: Promise<unknown> = Promise.resolve();

  private constructor(key: WebCryptoKey, order: ReplyOrder) {
    this.#key = key;
    this.#order = order;
  }

  /** @param replyToken the one that is sent with the call */
  static async create({ key, kid }: WebReplyKey, replyToken: string): Promise<WebReplyOpener> {
    return new WebReplyOpener(key, new ReplyOrder(kid, await sha256(utf8.encode(replyToken))));
  }

  /**
   * @param token a compact JWE
   * @param field full name of the field where it stood
   * @param bound the encoded bound siblings; undefined where the field binds none
   * @throws SealwireError those of {@link splitToken}, `parseHeaderPart` and {@link ReplyOrder.check};
   *   `DECRYPTION_FAILED`
   */
  open(token: string, field: string, bound: Uint8Array | undefined): Promise<OpenedWebReply> {
    const opened = this.#previous.then(() => this.#open(token, field, bound));
    this.#previous = opened.catch(() => {});
    return opened;
  }

  async #open(token: string, field: string, bound: Uint8Array | undefined): Promise<OpenedWebReply> {
    const parts = splitToken(token, DEFAULT_LIMITS, decodeBase64url);
    const header = parseHeaderPart(parts.headerPart, DEFAULT_LIMITS.headerBytes, decodeBase64url);
    const expected = bound === undefined ? { field } : { field, bound: await sha256(bound) };
    const claims = this.#order.check(parts, header, expected);
    const plaintext = await this.#decrypt(parts);
    this.#order.advance(claims);
    return { plaintext, cty: claims.cty };
  }

  async #decrypt({ headerPart, encryptedKey, iv, ciphertext, tag }: TokenParts): Promise<Uint8Array> {
    const { subtle } = crypto;
    const aes = { name: 'AES-GCM', length: 256 };
    // A random CEK where none unwraps (RFC 7516 §11.5): both failures are one.
    const cek = await subtle
      .unwrapKey('raw', encryptedKey, this.#key, 'AES-KW', aes, false, ['decrypt'])
      .catch(() => subtle.generateKey(aes, false, ['decrypt']));
    try {
      const algorithm = { name: 'AES-GCM', iv, additionalData: utf8.encode(headerPart), tagLength: tag.length * 8 };
      return new Uint8Array(await subtle.decrypt(algorithm, cek, concatBytes(ciphertext, tag)));
    } catch {
      throw new SealwireError('DECRYPTION_FAILED', 'decryption failed');
    }
  }
}
