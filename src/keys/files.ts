/** Key files: read only when nobody else can, written so that a crash leaves the old file or the new one. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { SealwireError } from '../errors.js';
import { decodeText } from '../files/file-text.js';
import { findOthersRights, isGivenByRoot } from '../files/own-files.js';
import { replaceFile } from '../files/replace-file.js';

const MAX_KEY_FILE_BYTES = 1_048_576;
/** Why a file is neither read nor written. */
export const TOO_LARGE = `too large: a key file has at most ${MAX_KEY_FILE_BYTES} bytes`;

/** Options of {@link readKeyFile}. */
export interface ReadKeyFileOptions {
  /** Refuse a file that group or others can read, or that another user but root owns. */
  readonly secret: boolean;
}

/**
 * @param path a key file of at most 1 MiB
 * @returns its text, without a byte order mark and with plain line ends
 * @throws SealwireError `KEY_FILE_MISSING`, `KEY_FILE_MODE`, `KEY_FILE_INVALID`
 */
export async function readKeyFile(path: string, { secret }: ReadKeyFileOptions): Promise<string> {
  // Opening a pipe would wait for whoever writes to it.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: unknown) => {
    const { code } = cause as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'no such file' : `cannot be opened (${code})`;
    throw new SealwireError('KEY_FILE_MISSING', `${path}: ${why}`);
  });
  try {
    const found = await file.stat();
    const { mode, size } = found;
    if (found.isDirectory()) throw new SealwireError('KEY_FILE_INVALID', `${path}: a folder, not a file`);
    if (!found.isFile()) throw new SealwireError('KEY_FILE_INVALID', `${path}: not a file`);
    if (secret && (mode & 0o077) !== 0 && !isGivenByRoot(found)) {
      const octal = (mode & 0o777).toString(8).padStart(4, '0');
      throw new SealwireError('KEY_FILE_MODE', `${path}: mode ${octal} lets others read it; run chmod 600 ${path}`);
    }
    const rights = secret ? findOthersRights(found) : undefined;
    if (rights !== undefined) throw new SealwireError('KEY_FILE_MODE', `${path}: ${rights}`);
    if (size > MAX_KEY_FILE_BYTES) throw new SealwireError('KEY_FILE_INVALID', `${path}: ${TOO_LARGE}`);
    return decodeText(await file.readFile());
  } finally {
    await file.close();
  }
}

/** Options of {@link writeKeyFile}. */
export interface WriteKeyFileOptions {
  /** Refuse to replace anything, even what cannot be read. Default false. */
  readonly isNew?: boolean;
  /** A file whose owner and group a new one gets. Default: the one that is replaced, else, for root, the folder. */
  readonly like?: string;
}

/**
 * Replaces a file of at most 1 MiB; others may do so at the same time. Owner, group and permissions stay as they are; a
 * new file that root makes belongs to the owner of the folder.
 *
 * @param mode permissions of a new file, e.g. 0o600; one that is for its owner only stays so
 * @throws SealwireError `KEY_FILE_WRITE`
 */
export async function writeKeyFile(
  path: string,
  text: string,
  mode: number,
  { isNew = false, like = path }: WriteKeyFileOptions = {},
): Promise<void> {
  // It could not be read again.
  if (Buffer.byteLength(text) > MAX_KEY_FILE_BYTES) {
    throw new SealwireError('KEY_FILE_WRITE', `${path}: ${TOO_LARGE}`);
  }
  const create = async (name: string) => {
    const file = await open(name, 'wx', mode);
    await keepOwner(file, like, mode, isNew && like === path).catch((error: unknown) =>
      file.close().then(() => Promise.reject(error)),
    );
    return { append: (bytes: Uint8Array) => file.writeFile(bytes), sync: () => file.sync(), close: () => file.close() };
  };
  try {
    const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
    await replaceFile(path, text, { temporary, create, isNew });
  } catch (cause) {
    if (cause instanceof SealwireError) throw cause;
    const { code = 'cannot be written' } = cause as NodeJS.ErrnoException;
    throw new SealwireError('KEY_FILE_WRITE', `${path}: ${code === 'EEXIST' ? 'the file exists already' : code}`);
  }
}

