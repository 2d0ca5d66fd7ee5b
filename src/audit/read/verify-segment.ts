/** Verifies the lines of one segment against its leaf hashes and their own numbers. */
import { parseRecord } from '../format/log-record.js';
import { parseRetirement, type Retirement } from '../format/retirement.js';
import { claimedSeq, explainMismatch, type Finding } from './findings.js';
import { LeafCursor } from './leaf-cursor.js';
import { type LogSegment, readLineBlocks } from './line-blocks.js';

/** What {@link SegmentCheck} needs of the log that it is part of. */
export interface SegmentCheckOptions {
  /** Records that the log's latest checkpoint covers: up to there lines and leaves must both be there. */
  readonly covered: number;
  /** Lines before this record are taken as verified. */
  readonly from: number;
  readonly report: (finding: Finding) => void;
  /** Told of each record that retention removed others; it fits its leaf. */
  readonly retired: (seq: number, retirement: Retirement) => void;
  /** Takes the leaf hash of the next record, and that of its line: the same object where they agree. */
  readonly append: (leaf: Buffer, line: Buffer) => void;
  readonly progress: (records: number) => void;
}

const PROGRESS_RECORDS = 4_096;
/** By its place, as the encoder of records writes it: parsing every line would take longer than hashing it. */
const RETIRE = Buffer.from('","event":"retire","');
const HEAD_BYTES = 96;

function isRetirement(line: Buffer): boolean {
  return line.subarray(0, HEAD_BYTES).includes(RETIRE);
}

/** Goes through one segment. */
export class SegmentCheck {
  readonly #segment: LogSegment;
  readonly #options: SegmentCheckOptions;
  readonly #leaves: LeafCursor;
  #seq: number;
  /** Lines are compared until one is found out of its place. */
  #inStep = true;
  #inOrder = true;
  #hasLeaves = true;
  /** A line, and so all behind it, cannot be read. */
  #isCut = false;

  constructor(segment: LogSegment, options: SegmentCheckOptions) {
    this.#segment = segment;
    this.#options = options;
    this.#leaves = new LeafCursor(segment.leaves);
    this.#seq = segment.first;
  }

  /** @returns how many records the segment has */
  run(): number {
    const { lines, first, end } = this.#segment;
    // Behind the segment's end there is nothing to compare with; the next one starts with that number.
    const stop = end ?? Number.POSITIVE_INFINITY;
    let extra = 0;
    if (lines !== undefined) {
      for (const block of readLineBlocks(lines, 0, () => this.#cut())) {
        for (let index = 0; index < block.length; index++) {
          if (this.#seq === stop) extra++;
          else if (this.#seq < this.#options.from) this.#skip(block.line(index), block.leafHash.bind(block, index));
          else this.#compare(block.line(index), block.leafHash(index), block.at(index));
        }
      }
    }
    const written = this.#seq;
    if (extra > 0 && this.#inStep) {
      this.#options.report({ kind: 'inserted', seq: stop, detail: `${extra} lines more than the segment has records` });
    }
    this.#appendRest(stop);
    this.#checkLength(written, lines !== undefined);
    this.#leaves.close();
    return (lines !== undefined && end === undefined && !this.#isCut ? written : this.#seq) - first;
  }

  #cut(): void {
    this.#isCut = true;
    const detail = 'the line is longer than any record: no line is read from here on in the segment';
    if (this.#inStep) this.#options.report({ kind: 'changed', seq: this.#seq, detail });
    this.#inStep = false;
  }

  /** A line that was verified before: its leaf counts. */
  #skip(line: Buffer, hash: () => Buffer): void {
    const leaf = this.#leaves.next();
    if (isRetirement(line) && leaf?.equals(hash())) this.#noteRetirement(this.#seq, line);
    const used = leaf === undefined ? hash() : Buffer.from(leaf);
    this.#options.append(used, used);
    this.#seq++;
  }

  #compare(line: Buffer, hash: Buffer, at: number): void {
    const seq = this.#seq++;
    if (seq % PROGRESS_RECORDS === 0) this.#options.progress(seq);
    const leaf = this.#leaves.next();
    // The tree keeps it: no view of the block.
    if (leaf === undefined || leaf.equals(hash)) {
      if (leaf === undefined) this.#missLeaf(seq);
      this.#options.append(hash, hash);
      if (isRetirement(line)) this.#noteRetirement(seq, line);
      if (this.#inStep) this.#checkNumber(seq, claimedSeq(line));
      return;
    }
    // First: a checkpoint right after this record says whether the line is wrong or the leaf.
    if (this.#inStep) this.#explain(seq, at);
    this.#options.append(Buffer.from(leaf), hash);
  }

  #noteRetirement(seq: number, line: Buffer): void {
    const retirement = parseRetirement(parseRecord(line)?.detail ?? '');
    if (retirement !== undefined) this.#options.retired(seq, retirement);
  }

  #explain(seq: number, at: number): void {
    const { leaves, first, lines = '' } = this.#segment;
    const { finding, inStep } = explainMismatch({ lines, leaves, first, seq, at });
    this.#options.report(finding);
    this.#inStep = inStep;
  }

  /** The leaves may have been made anew: the records still carry their numbers. */
  #checkNumber(seq: number, claimed: number | undefined): void {
    if (claimed === seq || !this.#inOrder) return;
    this.#inOrder = false;
    const put = (kind: Finding['kind'], detail: string, last?: number) =>
      this.#options.report({ kind, seq, ...(last !== undefined && last !== seq && { last }), detail });
    if (claimed === undefined) put('changed', 'the line is not a record');
    else if (claimed > seq) put('missing', `record ${claimed} stands here`, claimed - 1);
    else put('inserted', `a record that calls itself ${claimed} stands here`);
  }

  /** Only behind the latest checkpoint may a leaf come later than its line. */
  #missLeaf(seq: number): void {
    if (!this.#hasLeaves || seq >= this.#options.covered) return;
    this.#hasLeaves = false;
    this.#options.report({ kind: 'bad-leaf', seq, detail: 'the leaf file ends before this record' });
  }

  /** Leaves without lines: the segment's lines were removed, or lines are missing. */
  #appendRest(stop: number): void {
    for (let leaf = this.#leaves.next(); leaf !== undefined; leaf = this.#leaves.next()) {
      if (this.#seq === stop) {
        this.#options.report({ kind: 'bad-leaf', seq: stop, detail: 'the leaf file goes on behind the segment' });
        return;
      }
      const kept = Buffer.from(leaf);
      this.#options.append(kept, kept);
      this.#seq++;
    }
  }

  #checkLength(written: number, hasLines: boolean): void {
    const { end } = this.#segment;
    const { report } = this.#options;
    if (hasLines && end !== undefined && written < end && this.#inStep) {
      report({
        kind: 'missing',
        seq: written,
        ...(end - 1 !== written && { last: end - 1 }),
        detail: 'the segment ends before',
      });
    }
    if (end !== undefined && this.#seq < end) {
      report({ kind: 'bad-leaf', seq: this.#seq, last: end - 1, detail: 'neither lines nor leaf hashes are there' });
    }
  }
}
