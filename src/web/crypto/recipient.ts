/** Keys as the browser client sees them: a public key to seal to, and where it comes from. */
import type { Curve } from '../../profile/algorithms.js';

/** A key of the platform's WebCrypto. */
export type WebCryptoKey = Awaited<ReturnType<typeof globalThis.crypto.subtle.importKey>>;

/** What is needed to seal to somebody. */
export interface WebRecipientKey {
  /** RFC 7638 SHA-256 thumbprint. */
  readonly kid: string;
  readonly crv: Curve;
  readonly publicKey: WebCryptoKey;
}

/** Gives a recipient's current public key. */
export interface WebKeySource {
  /**
   * @param recipient name in the schema; '' is the service itself
   * @throws SealwireError `KEY_NOT_FOUND`; of a directory, one of `KEY_SET_CODES`
   */
  current(recipient: string): Promise<WebRecipientKey>;
  /** Looks for a newer key, past any cache; shared by all who ask, and at most once a second. */
  refresh(recipient: string): Promise<void>;
}
