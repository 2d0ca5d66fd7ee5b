/** Node's cryptography for the rules of signed key sets. */
import { decodeCanonical } from '../../jwe/base64url.js';
import type { RecipientKey } from '../../jwe/recipient.js';
import type { KeySetVerifier } from '../../profile/key-sets/verify-key-set.js';
import { recipientKey } from '../public-keys.js';
import { isSignedBy } from './jws.js';
import { importVerificationKey, type VerificationKey } from './signing-key.js';

export const verifier: KeySetVerifier<RecipientKey, VerificationKey> = {
  decode: decodeCanonical,
  importVerificationKey,
  importSealingKey: recipientKey,
  isSignedBy: (jws, { key }) => isSignedBy(jws, key),
};
