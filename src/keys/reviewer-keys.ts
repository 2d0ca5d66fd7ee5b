/** A reviewer's key: a file of one private key, and one of its public half for the service's configuration. */
import type { KeyObject } from 'node:crypto';
import { SealwireError } from '../errors.js';
import type { RecipientKey } from '../jwe/recipient.js';
import type { Curve } from '../profile/algorithms.js';
import { isTaken, parseKeySet, readKeyFile, writeKeyFile } from './files.js';
import { generatePem } from './generate-pem.js';
import { type ImportedKey, importKey } from './import.js';
import { type PassphraseSource, readProtectedFile, writeProtectedFile } from './protected-file.js';

/** Where a key was put. */
export interface ReviewerKeyFiles {
  readonly kid: string;
  readonly privateFile: string;
  readonly publicFile: string;
}

/**
 * Makes a key.
 *
 * @param path of the private key, `NAME.json`; the public one becomes `NAME.pub.json`. Neither may exist
 * @param passphrase encrypts the private key file. Default: it is plain JSON
 * @param curve default P-521
 * @throws SealwireError `OPTIONS_INVALID`, `KEY_FILE_WRITE`
 */
export async function createReviewerKey(
  path: string,
  passphrase?: PassphraseSource,
  curve: Curve = 'P-521',
): Promise<ReviewerKeyFiles> {
  if (!path.endsWith('.json')) throw new SealwireError('OPTIONS_INVALID', `${path}: must end with .json`);
  const publicFile = path.replace(/\.json$/, '.pub.json');
  for (const file of [path, publicFile]) {
    if (await isTaken(file)) throw new SealwireError('OPTIONS_INVALID', `${file} exists already`);
  }
  const { jwk, privateKey } = await importKey(generatePem(curve));
  const { d } = (privateKey as KeyObject).export({ format: 'jwk' });
  const asSet = (key: object) => `${JSON.stringify({ keys: [key] }, null, 2)}\n`;
  await writeProtectedFile(path, asSet({ ...jwk, d }), 'jwk-set+json', passphrase, { isNew: true });
  await writeKeyFile(publicFile, asSet(jwk), 0o644, { isNew: true });
  return { kid: jwk.kid, privateFile: path, publicFile };
}

/**
 * @param path JWK Set, JWK or PEM of one public key
 * @throws SealwireError `KEY_FILE_MISSING`, `KEY_FILE_INVALID`, also for a private key: it has no business with the
 *   service
 */
export async function loadReviewerKey(path: string): Promise<RecipientKey> {
  const { jwk, publicKey, privateKey } = await loadOne(path, await readKeyFile(path, { secret: false }));
  if (privateKey !== undefined) {
    throw new SealwireError('KEY_FILE_INVALID', `${path}: a private key; the service needs the public one only`);
  }
  return { kid: jwk.kid, crv: jwk.crv, publicKey };
}

/** A reviewer's private key. */
export interface ReviewerPrivateKey {
  readonly kid: string;
  readonly privateKey: KeyObject;
}

/**
 * @param path JWK Set, encrypted or not, JWK or PEM of one private key, mode 0600
 * @param passphrase asked only when the file is encrypted
 * @throws SealwireError `KEY_FILE_INVALID`, and those of {@link readProtectedFile}
 */
export async function loadReviewerPrivateKey(path: string, passphrase: PassphraseSource): Promise<ReviewerPrivateKey> {
  const { jwk, privateKey } = await loadOne(path, (await readProtectedFile(path, 'jwk-set+json', passphrase)).text);
  if (privateKey === undefined) throw new SealwireError('KEY_FILE_INVALID', `${path}: not a private key`);
  return { kid: jwk.kid, privateKey };
}

async function loadOne(path: string, text: string): Promise<ImportedKey> {
  try {
    const isSet = !text.includes('-----BEGIN') && text.includes('"keys"');
    const keys = isSet ? parseKeySet(path, text) : [text];
    if (keys.length !== 1) throw new SealwireError('KEY_FILE_INVALID', 'must hold one key');
    return await importKey(keys[0] as string | object);
  } catch (error) {
    const why = error instanceof SealwireError ? error.message.replace(`${path}: `, '') : 'unreadable';
    throw new SealwireError('KEY_FILE_INVALID', `${path}: ${why}`);
  }
}
