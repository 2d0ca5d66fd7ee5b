/** Reads the last segment of a log at start: its lines, against its leaves. Changes nothing. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SealwireError } from '../../errors.js';
import { segmentFile } from '../format/log-files.js';
import { CLOCK_SLACK_MS, timeOf } from '../format/log-record.js';
import { HASH_BYTES, type MerkleFrontier } from '../format/merkle-tree.js';
import { type LineBlock, readLineBlocks } from '../read/line-blocks.js';

/** What is scanned. */
export interface ScanOptions {
  readonly dir: string;
  readonly firstSeq: number;
  /** The tree before the segment. */
  readonly before: MerkleFrontier;
  /** Records that the latest checkpoint covers, at least `firstSeq`. */
  readonly signedSize: number;
  /** Take the lines as they are: there is no checkpoint yet. */
  readonly ignoreLeaves?: boolean;
}

/** What was found. */
export interface ScannedSegment {
  /** The tree with all whole lines of the segment. */
  readonly frontier: MerkleFrontier;
  /** Root over what the checkpoint covers, by the lines. */
  readonly signedRoot: Buffer;
  /** The first covered line that does not fit its leaf. No matter if the root is right: then the leaf is wrong. */
  readonly mismatch: string | undefined;
  readonly lineBytes: number;
  readonly tornBytes: number;
  /** Bytes of the leaf file that can stay, and the leaves that follow. */
  readonly goodLeafBytes: number;
  readonly newLeaves: readonly Buffer[];
  readonly startedAtMs: number | undefined;
  readonly latestMs: number | undefined;
  /** What has to be repaired, in sentences. */
  readonly repairs: readonly string[];
}

const NO_LEAF = Buffer.alloc(HASH_BYTES);

/**
 * @throws SealwireError `AUDIT_FILE_INVALID` with the place: fewer lines than the checkpoint covers, a line behind it
 *   that is not the next record, does not fit its leaf or is older than those before it
 */
export function scanSegment(options: ScanOptions): ScannedSegment {
  return new SegmentScan(options).run();
}

class SegmentScan {
  readonly #options: ScanOptions;
  readonly #path: string;
  readonly #leafPath: string;
  readonly #leaves: Buffer;
  readonly #frontier: MerkleFrontier;
  readonly #newLeaves: Buffer[] = [];
  #goodLeaves = 0;
  #signedRoot: Buffer | undefined;
  #mismatch: string | undefined;
  #startedAtMs: number | undefined;
  #latestMs: number | undefined;

  constructor(options: ScanOptions) {
    const { dir, firstSeq, before, ignoreLeaves } = options;
    this.#options = options;
    this.#path = join(dir, segmentFile(firstSeq, 'jsonl'));
    this.#leafPath = join(dir, segmentFile(firstSeq, 'leaves'));
    this.#leaves =
      ignoreLeaves === true || !existsSync(this.#leafPath) ? Buffer.alloc(0) : readFileSync(this.#leafPath);
    this.#frontier = before.copy();
  }

  run(): ScannedSegment {
    const { firstSeq, signedSize } = this.#options;
    this.#noteRoot();
    const { lineBytes, tornBytes } = this.#readLines();
    if (this.#signedRoot === undefined) {
      const found = this.#frontier.size;
      throw this.#invalid(
        `ends at byte ${lineBytes} before record ${found}, but the checkpoint covers ${signedSize} records: the last ${signedSize - found} are missing`,
      );
    }
    const lines = this.#frontier.size - firstSeq;
    return {
      frontier: this.#frontier,
      signedRoot: this.#signedRoot,
      mismatch: this.#mismatch,
      lineBytes,
      tornBytes,
      goodLeafBytes: this.#goodLeaves * HASH_BYTES,
      newLeaves: this.#newLeaves,
      startedAtMs: this.#startedAtMs,
      latestMs: this.#latestMs,
      repairs: this.#tellRepairs(lines, tornBytes),
    };
  }

