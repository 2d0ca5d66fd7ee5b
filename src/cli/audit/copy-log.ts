/**
 * Copies a log that is being written, so that the copy verifies and can be continued: what its checkpoint covers is
 * whole, and what it has on top is as after a crash.
 */
import { readdirSync, statSync } from 'node:fs';
import { mkdir, open, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  CHECKPOINT_FILE,
  CHECKPOINTS_FILE,
  listSegments,
  RETIRED_FILE,
  type SegmentFileKind,
  segmentFile,
  VERIFIER_KEY_FILE,
} from '../../audit/format/log-files.js';
import type { NoteVerifier } from '../../audit/format/note-keys.js';
import { readLatestCheckpoint } from '../../audit/read/checkpoint-queue.js';
import { readItemBlocks, readOrThrow } from '../../audit/read/line-blocks.js';
import { SealwireError } from '../../errors.js';
import { syncFolder } from '../../files/replace-file.js';

/** Options of {@link copyLog}. */
export interface CopyOptions {
  /** Folder of the log. */
  readonly dir: string;
  /** Where to copy it: a folder that is empty, or is made with mode 0700. */
  readonly to: string;
  /** The log's key. */
  readonly verifier: NoteVerifier;
  /** Called at times with the bytes copied and those that there are. */
  readonly progress?: (done: number, total: number) => void;
}

/** What was copied. */
export interface CopiedLog {
  readonly files: number;
  readonly bytes: number;
}

/** Leaves and frontier before lines: of what a checkpoint covers, all three are there. */
const ORDER: readonly SegmentFileKind[] = ['leaves', 'frontier', 'jsonl'];
/** How often a copy is begun anew because retention removed what it was about to copy. */
const MAX_ATTEMPTS = 3;

/**
 * @throws SealwireError `OPTIONS_INVALID` when something is at `to` already, `AUDIT_FILE_INVALID` when the log has no
 *   good checkpoint, a file of it cannot be read, or the copy cannot be written. Nothing is left of a copy then.
 */
export async function copyLog(options: CopyOptions): Promise<CopiedLog> {
  const { dir, to, verifier } = options;
  readCheckpoint(dir, verifier);
  try {
    await mkdir(to, { recursive: true, mode: 0o700 });
    if ((await readdir(to)).length > 0)
      throw new SealwireError('OPTIONS_INVALID', `${to}: not empty; name a new folder`);
    return await tryCopy(options);
  } catch (error) {
    if (error instanceof SealwireError) throw error;
    const why = (error as NodeJS.ErrnoException).code ?? 'cannot be written';
    throw new SealwireError('AUDIT_FILE_INVALID', `${to}: ${why}`, { cause: error });
  }
}

async function tryCopy(options: CopyOptions): Promise<CopiedLog> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await copyOnce(options);
    } catch (error) {
      for (const name of await readdir(options.to)) await rm(join(options.to, name));
      // Retention has removed lines that were there a moment ago.
      const isRemoved = ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
      if (!isRemoved || attempt === MAX_ATTEMPTS) throw error;
    }
  }
}

async function copyOnce({ dir, to, verifier, progress }: CopyOptions): Promise<CopiedLog> {
  const copied = { files: 0, bytes: 0 };
  const copy = async (names: readonly string[]) => {
    const sizes = names.map((name) => readOrThrow(join(dir, name), () => statSync(join(dir, name)).size));
    const total = sizes.reduce((sum, size) => sum + size, copied.bytes);
    for (const name of names) {
      await copyFile(join(dir, name), join(to, name), (bytes) => {
        copied.bytes += bytes;
        progress?.(copied.bytes, total);
      });
      copied.files++;
    }
  };
  const list = () => readOrThrow(dir, () => readdirSync(dir));
  const before = list();
  await copy(before.filter((name) => name === CHECKPOINTS_FILE));
  // After the older ones, so that none is missing between, and before the segments, so that they have all it covers.
  const { note, size } = readCheckpoint(dir, verifier);
  // What has gone since the first look, too: the record that tells of it may not be covered.
  const names = [...new Set([...before, ...list()])];
  for (const kind of ORDER) {
    const firsts = listSegments(names, kind).filter((first) => first < size);
    await copy(firsts.map((first) => segmentFile(first, kind)));
  }
  // After the lines, so that it tells at least of those that are not there.
  await copy(list().filter((name) => name === RETIRED_FILE || name === VERIFIER_KEY_FILE));
  // Last: without it, an unfinished copy is no log.
  await writeFile(join(to, CHECKPOINT_FILE), note, { mode: 0o600, flag: 'wx', flush: true });
  await syncFolder(to);
  return { files: copied.files + 1, bytes: copied.bytes + Buffer.byteLength(note) };
}

function readCheckpoint(dir: string, verifier: NoteVerifier): { readonly note: string; readonly size: number } {
  const latest = readLatestCheckpoint(dir, verifier);
  if (latest?.checkpoint !== undefined) return { note: latest.note, size: latest.checkpoint.size };
  throw new SealwireError(
    'AUDIT_FILE_INVALID',
    `${dir}: ${latest?.finding?.detail ?? 'no log, or one without checkpoint'}`,
  );
}

async function copyFile(from: string, to: string, onWritten: (bytes: number) => void): Promise<void> {
  const file = await open(to, 'wx', 0o600);
  try {
    for (const block of readItemBlocks(from, 1)) {
      await file.writeFile(block);
      onWritten(block.length);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}