/** A service that runs as another user than the one who changes its files must go on reading them. */
async function keepOwner(file: FileHandle, path: string, mode: number, isAlone: boolean): Promise<void> {
  const replaced = isAlone ? undefined : await stat(path).catch(() => undefined);
  const isRoot = process.geteuid?.() === 0;
  const owner = replaced ?? (isRoot ? await stat(dirname(path)) : undefined);
  if (owner === undefined) return;
  const secret = (mode & 0o077) === 0;
  const kept = replaced === undefined ? mode : replaced.mode & (secret ? 0o700 : 0o777);
  const made = await file.stat();
  if (made.uid !== owner.uid || made.gid !== owner.gid) {
    await file.chown(owner.uid, owner.gid).catch(() => {
      if (made.uid === owner.uid || (kept & 0o004) !== 0) return;
      const who = `it belongs to user ${owner.uid}, who could not read it any more`;
      throw new SealwireError('KEY_FILE_WRITE', `${path}: ${who}; run this as that user or as root`);
    });
  }
  await file.chmod(kept);
}

/**
 * Whether a service that runs as the owner of its folder can read a private key file there.
 *
 * @returns why it cannot, in words; undefined when it can, or there is no such file
 */
export async function findUnreadable(path: string): Promise<string | undefined> {
  const [file, folder] = await Promise.all([path, dirname(path)].map((each) => stat(each).catch(() => undefined)));
  if (file === undefined || folder === undefined || folder.uid === 0 || folder.uid === file.uid) return undefined;
  const owner = `user ${folder.uid}, who owns the folder`;
  return `${path}: belongs to user ${file.uid}, and ${owner}, cannot read it: chown ${folder.uid} ${path}`;
}

/** The suffix that {@link writeKeyFile} gives to the name of an unfinished file. */
export const UNFINISHED = /^\.[0-9a-f]{12}\.tmp$/;
/** An unfinished file older than this, in ms, belongs to no writer any more. */
export const ABANDONED_MS = 60_000;

/**
 * Removes what a killed writer left behind; it may hold private keys.
 *
 * @param path the file that was to be written
 * @param form the rest of an unfinished file's name
 * @param ageMs younger ones stay
 */
export async function removeLeftovers(path: string, form: RegExp, ageMs: number): Promise<void> {
  const folder = dirname(path);
  const start = basename(path);
  const names = await readdir(folder).catch(() => []);
  for (const name of names.filter((each) => each.startsWith(start) && form.test(each.slice(start.length)))) {
    const file = join(folder, name);
    const { mtimeMs } = await stat(file).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
    if (ageMs === 0 || Date.now() - mtimeMs >= ageMs) await rm(file, { force: true });
  }
}

/** Whether anything has that name, even a dangling link or a file that cannot be opened. */
export function isTaken(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    ({ code }: NodeJS.ErrnoException) => code !== 'ENOENT' && code !== 'ENOTDIR',
  );
}

/** Distinguishes one version of a file from another; undefined when there is no file. */
export async function fileVersion(path: string): Promise<string | undefined> {
  try {
    const { dev, ino, size, mode, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, mode, mtimeNs, ctimeNs].join(' ');
  } catch {
    return undefined;
  }
}

/** @throws SealwireError `KEY_FILE_INVALID` unless the text is JSON with an array in `keys` */
export function parseKeySet(path: string, text: string): readonly object[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's message quotes the text.
    throw new SealwireError('KEY_FILE_INVALID', `${path}: not JSON`);
  }
  const keys = (value as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(keys) || !keys.every((key) => typeof key === 'object' && key !== null)) {
    throw new SealwireError('KEY_FILE_INVALID', `${path}: not a JWK Set`);
  }
  return keys;
}
