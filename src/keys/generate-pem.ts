/** Makes EC keys in a form in which they can be kept. */
import { generateKeyPairSync } from 'node:crypto';
import { opensslCurves } from '../jwe/openssl-curves.js';
import type { Curve } from '../profile/algorithms.js';

/** A new private key, as PKCS#8. Encoded while it is made: see `runAgreement` for what an export afterwards can do. */
export function generatePem(curve: Curve): string {
  const { privateKey } = generateKeyPairSync('ec', {
    namedCurve: opensslCurves[curve].name,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  return privateKey;
}
