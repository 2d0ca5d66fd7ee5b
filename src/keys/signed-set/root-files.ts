/** Files of the signing root: made once, and replaced while clients pin both roots. */
import { rename } from 'node:fs/promises';
import { SealwireError } from '../../errors.js';
import { isTaken } from '../files.js';
import type { PassphraseSource } from '../protected-file.js';
import { loadVerificationKey, SigningKey, type VerificationKey } from './signing-key.js';

/** Paths of a root and of its successor. */
export interface RootPaths {
  readonly root: string;
  readonly rootPublic: string;
  readonly next: string;
  readonly nextPublic: string;
  /** The one before, kept until no client pins it. */
  readonly old: string;
}

/** @param root path of the private half, e.g. `keys/root.json`; the others are beside it */
export function rootPaths(root: string): RootPaths {
  const stem = root.endsWith('.json') ? root.slice(0, -'.json'.length) : root;
  return {
    root,
    rootPublic: `${stem}.pub.json`,
    next: `${stem}.next.json`,
    nextPublic: `${stem}.next.pub.json`,
    old: `${stem}.old.json`,
  };
}

/**
 * Makes a root.
 *
 * @param passphrase encrypts it. Default: plain
 * @throws SealwireError `KEY_FILE_WRITE` also when there is one already
 */
export async function createRoot(paths: RootPaths, passphrase?: PassphraseSource): Promise<SigningKey> {
  await refuseExisting(paths.root, paths.rootPublic);
  return writeNew(paths.root, paths.rootPublic, passphrase);
}

/**
 * Makes the root that will follow. Nothing changes for anybody until {@link finishRootRotation}.
 *
 * @throws SealwireError `KEY_FILE_WRITE` also when a rotation is under way
 */
export async function beginRootRotation(paths: RootPaths, passphrase?: PassphraseSource): Promise<SigningKey> {
  await refuseExisting(paths.next, paths.nextPublic);
  // A root may be kept from the service that owns the folder.
  return writeNew(paths.next, paths.nextPublic, passphrase, paths.root);
}

/**
 * Puts the next root in place of the current one, which is kept. Can be run again after a crash.
 *
 * @returns the new root
 * @throws SealwireError `KEY_FILE_MISSING` when no rotation was begun, `KEY_FILE_WRITE`, those of reading the next root
 */
export async function finishRootRotation(paths: RootPaths, passphrase?: PassphraseSource): Promise<SigningKey> {
  const { key, isMoved } = await findNext(paths, passphrase);
  try {
    if (!isMoved) {
      // A crash after this leaves the next root where it is found again.
      await rename(paths.root, paths.old).catch(ignoreMissing);
      await rename(paths.next, paths.root);
    }
    await rename(paths.nextPublic, paths.rootPublic).catch(ignoreMissing);
  } catch (error) {
    throw new SealwireError(
      'KEY_FILE_WRITE',
      `${paths.root}: ${(error as NodeJS.ErrnoException).code ?? 'not written'}`,
    );
  }
  await key.savePublic(paths.rootPublic);
  return key;
}

/** The next root, and whether a crash came when it was already in place but its public half was not. */
async function findNext(
  { root, next, nextPublic }: RootPaths,
  passphrase?: PassphraseSource,
): Promise<{ readonly key: SigningKey; readonly isMoved: boolean }> {
  if (!(await isTaken(next)) && (await isTaken(nextPublic))) {
    const key = await SigningKey.load(root, passphrase);
    // Another root: the next one was removed.
    if (key.kid === (await loadVerificationKey(nextPublic)).kid) return { key, isMoved: true };
  }
  return { key: await SigningKey.load(next, passphrase), isMoved: false };
}

/**
 * The public half of the root; of an encrypted one too. @throws SealwireError `KEY_FILE_MISSING`, `KEY_FILE_INVALID`
 */
export function loadRootPublic(paths: RootPaths): Promise<VerificationKey> {
  return loadVerificationKey(paths.rootPublic);
}

async function writeNew(
  path: string,
  publicPath: string,
  passphrase?: PassphraseSource,
  like = path,
): Promise<SigningKey> {
  const key = await SigningKey.generate();
  await key.save(path, passphrase, { isNew: true, like });
  await key.savePublic(publicPath);
  return key;
}

async function refuseExisting(...paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    if (await isTaken(path)) throw new SealwireError('KEY_FILE_WRITE', `${path}: the file exists already`);
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
