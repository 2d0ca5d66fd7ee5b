/** The folder of a log, opened by its one writer. */
import { mkdir, readdir, realpath, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { SealwireError } from '../../errors.js';
import { type FileLock, FileLockBusy, takeFileLock } from '../../files/file-lock.js';
import { findOddFolder } from '../../files/own-files.js';
import { CHECKPOINT_FILE, CHECKPOINTS_FILE, listSegments, segmentFile } from '../format/log-files.js';
import { readItemBlocks } from '../read/line-blocks.js';
import { replaceLogFile } from './append-file.js';
import type { Reporter } from './reports.js';

const LOCK_FILE = 'lock';
/** Less is no room: a short record may fit into the last block of a file, and that of a call not. */
export const ROOM_BYTES = 1_048_576;

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
 * @param report told when it takes time to find out whether another writer is still there
 * @param signal ends that
 * @throws SealwireError `AUDIT_FILE_INVALID` when another process writes there, others may change the log, or the
 *   folder cannot be used
 */
export function openFolder(dir: string, report: Reporter, signal?: AbortSignal): Promise<LogFolder> {
  return explain(dir, async () => {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const path = await realpath(dir);
    const odd = await findOddFolder(path);
    if (odd !== undefined) throw new SealwireError('AUDIT_FILE_INVALID', odd);
    const onWait = (holder: string) =>
      report({ level: 'warn', message: 'waiting up to 10 s for the lock of the audit log', facts: { path, holder } });
    return { path, lock: await takeFileLock(join(path, LOCK_FILE), { onWait, signal }) };
  });
}

/** @returns bytes that are free for this process on the disk of a folder */
export async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

/** Another process has taken over the folder. */
export class LockLost extends Error {
  override readonly name = 'LockLost';
}

/** Puts copies in the place of files that a paused writer may have open: what it appends when it wakes goes nowhere. */
export async function detachFiles(dir: string): Promise<void> {
  const names = await readdir(dir);
  const last = listSegments(names, 'jsonl').at(-1) ?? 0;
  const open = [segmentFile(last, 'jsonl'), segmentFile(last, 'leaves'), CHECKPOINTS_FILE];
  for (const name of open) {
    const path = join(dir, name);
    // No link: it could have something copied here that whoever made it cannot read, such as a key.
    if (names.includes(name)) await replaceLogFile(path, readItemBlocks(path, 1));
  }
  // Nor may it put a checkpoint in its place that it has begun.
  await rm(join(dir, `${CHECKPOINT_FILE}.tmp`), { force: true });
}

/** Runs `work`, and turns the system's errors into ours, with the file if they name one, else the folder. */
export async function explain<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof SealwireError) throw error;
    if (error instanceof FileLockBusy) {
      const why = `${error.holder} writes this log; stop it, or use another folder`;
      throw new SealwireError('AUDIT_FILE_INVALID', `${folder}: ${why}`);
    }
    const { code, cause, path = folder } = error as NodeJS.ErrnoException;
    const why = code ?? (cause as NodeJS.ErrnoException | undefined)?.code ?? 'cannot be used';
    throw new SealwireError('AUDIT_FILE_INVALID', `${path}: ${why}`);
  }
}
