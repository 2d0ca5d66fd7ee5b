/** Keys as the browser client sees them: a public key to seal to, and where it comes from. */
import type { Curve } from '../../profile/algorithms.js';
import type { Members } from '../../profile/header-members.js';
import {
  checkKid,
  checkPublic,
  checkSealingJwk,
  invalidKey,
  type JwkPoint,
  thumbprintInput,
} from '../../profile/jwk-rules.js';
import { sha256, utf8, type WebCryptoKey } from './subtle.js';

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

/**
 * @param jwk of a public key; a `kid` in it must be its thumbprint
 * @throws SealwireError `KEY_INVALID`, also for a private key: it has no business in a page
 */
export async function importWebRecipientKey(jwk: object): Promise<WebRecipientKey> {
  checkPublic(jwk);
  const point = checkSealingJwk(jwk as Members);
  const kid = await thumbprint(point);
  checkKid(jwk as Members, kid);
  return { kid, crv: point.crv, publicKey: await importPoint(point, 'ECDH') };
}

/** RFC 7638 SHA-256 thumbprint, base64url. */
export function thumbprint(point: JwkPoint): Promise<string> {
  return sha256(utf8.encode(thumbprintInput(point)));
}

/** @throws SealwireError `KEY_INVALID` for a point that is not on the curve, and on a curve that the browser lacks */
export async function importPoint({ kty, crv, x, y }: JwkPoint, name: 'ECDH' | 'ECDSA'): Promise<WebCryptoKey> {
  try {
    const usages = name === 'ECDSA' ? (['verify'] as const) : [];
    return await crypto.subtle.importKey('jwk', { kty, crv, x, y }, { name, namedCurve: crv }, false, [...usages]);
  } catch (error) {
    const isUnknown = (error as { readonly name?: unknown }).name === 'NotSupportedError';
    throw invalidKey(isUnknown ? `WebCrypto has no ${crv} here` : 'the point is not on the curve');
  }
}
