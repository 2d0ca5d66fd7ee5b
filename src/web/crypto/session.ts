/** Sealing with one agreement: many tokens, each with its own random CEK and IV. */
import { SealwireError } from '../../errors.js';
import { DEFAULT_LIMITS } from '../../profile/limits.js';
import { fixedHeader, type SealParameters } from '../../profile/seal-parameters.js';
import type { SealObserver } from '../../profile/sessions.js';
import type { WebAgreement, WebReplyKey } from './agreement.js';
import { encodeBase64url, utf8 } from './subtle.js';

const TAG_BYTES = 16;
const { innerBytes, headerBytes } = DEFAULT_LIMITS;

/** Seals tokens for one recipient key. */
export class WebSession {
  readonly replyKey: WebReplyKey;
  readonly #agreement: WebAgreement;
  readonly #observe: SealObserver;

  constructor(agreement: WebAgreement, observe: SealObserver) {
    this.replyKey = agreement.replyKey;
    this.#agreement = agreement;
    this.#observe = observe;
  }

  /**
   * @param plaintext the encoded inner message
   * @param maxBytes its most bytes. Default: the general limit
   * @returns a compact JWE by the token profile
   * @throws SealwireError `INNER_TOO_LARGE`, `HEADER_TOO_LARGE`
   */
  async seal(plaintext: Uint8Array, parameters: SealParameters, maxBytes = innerBytes): Promise<string> {
    const most = Math.min(maxBytes, innerBytes);
    if (plaintext.length > most) throw new SealwireError('INNER_TOO_LARGE', `the inner message exceeds ${most} bytes`);
    const { iat, bound, call } = parameters;
    const fixed = fixedHeader(this.#agreement, parameters, call?.mth);
    const header = utf8.encode(JSON.stringify({ ...fixed, iat, bnd: bound, req: call?.req }));
    if (header.length > headerBytes) {
      throw new SealwireError('HEADER_TOO_LARGE', `the header exceeds ${headerBytes} bytes`);
    }
    // Before anything is waited for: calls that seal at the same time count too.
    this.#observe(plaintext.length);
    const part = encodeBase64url(header);
    return [part, ...(await this.#encrypt(plaintext, utf8.encode(part))).map(encodeBase64url)].join('.');
  }

  /** @returns encrypted key, IV, ciphertext and tag */
  async #encrypt(plaintext: Uint8Array, additionalData: Uint8Array): Promise<Uint8Array[]> {
    const { subtle } = crypto;
    const iv = crypto.getRandomValues(new Uint8Array(12));
    // WebCrypto wraps none that it would not give out; nobody asks for it, and it serves one token.
    const cek = await subtle.generateKey({ name: 'AES-GCM', length: 256 }, true, ['encrypt']);
    const algorithm = { name: 'AES-GCM', iv, additionalData, tagLength: TAG_BYTES * 8 };
    const [wrapped, encrypted] = await Promise.all([
      subtle.wrapKey('raw', cek, this.#agreement.kek, 'AES-KW'),
      subtle.encrypt(algorithm, cek, plaintext),
    ]);
    const bytes = new Uint8Array(encrypted);
    return [new Uint8Array(wrapped), iv, bytes.subarray(0, -TAG_BYTES), bytes.subarray(-TAG_BYTES)];
  }
}
