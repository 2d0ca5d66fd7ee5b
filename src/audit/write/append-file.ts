/** Files that are appended to, cut back after a failed write, and synced on demand. */
import { closeSync, constants, fdatasync, fstatSync, ftruncate, openSync, write } from 'node:fs';
import { rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import { SealwireError } from '../../errors.js';
import { findOthersRights } from '../../files/own-files.js';
import { type NewContent, replaceFile, rethrowSync } from '../../files/replace-file.js';

/** The file operations that a log needs; tests inject failures into them. */
export interface AppendFile {
  /** Appends all bytes, or throws with some of them written. */
  append(bytes: Uint8Array): Promise<void>;
  /** Cuts the file to a size that it had. */
  cut(size: number): Promise<void>;
  /** Makes everything appended durable. Must not run twice at a time: the system reports a failure once. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** A file that was opened, and how large it is. */
export interface OpenedFile {
  readonly file: AppendFile;
  readonly size: number;
}

/**
 * Opens a file for appending; creates it with mode 0600.
 *
 * @param path not a symbolic link
 * @param isNew there must be none yet
 * @throws SealwireError `AUDIT_FILE_INVALID` when others may change it; the system's errors
 */
export function openAppendFile(path: string, isNew = false): OpenedFile {
  const { O_RDWR, O_CREAT, O_APPEND, O_NOFOLLOW, O_NONBLOCK, O_EXCL } = constants;
  const flags = O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | (isNew ? O_EXCL : 0);
  const fd = openSync(path, flags, 0o600);
  try {
    const found = fstatSync(fd);
    const odd = found.isFile() ? findOthersRights(found) : 'is not a file';
    if (odd !== undefined) throw new SealwireError('AUDIT_FILE_INVALID', `${path}: ${odd}`);
    return { file: new DescriptorFile(fd), size: found.size };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/**
 * Replaces a file of the log. One call at a time for each path.
 *
 * @param wrap see `wrapFile` of the log's options
 */
export async function replaceLogFile(
  path: string,
  content: NewContent,
  wrap: (file: AppendFile) => AppendFile = (file) => file,
): Promise<void> {
  const temporary = `${path}.tmp`;
  await rm(temporary, { force: true });
  await replaceFile(path, content, { temporary, create: () => wrap(openAppendFile(temporary).file) });
}

/** Whether a write failed for lack of space, which may pass. A failed sync never counts, whatever its code. */
export function isDiskFull(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

const writeAsync = promisify(write) as (fd: number, bytes: Uint8Array) => Promise<{ bytesWritten: number }>;
const fdatasyncAsync = promisify(fdatasync);
const ftruncateAsync = promisify(ftruncate);

class DescriptorFile implements AppendFile {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  async append(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.length > 0) {
      const { bytesWritten } = await writeAsync(this.#fd, rest);
      if (bytesWritten === 0) throw new Error('nothing was written');
      rest = rest.subarray(bytesWritten);
    }
  }

  cut(size: number): Promise<void> {
    return ftruncateAsync(this.#fd, size);
  }

  sync(): Promise<void> {
    return fdatasyncAsync(this.#fd).catch(rethrowSync);
  }

  async close(): Promise<void> {
    closeSync(this.#fd);
  }
}
