/** The service's key files: made on first run, loaded afterwards. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SealwireError } from '../errors.js';
import { KeyRing } from '../keys/ring.js';

/** Where things are. */
export interface KeyPaths {
  readonly ring: string;
  readonly publicKeys: string;
  readonly root: string;
  readonly rootPublic: string;
  /** Signs the checkpoints of the audit log. */
  readonly log: string;
}

/** @param dir the service's folder */
export function keyPaths(dir: string): KeyPaths {
  const keys = join(dir, 'keys');
  return {
    ring: join(keys, 'ring.json'),
    publicKeys: join(keys, 'public.jwks.json'),
    root: join(keys, 'root.json'),
    rootPublic: join(keys, 'root.pub.json'),
    log: join(keys, 'log.key'),
  };
}

/** What was loaded, and whether it was made just now. */
export interface LoadedKeys {
  readonly ring: KeyRing;
  readonly created: boolean;
}

/**
 * Loads the key ring, or makes one on first run; writes the public key set either way.
 *
 * @throws SealwireError `KEY_FILE_MODE`, `KEY_FILE_INVALID`, `KEY_FILE_WRITE`
 */
export async function loadKeys(dir: string): Promise<LoadedKeys> {
  const paths = keyPaths(dir);
  await mkdir(join(dir, 'keys'), { recursive: true, mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    throw new SealwireError('KEY_FILE_WRITE', `${join(dir, 'keys')}: ${error.code ?? 'cannot be created'}`);
  });
  let created = false;
  const ring = await KeyRing.load(paths.ring).catch(async (error: unknown) => {
    if (!(error instanceof SealwireError) || error.code !== 'KEY_FILE_MISSING') throw error;
    const fresh = await KeyRing.create('P-521');
    await fresh.save(paths.ring);
    created = true;
    return fresh;
  });
  await ring.savePublic(paths.publicKeys);
  return { ring, created };
}
