/** A reviewer's key: a file of one private key, and one of its public half for the service's configuration. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { access } from 'node:fs/promises';
import { SealwireError } from '../errors.js';
import { type Curve, curves } from '../jwe/algorithms.js';
import type { RecipientKey } from '../jwe/recipient.js';
import { parseKeySet, readKeyFile, writeKeyFile } from './files.js';
import { type ImportedKey, importKey } from './import.js';

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
 * @param curve default P-521
 * @throws SealwireError `OPTIONS_INVALID`, `KEY_FILE_WRITE`
 */
export async function createReviewerKey(path: string, curve: Curve = 'P-521'): Promise<ReviewerKeyFiles> {
  if (!path.endsWith('.json')) throw new SealwireError('OPTIONS_INVALID', `${path}: must end with .json`);
  const publicFile = path.replace(/\.json$/, '.pub.json');
  for (const file of [path, publicFile]) {
    const exists = await access(file).then(
      () => true,
      () => false,
    );
    if (exists) throw new SealwireError('OPTIONS_INVALID', `${file}: is there already`);
  }
  const pair = generateKeyPairSync('ec', { namedCurve: curves[curve].openssl });
  const { jwk, privateKey } = await importKey(pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
  const { d } = (privateKey as KeyObject).export({ format: 'jwk' });
  const write = (file: string, key: object, mode: number) =>
    writeKeyFile(file, `${JSON.stringify({ keys: [key] }, null, 2)}\n`, mode);
  await write(path, { ...jwk, d }, 0o600);
  await write(publicFile, jwk, 0o644);
  return { kid: jwk.kid, privateFile: path, publicFile };
}

/**
 * @param path JWK Set, JWK or PEM of one public key
 * @throws SealwireError `KEY_FILE_MISSING`, `KEY_FILE_INVALID`, also for a private key: it has no business with the service
 */
export async function loadReviewerKey(path: string): Promise<RecipientKey> {
  const { jwk, publicKey, privateKey } = await loadOne(path, false);
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
 * @param path JWK Set, JWK or PEM of one private key, mode 0600
 * @throws SealwireError `KEY_FILE_MISSING`, `KEY_FILE_MODE`, `KEY_FILE_INVALID`
 */
export async function loadReviewerPrivateKey(path: string): Promise<ReviewerPrivateKey> {
  const { jwk, privateKey } = await loadOne(path, true);
  if (privateKey === undefined) throw new SealwireError('KEY_FILE_INVALID', `${path}: not a private key`);
  return { kid: jwk.kid, privateKey };
}

async function loadOne(path: string, secret: boolean): Promise<ImportedKey> {
  const text = await readKeyFile(path, { secret });
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
