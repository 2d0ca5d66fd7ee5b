/**
 * Reads a log folder and nothing else: every file is opened read-only, no lock is taken, and memory does not grow with
 * the log. Reads are synchronous: a process that verifies or searches a log does nothing else.
 */

import { hash } from 'node:crypto';
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { SealwireError } from '../../errors.js';
import { MAX_LINE_BYTES } from '../format/line-batch.js';
import { listSegments, segmentFile } from '../format/log-files.js';

/** One segment, and which of its files exist. */
export interface LogSegment {
  /** Sequence number of its first record. */
  readonly first: number;
  /** Sequence number after its last record; undefined for the last segment, which grows. */
  readonly end: number | undefined;
  /** Path of its lines; undefined when retention, or somebody, has removed them. */
  readonly lines: string | undefined;
  /** Path of its leaf hashes. */
  readonly leaves: string | undefined;
}

const NEWLINE = 0x0a;
const BLOCK_BYTES = 1_048_576;
/** Longest small file: checkpoints, keys and frontiers. */
const MAX_SMALL_BYTES = 1_048_576;

/**
 * @param dir folder of the log
 * @returns its segments, oldest first
 * @throws SealwireError `AUDIT_FILE_INVALID` when the folder cannot be read
 */
export function listLog(dir: string): LogSegment[] {
  const names = readOrThrow(dir, () => readdirSync(dir));
  const lines = new Set(listSegments(names, 'jsonl'));
  const leaves = new Set(listSegments(names, 'leaves'));
  const firsts = [...new Set([...lines, ...leaves])].sort((a, b) => a - b);
  const last = firsts.at(-1);
  if (last !== undefined && !lines.has(last)) {
    // A segment that was begun while the folder was listed.
    if (existsSync(join(dir, segmentFile(last, 'jsonl')))) lines.add(last);
    else if (readOrThrow(dir, () => statSync(join(dir, segmentFile(last, 'leaves'))).size) === 0) firsts.pop();
  }
  return firsts.map((first, index) => ({
    first,
    end: firsts[index + 1],
    lines: lines.has(first) ? join(dir, segmentFile(first, 'jsonl')) : undefined,
    leaves: leaves.has(first) ? join(dir, segmentFile(first, 'leaves')) : undefined,
  }));
}

/** The segment as it is now: retention may have removed its lines since it was listed. */
export function withoutRemoved(segment: LogSegment): LogSegment {
  const { lines, end } = segment;
  return end === undefined || lines === undefined || existsSync(lines) ? segment : { ...segment, lines: undefined };
}

/** Some lines of a segment. Valid until the next block is asked for. */
export class LineBlock {
  readonly #bytes: Buffer;
  readonly #starts: readonly number[];
  /** Behind the last line's newline. */
  readonly #end: number;
  /** Place of the block's first byte in its file. */
  readonly #offset: number;

  constructor(bytes: Buffer, starts: readonly number[], end: number, offset: number) {
    this.#bytes = bytes;
    this.#starts = starts;
    this.#end = end;
    this.#offset = offset;
  }

  get length(): number {
    return this.#starts.length;
  }

  /** The line's bytes without its newline; a view. */
  line(index: number): Buffer {
    return this.#bytes.subarray(this.#starts[index] as number, this.#lineEnd(index));
  }

  /** Place of the line in its file. */
  at(index: number): number {
    return this.#offset + (this.#starts[index] as number);
  }

