/** The service's key files: made on first run, loaded afterwards. */
import { chown, mkdir, stat } from 'node:fs/promises';
import { SealwireError } from '../errors.js';
import { findOddFolder } from '../files/own-files.js';
import { servicePaths } from '../files/service-paths.js';
import { generatePem } from '../keys/generate-pem.js';
import type { KeyRing, KeyRingOptions } from '../keys/ring.js';
import { importRingKey, type RingKey, withDates } from '../keys/ring-file.js';
import { RingStore } from '../keys/ring-store.js';
import type { Curve } from '../profile/algorithms.js';

/** What was loaded, and whether it was made just now. */
export interface LoadedKeys {
  readonly ring: KeyRing;
  readonly created: boolean;
  /**
   * Gives the ring file a version when it has none, or that of other keys.
   *
   * @returns the ring as it is then
   * @throws SealwireError `KEY_FILE_INVALID` when the file cannot be written here
   */
  stamp(): Promise<KeyRing>;
}

/** Options of {@link loadKeys}; a new ring is encrypted when there is a passphrase. */
export interface LoadKeysOptions extends KeyRingOptions {
  /** Folder of a ring that was made elsewhere. Default: that of the service, where one is made on first run. */
  readonly folder?: string | undefined;
}

/**
 * Loads the key ring, or makes one on first run; writes the public key set either way.
 *
 * @throws SealwireError `KEY_FILE_MODE`, `KEY_FILE_INVALID`, `KEY_FILE_INCOMPLETE`, `KEY_FILE_WRITE`, `KEY_FILE_BUSY`,
 *   `KEY_FILE_ENCRYPTED`, `KEY_PASSPHRASE_WRONG`, `KEY_FILE_MISSING` in a given folder
 */
export async function loadKeys(dir: string, options: LoadKeysOptions = {}): Promise<LoadedKeys> {
  const { passphrase, folder, ...ring } = options;
  const { ring: path, publicKeys, keySet: signedPath } = servicePaths(dir, folder);
  await makeKeyFolder(dir);
  const store = new RingStore({ path, signedPath, ring, ...(passphrase && { passphrase }) });
  const stamp = async () => {
    try {
      if (folder === undefined) return await store.stamp();
    } catch (error) {
      if (!(error instanceof SealwireError && error.code === 'KEY_FILE_WRITE')) throw error;
    }
    const why = 'has no member changed, or that of other keys, and is only read here: run sealwire keys stamp on it';
    throw new SealwireError('KEY_FILE_INVALID', `${path}: ${why}`);
  };
  const make = async () => [await createFirstKey('P-521')];
  const found = folder === undefined ? await store.ensure(make) : { ring: await store.load(), created: false };
  const loaded = found.ring.version() === undefined ? await stamp() : found.ring;
  await loaded.savePublic(publicKeys);
  return { ring: loaded, created: found.created, stamp };
}

/**
 * Makes the folder of the keys, for its owner only; root makes it for the owner of `dir`.
 *
 * @throws SealwireError `KEY_FILE_WRITE`; `KEY_FILE_INVALID` when others can change it, or something in it is not a
 *   file
 */
export async function makeKeyFolder(dir: string): Promise<void> {
  const { keys: folder } = servicePaths(dir);
  try {
    const first = await mkdir(folder, { recursive: true, mode: 0o700 });
    if (first === folder && process.geteuid?.() === 0) {
      const { uid, gid } = await stat(dir);
      await chown(folder, uid, gid);
    }
  } catch (error) {
    const { code = 'cannot be created' } = error as NodeJS.ErrnoException;
    throw new SealwireError('KEY_FILE_WRITE', `${folder}: ${code}`);
  }
  const odd = await findOddFolder(folder);
  if (odd !== undefined) throw new SealwireError('KEY_FILE_INVALID', odd);
}

/** A key that senders use from now on, without end. */
export async function createFirstKey(curve: Curve, nowMs = Date.now()): Promise<RingKey> {
  return withDates(await importRingKey(generatePem(curve)), { active: Math.floor(nowMs / 1_000) });
}
