/** Makes EC keys in a form in which they can be kept. */
import { generateKeyPairSync } from 'node:crypto';
import { type Curve, curves } from '../profile/algorithms.js';

/** A new private key, as PKCS#8. Encoded while it is made: see `runAgreement` for what an export afterwards can do. */
export function generatePem(curve: Curve): string {
  const { privateKey } = generateKeyPairSync('ec', {
    namedCurve: curves[curve].openssl,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  return privateKey;
}
