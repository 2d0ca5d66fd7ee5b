/** Recipients' public keys, from PEM, JWK or a JWK Set file. */
import { SealwireError } from '../errors.js';
import type { RecipientKey } from '../jwe/recipient.js';
import { parseKeySet, readKeyFile } from './files.js';
import { importKey } from './import.js';

/**
 * @param input PEM (SPKI) or JWK of a public key
 * @throws SealwireError `KEY_INVALID`, also for a private key: it has no business with a sender
 */
export async function recipientKey(input: string | object): Promise<RecipientKey> {
  const { jwk, publicKey, privateKey } = await importKey(input);
  if (privateKey !== undefined) throw new SealwireError('KEY_INVALID', 'a private key in place of a public one');
  return { kid: jwk.kid, crv: jwk.crv, publicKey };
}

/**
 * @param source path of a JWK Set file, or a parsed JWK Set
 * @returns its keys; the first is the one to use
 * @throws SealwireError `KEY_FILE_MISSING`, `KEY_FILE_INVALID`, `KEY_INVALID`
 */
export async function loadPublicKeys(source: string | { readonly keys: readonly object[] }): Promise<RecipientKey[]> {
  const keys =
    typeof source === 'string' ? parseKeySet(source, await readKeyFile(source, { secret: false })) : source.keys;
  return Promise.all(keys.map(recipientKey));
}
