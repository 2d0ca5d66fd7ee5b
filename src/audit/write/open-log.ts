/** Opens the files that a log's writer needs, in an order that a crash between any two can be recovered from. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { syncFolder } from '../../files/replace-file.js';
import { type SegmentFileKind, segmentFile } from '../format/log-files.js';
import { HASH_BYTES, type MerkleFrontier } from '../format/merkle-tree.js';
import type { NoteSigner } from '../format/note-keys.js';
import { type AppendFile, openAppendFile } from './append-file.js';
import { CheckpointStore, isLogSigned, recoverCheckpoint } from './checkpoint-store.js';
import { openLogKey } from './log-key.js';
import { recoverLog } from './recovery.js';

/** Which file an {@link AppendFile} is. */
export type WrittenFile = Exclude<SegmentFileKind, 'frontier'> | 'checkpoint' | 'checkpoints';

/** Wraps a file of a log. */
export type WrapFile = (file: AppendFile, kind: WrittenFile) => AppendFile;

/** Options of {@link openLogFiles}. */
export interface LogFilesOptions {
  /**
   * The origin of the log, and the name of its key: `NAME/INSTANCE` where a service has several logs, so that no two
   * have the same. It cannot change. Given as a function, it follows from the origin that the log began with; undefined
   * for a new one.
   */
  readonly origin: string | ((begun: string | undefined) => string);
  /** File of the key that signs checkpoints, mode 0600; made on first run. Default: `DIR.key`, beside the folder. */
  readonly keyFile?: string;
  /** For tests that need a failing file. Default: no wrapping. @internal */
  readonly wrapFile?: WrapFile;
}

/** The opened state of a log. */
export interface LogFilesFound {
  readonly checkpoints: CheckpointStore;
  /** The log's key. */
  readonly signer: NoteSigner;
  /** The tree over all records. */
  readonly frontier: MerkleFrontier;
  readonly segment: Segment;
  /** What was repaired, in sentences. */
  readonly repairs: readonly string[];
}

/** The current segment. */
export interface Segment {
  readonly firstSeq: number;
  readonly lines: AppendFile;
  readonly leaves: AppendFile;
  lineBytes: number;
  leafBytes: number;
  /** Time of its first record. */
  startedAtMs: number | undefined;
  /** The latest time of its records. */
  latestMs: number | undefined;
}

/**
 * Opens the files of a log: reads or makes its key, repairs what a crash left, makes the first checkpoint.
 *
 * @param dir the folder, which this process has for itself
 * @throws SealwireError `AUDIT_FILE_INVALID`; the system's errors
 */
export async function openLogFiles(dir: string, options: LogFilesOptions): Promise<LogFilesFound> {
  const wrap = options.wrapFile ?? ((file) => file);
  const key = await openLogKey(options.keyFile ?? `${dir}.key`, options.origin, await isLogSigned(dir));
  const { signer } = key;
  const latest = key.isNew ? undefined : await recoverCheckpoint(dir, signer.verifier);
  const { frontier, segment, repairs } = await recoverLog(dir, latest?.checkpoint);
  const files = openSegment(dir, segment.firstSeq, wrap);
  const told = [...repairs];
  let checkpoints: CheckpointStore | undefined;
  try {
    await syncFolder(dir);
    if (latest === undefined) {
      checkpoints = await CheckpointStore.create(dir, signer, wrap);
      await checkpoints.write({ size: frontier.size, root: frontier.root() });
      await key.keep();
    } else {
      checkpoints = await CheckpointStore.open(dir, signer, latest, wrap);
      if (latest.tornBytes > 0) told.push(`cut ${latest.tornBytes} bytes of a checkpoint that was not finished`);
    }
    const { firstSeq, lineBytes, startedAtMs, latestMs } = segment;
    const leafBytes = (frontier.size - firstSeq) * HASH_BYTES;
    const opened = { ...files, lineBytes, leafBytes, startedAtMs, latestMs };
    return { checkpoints, signer, frontier, segment: opened, repairs: told };
  } catch (error) {
    await Promise.allSettled([files.lines.close(), files.leaves.close(), checkpoints?.close()]);
    throw error;
  }
}

/**
 * Opens the files of a segment, or begins it.
 *
 * @param isNew somebody else's must not be in its place
 */
export function openSegment(dir: string, firstSeq: number, wrap: WrapFile, isNew = false): Segment {
  // Lines last: a segment is there once they are.
  const path = join(dir, segmentFile(firstSeq, 'leaves'));
  const leaves = openAppendFile(path, isNew);
  try {
    const lines = openAppendFile(join(dir, segmentFile(firstSeq, 'jsonl')), isNew).file;
    return {
      firstSeq,
      lines: wrap(lines, 'jsonl'),
      leaves: wrap(leaves.file, 'leaves'),
      lineBytes: 0,
      leafBytes: 0,
      startedAtMs: undefined,
      latestMs: undefined,
    };
  } catch (error) {
    void leaves.file.close();
    // The next segment may start elsewhere, and an empty leaf file would be in its way.
    if (leaves.size === 0) rmSync(path, { force: true });
    throw error;
  }
}
