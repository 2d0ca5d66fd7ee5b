/**
 * What is known of whole segments that still are what was signed. Retention goes by it: what it removes is vouched for,
 * and sizes and times of files are whatever whoever can write the folder likes.
 */
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { openCheckpoint } from '../format/checkpoint.js';
import { CHECKPOINTS_FILE, segmentFile } from '../format/log-files.js';
import { timeOf } from '../format/log-record.js';
import type { MerkleFrontier } from '../format/merkle-tree.js';
import type { NoteVerifier } from '../format/note-keys.js';
import { readItemBlocks, readLineBlocks } from '../read/line-blocks.js';
import { readFrontier } from './recovery.js';

/** A segment that is not written to any more. */
export interface ClosedSegment {
  /** Its first record, and the first one of the next segment. */
  readonly first: number;
  readonly next: number;
  readonly lineBytes: number;
  /** Time of its last record, ms since 1970. */
  readonly lastMs: number;
}

/** More than one checkpoint is long. */
const NOTE_BYTES = 4_096;

/** Reads segments, each once: what was signed does not change. */
export class SignedSegments {
  readonly #dir: string;
  readonly #verifier: NoteVerifier;
  readonly #isStopped: () => boolean;
  readonly #known = new Map<number, ClosedSegment>();

  /** @param isStopped asked at times: nothing more is read then */
  constructor(dir: string, verifier: NoteVerifier, isStopped: () => boolean) {
    this.#dir = dir;
    this.#verifier = verifier;
    this.#isStopped = isStopped;
  }

  /** Takes note of a segment that this process wrote itself. */
  learn(segment: ClosedSegment): void {
    this.#known.set(segment.first, segment);
  }

  forget(first: number): void {
    this.#known.delete(first);
  }

  /**
   * @returns undefined when a checkpoint of the log's key does not show that these lines, and no others, are its
   *   records
   * @throws the system's errors
   */
  async find(first: number, next: number): Promise<ClosedSegment | undefined> {
    const known = this.#known.get(first);
    if (known?.next === next) return known;
    const tree = readFrontier(this.#dir, first);
    const signed = await this.#findRoot(next);
    if (tree === undefined || signed === undefined) return undefined;
    const read = await this.#readLines(first, next, tree);
    if (read === undefined || tree.size !== next || !tree.root().equals(signed)) return undefined;
    this.learn(read);
    return read;
  }

  async #readLines(first: number, next: number, tree: MerkleFrontier): Promise<ClosedSegment | undefined> {
    const blocks = readLineBlocks(join(this.#dir, segmentFile(first, 'jsonl')), 0, () => {});
    let lastMs: number | undefined;
    for (let step = blocks.next(); ; step = blocks.next()) {
      if (step.done === true) return lastMs === undefined ? undefined : { first, next, lineBytes: step.value, lastMs };
      const { value: block } = step;
      for (let index = 0; index < block.length; index++) tree.append(block.leafHash(index));
      lastMs = timeOf(block.line(block.length - 1));
      // Calls go on meanwhile.
      await nextTurn();
      if (this.#isStopped()) blocks.return(0);
    }
  }

  /** A segment begins where a checkpoint ends. */
  async #findRoot(size: number): Promise<Buffer | undefined> {
    const head = Buffer.from(`${this.#verifier.name}\n${size}\n`);
    let rest: Buffer = Buffer.alloc(0);
    for (const block of readItemBlocks(join(this.#dir, CHECKPOINTS_FILE), 1)) {
      const text = Buffer.concat([rest, block]);
      const at = text.indexOf(head);
      if (at >= 0 && at + NOTE_BYTES <= text.length) return this.#openRoot(text, at);
      rest = text.subarray(at >= 0 ? at : Math.max(0, text.length - NOTE_BYTES));
      await nextTurn();
      if (this.#isStopped()) return undefined;
    }
    const at = rest.indexOf(head);
    return at < 0 ? undefined : this.#openRoot(rest, at);
  }

  #openRoot(text: Buffer, at: number): Buffer | undefined {
    // Of two empty lines the first is the note's own.
    const end = text.indexOf('\n\n', text.indexOf('\n\n', at) + 2);
    try {
      return openCheckpoint(text.subarray(at, end < 0 ? text.length : end + 1), this.#verifier).root;
    } catch {
      return undefined;
    }
  }
}
