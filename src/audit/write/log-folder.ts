/** The folder of a log, opened by its one writer. */
import { mkdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SealwireError } from '../../errors.js';
import { type FileLock, FileLockBusy, takeFileLock } from '../../file-lock.js';
import { refuseWritable } from './append-file.js';

const LOCK_FILE = 'lock';

/** A folder that this process alone writes to. */
export interface LogFolder {
  /** Without symbolic links. */
  readonly path: string;
  readonly lock: FileLock;
}

/**
 * Opens a log's folder for writing, alone.
 *
 * @param dir created with mode 0700 if it is missing
 * @throws SealwireError `AUDIT_FILE_INVALID` when another process writes there, others may change the log, or the
 *   folder cannot be used
 */
export function openFolder(dir: string): Promise<LogFolder> {
  return explain(dir, async () => {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const path = await realpath(dir);
    refuseWritable(path, (await stat(path)).mode);
    return { path, lock: await takeFileLock(join(path, LOCK_FILE)) };
  });
}

/** Runs `work`, and turns the system's errors into ours, with the place. */
export async function explain<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof SealwireError) throw error;
    if (error instanceof FileLockBusy) {
      throw new SealwireError('AUDIT_FILE_INVALID', `${path}: ${error.holder} writes this log`);
    }
    const { code, cause } = error as NodeJS.ErrnoException;
    const why = code ?? (cause as NodeJS.ErrnoException | undefined)?.code ?? 'cannot be used';
    throw new SealwireError('AUDIT_FILE_INVALID', `${path}: ${why}`);
  }
}
