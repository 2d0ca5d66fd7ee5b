/**
 * Verifies a log: every line against its leaf hash and its number, the tree against every checkpoint. It shares
 * nothing with the writer but the formats, writes nothing, and works on a log that is being written.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Checkpoint } from '../format/checkpoint.js';
import { RETIRED_FILE, segmentFile, VERIFIER_KEY_FILE } from '../format/log-files.js';
import { MerkleFrontier } from '../format/merkle-tree.js';
import type { NoteVerifier } from '../format/note-keys.js';
import { openRetired, type Retirement } from '../format/retirement.js';
import { type LatestCheckpoint, type Pin, PinQueue, readLatestCheckpoint } from './checkpoint-queue.js';
import type { Finding } from './findings.js';
import { type LogSegment, listLog, readSmallFile, withoutRemoved } from './line-blocks.js';
import { SegmentCheck } from './verify-segment.js';

/** Options of {@link verifyLog}. */
export interface VerifyOptions {
  /** Folder of the log. */
  readonly dir: string;
  /** The log's key. */
  readonly verifier: NoteVerifier;
  /** Checkpoints kept elsewhere, opened with the key. Default: none. */
  readonly kept?: readonly Checkpoint[];
  /**
   * Take lines before the smallest kept checkpoint, if there is one, as verified; their leaf hashes are still compared
   * with it. Default false.
   */
  readonly sinceKept?: boolean;
  /** Called at times with the number of records checked. */
  readonly progress?: (records: number) => void;
}

/** What was found. */
export interface VerifyReport {
  /** Nothing is wrong. */
  readonly ok: boolean;
  /** Worst first: those about records in the order of their numbers, then the others. */
  readonly findings: readonly Finding[];
  readonly origin: string;
  /** Records in the log. */
  readonly records: number;
  /** Records whose lines retention has removed, as a covered record says; their leaf hashes remain. */
  readonly removed: number;
  /** Records after the latest checkpoint: nothing vouches for them yet. */
  readonly unsigned: number;
  /** Checkpoints that the log agrees with. */
  readonly checkpoints: number;
  /** Kept checkpoints that it agrees with. */
  readonly kept: number;
  /** The log's latest checkpoint, as a signed note, if it is good. */
  readonly latestNote: string | undefined;
}

/** More than these, about records and about none, are not listed; the first one is what matters. */
const MAX_FINDINGS = 20;
/** How often a log is read that is changed by its writer meanwhile. */
const MAX_ATTEMPTS = 3;

/**
 * @returns what was found; see {@link VerifyReport}
 * @throws SealwireError `AUDIT_FILE_INVALID` when a file of the log cannot be read
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { openCheckpoint, parseVerifierKey, verifyLog } from 'sealwire/audit';
 *
 * // Both come from where the log's writer cannot change them.
 * const verifier = parseVerifierKey(readFileSync('kept/log.vkey', 'utf8').trim());
 * const kept = [openCheckpoint(readFileSync('kept/checkpoint'), verifier)];
 * const { ok, findings } = verifyLog({ dir: 'audit', verifier, kept });
 * console.log(ok ? 'unchanged' : findings);
 * ```
 */
export function verifyLog(options: VerifyOptions): VerifyReport {
  for (let attempt = 1; ; attempt++) {
    const check = new LogCheck(options);
    const report = check.run();
    // Retention may have told of what it removed in a segment that was begun meanwhile.
    if (attempt === MAX_ATTEMPTS || !check.isOvertaken()) return report;
  }
}

class LogCheck {
  readonly #options: VerifyOptions;
  readonly #findings: Finding[] = [];
  readonly #latest: LatestCheckpoint | undefined;
  readonly #pins: PinQueue;
  /** The tree of the leaf files, and of lines where there are no leaves. */
  readonly #tree = MerkleFrontier.empty();
  /** The tree of the lines, from the first line that does not match its leaf. */
  #lineTree: MerkleFrontier | undefined;
  /** Sizes of the last checkpoints that agreed. */
  readonly #agreed = { own: 0, kept: 0 };
  #agreedOwn = 0;
  #agreedKept = 0;
  /** Paths of lines that were read; retention may remove them behind us. */
  readonly #read: string[] = [];
  #isOff = false;
  /** Records whose lines are not there, with none before them that are, and the number after the last one. */
  #removed = 0;
  #removedEnd = 0;
  /** Records, from the first on, that covered records tell to be removed by retention. */
  #retired = 0;
  #isUnexplained = false;