  /** @returns the first line from `index` on that holds `needle`; {@link length} when none does */
  indexWith(needle: Buffer, index: number): number {
    const from = this.#starts[index];
    if (from === undefined) return this.length;
    const found = this.#bytes.indexOf(needle, from);
    if (found < 0 || found >= this.#end) return this.length;
    let [low, high] = [index, this.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#starts[middle] as number) <= found) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** RFC 6962 §2.1: SHA-256 of 0x00 and the line. */
  leafHash(index: number): Buffer {
    const start = (this.#starts[index] as number) - 1;
    // The byte of the newline before the line becomes the prefix, so nothing is copied.
    this.#bytes[start] = 0;
    return hash('sha256', this.#bytes.subarray(start, this.#lineEnd(index)), 'buffer');
  }

  #lineEnd(index: number): number {
    return (this.#starts[index + 1] ?? this.#end) - 1;
  }
}

/**
 * Reads lines from a byte to the end that the file has when it is reached; bytes behind the last newline are no line.
 *
 * @param path of a `.jsonl` file
 * @param from byte at which a line begins. Default 0
 * @param onLong called in front of a line that is longer than any record (64 MiB) and too long to be read, where
 *   reading ends. Default: it is an error
 * @returns where the bytes begin that are no whole line
 * @throws SealwireError `AUDIT_FILE_INVALID` when the file cannot be read, or has such a line
 */
export function* readLineBlocks(
  path: string,
  from = 0,
  onLong: () => void = () => refuseLong(path),
): Generator<LineBlock, number, undefined> {
  const fd = openForReading(path);
  try {
    // One byte in front of the first line is kept for its hash.
    let buffer: Buffer = Buffer.allocUnsafe(1 + 2 * BLOCK_BYTES);
    let used = 1;
    let position = from;
    for (;;) {
      if (buffer.length - used < BLOCK_BYTES) {
        if (used > MAX_LINE_BYTES) {
          onLong();
          return position - (used - 1);
        }
        buffer = grow(buffer, used);
      }
      const count = readOrThrow(path, () => readSync(fd, buffer, used, BLOCK_BYTES, position));
      if (count === 0) return position - (used - 1);
      const starts: number[] = [];
      let start = 1;
      // What was left over has no newline.
      for (let end = buffer.indexOf(NEWLINE, used); end >= 0 && end < used + count; ) {
        starts.push(start);
        start = end + 1;
        end = buffer.indexOf(NEWLINE, start);
      }
      used += count;
      position += count;
      if (starts.length > 0) yield new LineBlock(buffer, starts, start, position - used);
      buffer.copy(buffer, 1, start, used);
      used = 1 + used - start;
    }
  } finally {
    closeSync(fd);
  }
}

function refuseLong(path: string): never {
  throw new SealwireError('AUDIT_FILE_INVALID', `${path}: a line is longer than any record`);
}

function grow(buffer: Buffer, used: number): Buffer {
  const larger = Buffer.allocUnsafe(2 * buffer.length);
  buffer.copy(larger, 0, 0, used);
  return larger;
}

/**
 * Reads a file in blocks of whole items.
 *
 * @param itemBytes size of an item; what is left at the end is not yielded
 * @param from item to begin with. Default 0
 */
export function* readItemBlocks(path: string, itemBytes: number, from = 0): Generator<Buffer, void, undefined> {
  const fd = openForReading(path);
  try {
    const size = BLOCK_BYTES - (BLOCK_BYTES % itemBytes);
    let position = from * itemBytes;
    for (;;) {
      const block = Buffer.allocUnsafe(size);
      let done = 0;
      for (let count = -1; count !== 0 && done < size; done += count) {
        count = readOrThrow(path, () => readSync(fd, block, done, size - done, position + done));
      }
      const whole = done - (done % itemBytes);
      if (whole > 0) yield block.subarray(0, whole);
      if (done < size) return;
      position += done;
    }
  } finally {
    closeSync(fd);
  }
}

/** A pipe in an untrusted folder must not make a reader wait forever. */
function openForReading(path: string): number {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const fd = readOrThrow(path, () => openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  if (readOrThrow(path, () => fstatSync(fd).isFile())) return fd;
  closeSync(fd);
  throw new SealwireError('AUDIT_FILE_INVALID', `${path}: not a file`);
}

/**
 * @returns the file's content
 * @throws SealwireError `AUDIT_FILE_INVALID` when it cannot be read or is larger than any such file
 */
export function readSmallFile(path: string): Buffer {
  const fd = openForReading(path);
  try {
    const { size } = readOrThrow(path, () => fstatSync(fd));
    if (size > MAX_SMALL_BYTES) throw new SealwireError('AUDIT_FILE_INVALID', `${path}: too large`);
    return readOrThrow(path, () => readFileSync(fd));
  } finally {
    closeSync(fd);
  }
}

/** @throws SealwireError `AUDIT_FILE_INVALID` with the system's code instead of its text */
export function readOrThrow<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? 'cannot be read';
    throw new SealwireError('AUDIT_FILE_INVALID', `${path}: ${why}`, { cause });
  }
}
