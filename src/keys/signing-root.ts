/** The signing root: the key that will sign delegations of the published key set. Made on first run. */
import nodeJose from 'node-jose';
import { SealwireError } from '../errors.js';
import { readKeyFile, writeKeyFile } from './files.js';

/**
 * Makes an ES512 signing key unless there is one; writes its public half beside it.
 *
 * @param path private JWK, mode 0600
 * @param publicPath public JWK, mode 0644
 * @returns the root's RFC 7638 thumbprint
 * @throws SealwireError `KEY_FILE_MODE`, `KEY_FILE_INVALID`, `KEY_FILE_WRITE`
 */
export async function ensureSigningRoot(path: string, publicPath: string): Promise<string> {
  let text: string;
  try {
    text = await readKeyFile(path, { secret: true });
  } catch (error) {
    if (!(error instanceof SealwireError) || error.code !== 'KEY_FILE_MISSING') throw error;
    const store = nodeJose.JWK.createKeyStore();
    const key = await store.generate('EC', 'P-521', { use: 'sig', alg: 'ES512' });
    text = `${JSON.stringify(key.toJSON(true), null, 2)}\n`;
    await writeKeyFile(path, text, 0o600);
  }
  const key = await nodeJose.JWK.asKey(text, 'json').catch(() => {
    throw new SealwireError('KEY_FILE_INVALID', `${path}: not a JWK`);
  });
  await writeKeyFile(publicPath, `${JSON.stringify(key.toJSON(false), null, 2)}\n`, 0o644);
  return key.kid;
}
