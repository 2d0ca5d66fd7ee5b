/** The file that records are appended to: opened for one writer, repaired after a crash, synced on demand. */
import { closeSync, constants, fdatasync, fstatSync, ftruncateSync, openSync, readSync, write } from 'node:fs';
import { mkdir, open, readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SealwireError } from '../errors.js';
import { takeLock, type WriterLock } from './writer-lock.js';

const LOCK_NAME = 'lock';
const SEGMENT = /^\d{20}\.jsonl$/;
const NEWLINE = 0x0a;
const BLOCK_BYTES = 65_536;

/** The operations a log needs of its file; tests give one that fails. */
export interface AppendFile {
  /** Appends all bytes. */
  append(bytes: Buffer): Promise<void>;
  /** Makes everything appended durable. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** What was found when the log was opened. */
export interface OpenedSegment {
  readonly file: AppendFile;
  /** Sequence number of the next record. */
  readonly nextSeq: number;
  /** Bytes of a torn last line that were cut; it was never acknowledged. */
  readonly cutBytes: number;
}

/** Name of the segment that starts with record `seq`. */
export function segmentName(seq: number): string {
  return `${String(seq).padStart(20, '0')}.jsonl`;
}

/**
 * Opens a log folder for writing, alone.
 *
 * @param dir created with mode 0700 if it is missing
 * @throws SealwireError `AUDIT_FILE_INVALID` when another process writes there, others may change the log, it is
 *   damaged, or the folder cannot be used
 */
export async function openSegment(dir: string): Promise<OpenedSegment> {
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const folder = await realpath(dir);
    refuseWritable(folder, (await stat(folder)).mode);
    const lock = await takeLock(join(folder, LOCK_NAME));
    try {
      return await openLast(folder, lock);
    } catch (error) {
      await lock.release();
      throw error;
    }
  } catch (error) {
    if (error instanceof SealwireError) throw error;
    const why = (error as NodeJS.ErrnoException).code ?? 'cannot be used';
    throw new SealwireError('AUDIT_FILE_INVALID', `${dir}: ${why}`);
  }
}

async function openLast(dir: string, lock: WriterLock): Promise<OpenedSegment> {
  const names = (await readdir(dir)).filter((name) => SEGMENT.test(name)).sort();
  const name = names[names.length - 1] ?? segmentName(0);
  const path = join(dir, name);
  const { O_RDWR, O_CREAT, O_APPEND, O_NOFOLLOW } = constants;
  const fd = openSync(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600);
  try {
    refuseWritable(path, fstatSync(fd).mode);
    const cutBytes = cutTornLine(fd);
    const nextSeq = readNextSeq(fd, Number(name.slice(0, 20)), path);
    await syncFolder(dir);
    return { file: new DescriptorFile(fd, lock), nextSeq, cutBytes };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function refuseWritable(path: string, mode: number): void {
  if ((mode & 0o022) === 0) return;
  const octal = (mode & 0o777).toString(8).padStart(4, '0');
  throw new SealwireError(
    'AUDIT_FILE_INVALID',
    `${path}: mode ${octal} lets others change the log; run chmod go-w ${path}`,
  );
}

/** Cuts what is behind the last newline. @returns how many bytes that were */
function cutTornLine(fd: number): number {
  const { size } = fstatSync(fd);
  const end = lastNewline(fd, size) + 1;
  if (end < size) ftruncateSync(fd, end);
  return size - end;
}

/** Position of the last newline before `end`, or -1. */
function lastNewline(fd: number, end: number): number {
  const block = Buffer.alloc(BLOCK_BYTES);
  for (let stop = end; stop > 0; stop -= BLOCK_BYTES) {
    const start = Math.max(0, stop - BLOCK_BYTES);
    const length = readSync(fd, block, 0, stop - start, start);
    const found = block.subarray(0, length).lastIndexOf(NEWLINE);
    if (found >= 0) return start + found;
  }
  return -1;
}

function readNextSeq(fd: number, firstSeq: number, path: string): number {
  const { size } = fstatSync(fd);
  if (size === 0) return firstSeq;
  const start = lastNewline(fd, size - 1) + 1;
  const line = Buffer.alloc(size - 1 - start);
  readSync(fd, line, 0, line.length, start);
  try {
    const { seq } = JSON.parse(line.toString('utf8')) as { seq?: unknown };
    if (Number.isSafeInteger(seq) && (seq as number) >= firstSeq) return (seq as number) + 1;
  } catch {
    // Told below, with the place.
  }
  throw new SealwireError('AUDIT_FILE_INVALID', `${path}: the last line, at byte ${start}, is not a record`);
}

async function syncFolder(dir: string): Promise<void> {
  const folder = await open(dir, 'r');
  await folder.sync().finally(() => folder.close());
}

const writeAsync = promisify(write) as (fd: number, bytes: Buffer) => Promise<{ bytesWritten: number }>;
const fdatasyncAsync = promisify(fdatasync);

class DescriptorFile implements AppendFile {
  readonly #fd: number;
  readonly #lock: WriterLock;

  constructor(fd: number, lock: WriterLock) {
    this.#fd = fd;
    this.#lock = lock;
  }

  async append(bytes: Buffer): Promise<void> {
    let rest = bytes;
    while (rest.length > 0) {
      const { bytesWritten } = await writeAsync(this.#fd, rest);
      if (bytesWritten === 0) throw new Error('nothing was written');
      rest = rest.subarray(bytesWritten);
    }
  }

  sync(): Promise<void> {
    return fdatasyncAsync(this.#fd);
  }

  async close(): Promise<void> {
    closeSync(this.#fd);
    await this.#lock.release();
  }
}