  constructor(options: VerifyOptions) {
    const { dir, verifier, kept = [] } = options;
    this.#options = options;
    // First: all that it covers is on disk, and whatever is written from now on comes after it.
    this.#latest = readLatestCheckpoint(dir, verifier);
    if (this.#latest?.finding !== undefined) this.#report(this.#latest.finding);
    const pins: Pin[] = kept.map((checkpoint) => ({ ...checkpoint, source: 'kept' }));
    const latest = this.#latest?.checkpoint;
    if (latest !== undefined) pins.unshift({ ...latest, source: 'own' });
    this.#pins = new PinQueue(dir, verifier, pins, (finding) => this.#report(finding));
    this.#checkKey();
  }

  run(): VerifyReport {
    const segments = listLog(this.#options.dir);
    this.#checkPins();
    const [begin] = segments;
    if (begin !== undefined && begin.first > 0) {
      this.#report({
        kind: 'missing',
        seq: 0,
        last: begin.first - 1,
        detail: 'neither lines nor leaf hashes are there',
      });
      this.#isOff = true;
    }
    let kept = 0;
    if (!this.#isOff) for (const segment of segments) kept = this.#checkSegment(segment);
    const records = this.#isOff ? (segments.at(-1)?.first ?? 0) : kept;
    this.#checkRemoved();
    if (!this.#isOff) this.#checkRest(records);
    this.#pins.close();
    return this.#conclude(records);
  }

  /** @returns sequence number after the segment's last record */
  #checkSegment(listed: LogSegment): number {
    const segment = withoutRemoved(listed);
    this.#checkFrontier(segment);
    const { sinceKept = false, kept = [] } = this.#options;
    // Of nothing kept the smallest would be infinite.
    const since = sinceKept && kept.length > 0 ? Math.min(...kept.map(({ size }) => size)) : 0;
    const check = new SegmentCheck(segment, {
      covered: this.#latest?.checkpoint?.size ?? 0,
      from: since,
      report: (finding) => this.#report(finding),
      append: (leaf, line) => this.#append(leaf, line),
      retired: (seq, retirement) => this.#noteRetirement(seq, retirement),
      progress: (records) => this.#options.progress?.(records),
    });
    const records = check.run();
    const next = segment.first + records;
    if (segment.lines !== undefined) this.#read.push(segment.lines);
    // Retention removes the oldest, and never the one that is written to.
    else if (segment.end !== undefined && !this.#read.some((path) => existsSync(path))) {
      this.#removed += records;
      this.#removedEnd = next;
    } else
      this.#report({
        kind: 'missing',
        seq: segment.first,
        last: next - 1,
        detail: 'the lines of the segment are not there',
      });
    return next;
  }

  /** Only what a checkpoint covers counts, and what goes on where another such record ends. */
  #noteRetirement(seq: number, { first, last }: Retirement): void {
    const isCovered = seq < (this.#latest?.checkpoint?.size ?? 0);
    if (isCovered && first <= this.#retired && last < seq) this.#retired = Math.max(this.#retired, last + 1);
  }

  /** A record can be slipped in behind the last checkpoint, and is then signed with the rest: the note cannot. */
  #checkRemoved(): void {
    const { dir, verifier } = this.#options;
    if (this.#removedEnd === 0) return;
    const path = join(dir, RETIRED_FILE);
    const retired = Math.min(this.#retired, existsSync(path) ? openRetired(readSmallFile(path), verifier) : 0);
    if (this.#removedEnd <= retired) return;
    const [seq, last] = [retired, this.#removedEnd - 1];
    const detail = 'the lines are not there, and no covered record and signed note tell that retention removed them';
    this.#report({ kind: 'missing', seq, ...(last !== seq && { last }), detail });
    this.#removed -= this.#removedEnd - retired;
    this.#isUnexplained = true;
  }

  /** Whether lines are missing, and the log has another checkpoint by now, which may cover why. */
  isOvertaken(): boolean {
    if (!this.#isUnexplained) return false;
    const { dir, verifier } = this.#options;
    return readLatestCheckpoint(dir, verifier)?.checkpoint?.size !== this.#latest?.checkpoint?.size;
  }

  #append(leaf: Buffer, line: Buffer): void {
    if (leaf !== line) this.#lineTree ??= this.#tree.copy();
    this.#tree.append(leaf);
    this.#lineTree?.append(line);
    if (this.#tree.size >= this.#pins.nextSize) this.#checkPins();
  }

  #checkPins(): void {
    while (this.#pins.nextSize <= this.#tree.size) {
      const pin = this.#pins.take() as Pin;
      if (pin.size < this.#tree.size) continue;
      if (this.#tree.root().equals(pin.root)) this.#agree(pin);
      else this.#disagree(pin);
    }
  }

  #agree({ source, size }: Pin): void {
    // The latest one is in two files.
    if (source === 'own' && (this.#agreedOwn === 0 || size > this.#agreed.own)) this.#agreedOwn++;
    this.#agreed[source] = size;
    if (source === 'kept') this.#agreedKept++;
  }

  /** The leaves do not make up what was signed: are they wrong, or the lines, or is it another log? */
  #disagree({ source, size, root }: Pin): void {
    const inRange = ({ seq }: Finding) => seq !== undefined && seq < size;
    if (this.#lineTree?.root().equals(root)) {
      for (const [index, finding] of this.#findings.entries()) {
        if (finding.kind !== 'changed' || !inRange(finding)) continue;
        this.#findings[index] = { ...finding, kind: 'bad-leaf', detail: 'the leaf hash is wrong; the record is good' };
      }
      return;
    }
    if (this.#findings.some(inRange)) return;
    const last = size - 1;
    if (source === 'own') {
      this.#report({
        kind: 'changed',
        seq: this.#agreed.own,
        last,
        detail: `not what the checkpoint of ${size} records says`,
      });
    } else {
      const detail = `the log is signed, but is not the one of the kept checkpoint of ${size} records`;
      this.#report({ kind: 'forked', seq: this.#agreed.kept, last, detail });
    }
  }

  /** Frontiers follow from the leaves; a wrong one would stop the writer. */
  #checkFrontier({ first }: LogSegment): void {
    const path = join(this.#options.dir, segmentFile(first, 'frontier'));
    if (this.#tree.size !== first || !existsSync(path)) return;
    const bytes = readSmallFile(path);
    // Where leaves and lines disagree, the frontier may side with either.
    if ([this.#tree, this.#lineTree].some((tree) => tree && bytes.equals(Buffer.concat(tree.hashes)))) return;
    this.#report({ kind: 'bad-frontier', seq: undefined, detail: `the frontier file of segment ${first} is wrong` });
  }

  #checkKey(): void {
    const path = join(this.#options.dir, VERIFIER_KEY_FILE);
    if (!existsSync(path)) return;
    if (readSmallFile(path).toString('utf8').trimEnd() === this.#options.verifier.vkey) return;
    this.#report({
      kind: 'bad-key',
      seq: undefined,
      detail: `${VERIFIER_KEY_FILE} in the log is not the key that was given`,
    });
  }

  /** Checkpoints of more records than there are. */
  #checkRest(records: number): void {
    const latest = this.#latest?.checkpoint;
    if (this.#latest === undefined && records > 0) {
      this.#report({
        kind: 'bad-checkpoint',
        seq: undefined,
        detail: 'the log has no checkpoint: nothing of it is signed',
      });
    }
    const own = latest?.size ?? 0;
    if (own > records) {
      const detail = `the log's own checkpoint counts ${own} records`;
      this.#report({ kind: 'truncated', seq: records, last: own - 1, detail });
    }
    const kept = Math.max(0, ...(this.#options.kept ?? []).map(({ size }) => size));
    if (kept > Math.max(records, own)) {
      const detail = `the kept checkpoint counts ${kept} records, the log ${records}`;
      this.#report({ kind: 'rolled-back', seq: records, last: kept - 1, detail });
    }
  }

  #report(finding: Finding): void {
    // Counted apart: bad checkpoints, however many, must not hide which record is bad.
    const isPlaced = finding.seq !== undefined;
    const listed = this.#findings.filter(({ seq }) => (seq !== undefined) === isPlaced);
    if (listed.length < MAX_FINDINGS) this.#findings.push(finding);
  }

  #conclude(records: number): VerifyReport {
    const place = ({ seq }: Finding) => seq ?? Number.POSITIVE_INFINITY;
    const findings = [...this.#findings].sort((a, b) => (place(a) === place(b) ? 0 : place(a) - place(b)));
    const latest = this.#latest?.checkpoint;
    return {
      ok: findings.length === 0,
      findings,
      origin: this.#options.verifier.name,
      records,
      removed: this.#removed,
      unsigned: Math.max(0, records - (latest?.size ?? 0)),
      checkpoints: this.#agreedOwn,
      kept: this.#agreedKept,
      latestNote: latest === undefined ? undefined : this.#latest?.note,
    };
  }
}