  #readLines(): { readonly lineBytes: number; readonly tornBytes: number } {
    // A new log, or a rotation that did not get this far.
    if (!existsSync(this.#path)) return { lineBytes: 0, tornBytes: 0 };
    const blocks = readLineBlocks(this.#path);
    for (let step = blocks.next(); ; step = blocks.next()) {
      if (step.done === true) return { lineBytes: step.value, tornBytes: sizeOf(this.#path) - step.value };
      for (let index = 0; index < step.value.length; index++) this.#takeLine(step.value, index);
    }
  }

  #takeLine(block: LineBlock, index: number): void {
    const { firstSeq, signedSize } = this.#options;
    const seq = this.#frontier.size;
    const at = block.at(index);
    const line = block.line(index);
    const time = timeOf(line);
    if (seq >= signedSize) this.#checkUnsigned(line, seq, at, time);
    if (seq === firstSeq) this.#startedAtMs = time;
    if (time !== undefined && time > (this.#latestMs ?? Number.NEGATIVE_INFINITY)) this.#latestMs = time;
    const leaf = block.leafHash(index);
    this.#compare(leaf, seq, at);
    this.#frontier.append(leaf);
    this.#noteRoot();
  }

  /**
   * What is signed next: replay guard and retention lean on the order of times, which the writer keeps, and whoever can
   * write the folder need not.
   */
  #checkUnsigned(line: Buffer, seq: number, at: number, time: number | undefined): void {
    const record = parse(line);
    if (record?.['seq'] !== seq) throw this.#invalid(`the line at byte ${at} is not record ${seq}`);
    if (this.#options.ignoreLeaves) return;
    const isInOrder = time !== undefined && time >= (this.#latestMs ?? time) - CLOCK_SLACK_MS;
    // A name that stands twice could say two times.
    if (isInOrder && Date.parse(String(record['time'])) === time) return;
    throw this.#invalid(`record ${seq}, at byte ${at}, is older than those before it, or has no time`);
  }

  #compare(leaf: Buffer, seq: number, at: number): void {
    const offset = (seq - this.#options.firstSeq) * HASH_BYTES;
    const stored = this.#leaves.subarray(offset, offset + HASH_BYTES);
    if (this.#newLeaves.length === 0 && stored.equals(leaf)) {
      this.#goodLeaves++;
      return;
    }
    this.#newLeaves.push(leaf);
    // Missing, cut in the middle, or never written to the disk: the crash did it.
    if (stored.length < HASH_BYTES || stored.equals(NO_LEAF) || stored.equals(leaf)) return;
    const sentence = `record ${seq}, at byte ${at}, does not fit its leaf, at byte ${offset} of ${this.#leafPath}`;
    // Behind the checkpoint nothing shows which of the two is wrong.
    if (seq >= this.#options.signedSize) throw this.#invalid(sentence);
    this.#mismatch ??= `${this.#path}: ${sentence}`;
  }

  #noteRoot(): void {
    if (this.#frontier.size === this.#options.signedSize) this.#signedRoot = this.#frontier.root();
  }

  #tellRepairs(lines: number, tornBytes: number): string[] {
    const repairs: string[] = [];
    if (tornBytes > 0) repairs.push(`cut ${tornBytes} bytes of a line never acknowledged`);
    if (this.#options.ignoreLeaves === true) return repairs;
    const ahead = Math.ceil(this.#leaves.length / HASH_BYTES) - lines;
    if (ahead > 0) repairs.push(`dropped ${ahead} leaves of lines that never reached the disk`);
    if (this.#newLeaves.length > 0) repairs.push(`made ${this.#newLeaves.length} leaves anew from their lines`);
    return repairs;
  }

  /** The first thing that is wrong counts: a line that does not fit its leaf comes before all that follows from it. */
  #invalid(why: string): SealwireError {
    return new SealwireError('AUDIT_FILE_INVALID', this.#mismatch ?? `${this.#path}: ${why}`);
  }
}

function sizeOf(path: string): number {
  return statSync(path).size;
}

function parse(line: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line.toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
