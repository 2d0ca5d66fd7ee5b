/** WebCrypto for the rules of signed key sets. */
import type { Members } from '../../profile/header-members.js';
import { checkKid, checkPublic, checkSigningJwk } from '../../profile/jwk-rules.js';
import type { KeySetVerifier } from '../../profile/key-sets/verify-key-set.js';
import { importPoint, importWebRecipientKey, thumbprint, type WebRecipientKey } from '../crypto/recipient.js';
import { decodeBase64url, type WebCryptoKey } from '../crypto/subtle.js';

/** A public signing key with its RFC 7638 thumbprint. */
export interface WebVerificationKey {
  readonly kid: string;
  readonly key: WebCryptoKey;
}

export const webVerifier: KeySetVerifier<WebRecipientKey, WebVerificationKey> = {
  decode: decodeBase64url,
  importSealingKey: importWebRecipientKey,
  async importVerificationKey(members) {
    checkPublic(members);
    const point = checkSigningJwk(members as Members);
    const kid = await thumbprint(point);
    checkKid(members as Members, kid);
    return { kid, key: await importPoint(point, 'ECDSA') };
  },
  async isSignedBy({ signed, signature }, { key }) {
    try {
      return await crypto.subtle.verify({ name: 'ECDSA', hash: 'SHA-512' }, key, signature, signed);
    } catch {
      return false;
    }
  },
};
