/** The log on disk: lines and leaves of the current segment, the tree over all of them, and its checkpoints. */

import { openPatiently } from '../../files/descriptors.js';
import { syncFolder } from '../../files/replace-file.js';
import { checkRange } from '../../profile/check-range.js';
import { encodeBatch } from '../format/line-batch.js';
import { CLOCK_SLACK_MS } from '../format/log-record.js';
import type { MerkleFrontier } from '../format/merkle-tree.js';
import type { NoteSigner } from '../format/note-keys.js';
import { isDiskFull } from './append-file.js';
import type { CheckpointStore } from './checkpoint-store.js';
import { detachFiles, explain, LockLost, type LogFolder, openFolder } from './log-folder.js';
import {
  type LogFilesFound,
  type LogFilesOptions,
  openLogFiles,
  openSegment,
  type Segment,
  type WrapFile,
} from './open-log.js';
import { writeFrontier } from './recovery.js';
import type { Reporter } from './reports.js';
import type { ClosedSegment } from './signed-segments.js';

/** Options of {@link MerkleLog.open}. */
export interface MerkleLogOptions extends LogFilesOptions {
  /** Folder of the log; created if missing. One process writes to it at a time. */
  readonly dir: string;
  /**
   * Size at which a segment ends, in bytes of lines. Default 67,108,864 (64 MiB); 4,096 to 2^30. It may be exceeded by
   * one batch.
   */
  readonly segmentBytes?: number;
  /** Age at which a segment ends, in ms. Default 86,400,000 (a day); 1,000 to 2^31 - 1. */
  readonly segmentAgeMs?: number;
  /** Records after which a checkpoint is made. Default 10,000; 1 to 100,000. */
  readonly checkpointRecords?: number;
  /**
   * Time after which the first record behind a checkpoint gets the next one, in ms. Default 10,000; 10 to 86,400,000.
   */
  readonly checkpointMs?: number;
  /** Told what whoever runs the service should know: that a lock has to be waited for. Default: nobody. */
  readonly report?: Reporter;
  /** Ends waiting for a lock. Default: nothing does. */
  readonly signal?: AbortSignal;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
}

/** Leaves that may wait for room: of 262,144 records. */
const MAX_PENDING_BYTES = 8_388_608;
/** How long to wait on a full disk before retrying a checkpoint or a new segment. */
const FULL_RETRY_MS = 1_000;

/** Appends batches of lines; everything else happens between batches. One caller, one call at a time. */
export class MerkleLog {
  readonly #folder: LogFolder;
  readonly #frontier: MerkleFrontier;
  readonly #checkpoints: CheckpointStore;
  readonly #limits: ReturnType<typeof checkLimits>;
  readonly #now: () => number;
  readonly #wrap: WrapFile;
  /** The log's key. */
  readonly signer: NoteSigner;
  #segment: Segment;
  /**
   * Leaves that are not in their file yet. They go there with the next checkpoint: written with each batch they would
   * be one more file for the journal of the file system, which makes the sync of the lines twice as long.
   */
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  /** Whether lines were written since the last sync. */
  #isUnsynced = false;
  /** The checkpoint that is being written, beside the calls. */
  #checkpointing: Promise<void> | undefined;
  /** Set by the first failure that may have lost something, and never cleared. */
  #failure: unknown;
  #isTimeUp = false;
  #timer: NodeJS.Timeout | undefined;
  #isRetryAllowed = true;
  #uncovered: { readonly size: number; readonly settle: (isCovered: boolean) => void }[] = [];
  #wake: () => void = () => {};
  #rotated: (closed: ClosedSegment) => void = () => {};

  private constructor(options: MerkleLogOptions, folder: LogFolder, found: LogFilesFound) {
    this.#limits = checkLimits(options);
    this.#now = options.now ?? Date.now;
    this.#wrap = options.wrapFile ?? ((file) => file);
    this.#folder = folder;
    this.#checkpoints = found.checkpoints;
    this.#frontier = found.frontier;
    this.signer = found.signer;
    this.#segment = found.segment;
  }

  /**
   * Opens a log and repairs what a crash left.
   *
   * @returns the log, and what was repaired, in sentences
   * @throws SealwireError `AUDIT_FILE_INVALID`, `OPTIONS_INVALID`
   */
  static async open(
    options: MerkleLogOptions,
  ): Promise<{ readonly log: MerkleLog; readonly repairs: readonly string[] }> {
    checkLimits(options);
    const folder = await openFolder(options.dir, options.report ?? (() => {}), options.signal);
    const { isTakenOver } = folder.lock;
    let log: MerkleLog | undefined;
    try {
      if (isTakenOver) await explain(folder.path, () => detachFiles(folder.path));
      const found = await explain(folder.path, () => openLogFiles(folder.path, options));
      log = new MerkleLog(options, folder, found);
      if (isTakenOver && log.#frontier.size > log.#segment.firstSeq) await log.#rotate();
      return { log, repairs: found.repairs };
    } catch (error) {
      await (log?.close() ?? folder.lock.release());
      throw error;
    }
  }

  /** Sequence number of the next record. */
  get nextSeq(): number {
    return this.#frontier.size;
  }

  /** Path of the folder. */
  get path(): string {
    return this.#folder.path;
  }

  /** @returns when a checkpoint covers all that was appended until now; false when none will */
  whenCovered(): Promise<boolean> {
    const size = this.#frontier.size;
    if (this.#failure !== undefined || this.#checkpoints.size >= size) {
      return Promise.resolve(this.#failure === undefined);
    }
    this.#isTimeUp = true;
    return new Promise((settle) => {
      this.#uncovered.push({ size, settle });
      this.#wake();
    });
  }

  /** Called when {@link isDue} turns true while nothing is appended. */
  onDue(wake: () => void): void {
    this.#wake = wake;
  }

  /** Size of the lines of the segment that is being written. */
  get lineBytes(): number {
    return this.#segment.lineBytes;
  }

  /** Called when a segment was begun, with the one before it. */
  onRotated(rotated: (closed: ClosedSegment) => void): void {
    this.#rotated = rotated;
  }

  /**
   * Appends lines.
   *
   * @param lines without newlines
   * @returns false when there was no room: nothing of them is in the log, and it can be tried again
   * @throws what went wrong; from then on the log takes nothing
   */
  async append(lines: readonly string[]): Promise<boolean> {
    this.#throwFailure();
    // Leaves have found no space for long: lines must not go on without them. Nor behind lines of later times.
    if (this.#pendingBytes >= MAX_PENDING_BYTES || this.#isSetBack()) return false;
    const segment = this.#segment;
    const { bytes, leaves } = encodeBatch(lines);
    try {
      await segment.lines.append(bytes);
    } catch (error) {
      if (!isDiskFull(error)) return this.#fail(error);
      // A partial write must be removed before the next lines come.
      await segment.lines.cut(segment.lineBytes).catch((failure: unknown) => this.#fail(failure));
      return false;
    }
    this.#isUnsynced = true;
    segment.lineBytes += bytes.length;
    const now = this.#now();
    segment.startedAtMs ??= now;
    segment.latestMs = Math.max(now, segment.latestMs ?? now);
    for (const leaf of leaves) this.#frontier.append(leaf);
    this.#keepLeaves([Buffer.concat(leaves)]);
    this.#scheduleCheckpoint();
    return true;
  }

  /** Makes what was appended durable, in a folder that is still ours. Never tried again once it failed. */
  async sync(): Promise<void> {
    this.#throwFailure();
    if (!this.#isUnsynced) return;
    await this.#segment.lines.sync().catch((error) => this.#fail(error));
    this.#isUnsynced = false;
    await this.#checkLock();
    // A checkpoint may have failed meanwhile: nothing is acknowledged after that.
    this.#throwFailure();
  }

  /** Whether {@link upkeep} has something to do. */
  isDue(): boolean {
    if (this.#failure !== undefined || !this.#isRetryAllowed) return false;
    return this.#isRotationDue() || (this.#isCheckpointDue() && this.#checkpointing === undefined);
  }

  /** Begins a new segment or a checkpoint when it is time. Call it when everything is synced. */
  async upkeep(): Promise<void> {
    if (this.#isRotationDue()) await this.#tryWithRoom(() => this.#rotate());
    else if (this.#isCheckpointDue()) void this.#checkpoint().catch(() => {});
  }

  /** Makes the last checkpoint. Call it when everything is synced. */
  async finish(): Promise<void> {
    clearTimeout(this.#timer);
    if (this.#failure === undefined) await this.#checkpointAll().catch(() => {});
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#failure ??= new Error('the log is closed');
    this.#tellCovered();
    await Promise.allSettled([this.#segment.lines.close(), this.#segment.leaves.close(), this.#checkpoints.close()]);
    await this.#folder.lock.release();
  }

  #isRotationDue(): boolean {
    const { lineBytes, startedAtMs, firstSeq } = this.#segment;
    if (firstSeq === this.#frontier.size) return false;
    if (this.#isSetBack()) return true;
    const age = startedAtMs === undefined ? 0 : this.#now() - startedAtMs;
    return lineBytes >= this.#limits.segmentBytes || age >= this.#limits.segmentAgeMs;
  }

  /** Within a segment, whoever finds a record that is too old knows that those before it are, too. */
  #isSetBack(): boolean {
    return this.#now() < (this.#segment.latestMs ?? 0) - CLOCK_SLACK_MS;
  }

  #isCheckpointDue(): boolean {
    const behind = this.#frontier.size - this.#checkpoints.size;
    return behind >= this.#limits.checkpointRecords || (behind > 0 && this.#isTimeUp);
  }

  #scheduleCheckpoint(): void {
    if (this.#timer !== undefined || this.#isTimeUp) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#isTimeUp = true;
      this.#wake();
    }, this.#limits.checkpointMs);
    this.#timer.unref();
  }

  /** Signs the tree as it is now, beside the calls that go on. */
  #checkpoint(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isTimeUp = false;
    const head = { size: this.#frontier.size, root: this.#frontier.root() };
    const segment = this.#segment;
    const leaves = this.#pending;
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#checkpointing = this.#tryWithRoom(async () => {
      await this.#checkLock();
      await this.#writeLeaves(segment, leaves);
      await this.#checkpoints.write(head);
    }).finally(() => {
      this.#checkpointing = undefined;
      this.#tellCovered();
      if (this.#frontier.size > this.#checkpoints.size) this.#scheduleCheckpoint();
      if (this.isDue()) this.#wake();
    });
    return this.#checkpointing;
  }

  #tellCovered(): void {
    const isOver = this.#failure !== undefined;
    const waiting = this.#uncovered;
    this.#uncovered = waiting.filter(({ size }) => !isOver && this.#checkpoints.size < size);
    for (const { size, settle } of waiting) {
      if (isOver || this.#checkpoints.size >= size) settle(this.#checkpoints.size >= size);
    }
  }

  #keepLeaves(leaves: readonly Buffer[]): void {
    for (const bytes of leaves) {
      this.#pending.push(bytes);
      this.#pendingBytes += bytes.length;
    }
  }

  async #writeLeaves(segment: Segment, leaves: readonly Buffer[]): Promise<void> {
    const bytes = Buffer.concat(leaves);
    try {
      await segment.leaves.append(bytes);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      await segment.leaves.cut(segment.leafBytes).catch((failure: unknown) => this.#fail(failure));
      const later = this.#pending;
      this.#pending = [];
      this.#pendingBytes = 0;
      this.#keepLeaves([...leaves, ...later]);
      throw error;
    }
    segment.leafBytes += bytes.length;
    await segment.leaves.sync();
  }

  /** Waits until a checkpoint covers everything. */
  async #checkpointAll(): Promise<void> {
    await this.#checkpointing;
    if (this.#checkpoints.size < this.#frontier.size) await this.#checkpoint();
  }

  async #rotate(): Promise<void> {
    await this.#checkpointAll();
    // No room for it: the segment goes on, or else the next start could not tell where it should.
    if (this.#checkpoints.size < this.#frontier.size) return;
    const old = this.#segment;
    const { path } = this.#folder;
    await writeFrontier(path, this.#frontier);
    this.#segment = await openPatiently(() => openSegment(path, this.#frontier.size, this.#wrap, true));
    await syncFolder(path);
    await Promise.all([old.lines.close(), old.leaves.close()]);
    const { firstSeq: first, lineBytes, latestMs: lastMs = this.#now() } = old;
    this.#rotated({ first, next: this.#segment.firstSeq, lineBytes, lastMs });
  }

  /** Runs work that a full disk only delays. */
  async #tryWithRoom(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isDiskFull(error)) return this.#fail(error);
      this.#isRetryAllowed = false;
      setTimeout(() => {
        this.#isRetryAllowed = true;
        if (this.isDue()) this.#wake();
      }, FULL_RETRY_MS).unref();
    }
  }

  /** Who was paused may find that somebody else writes the log: nothing is acknowledged then. */
  async #checkLock(): Promise<void> {
    if (!(await this.#folder.lock.isHeld())) this.#fail(new LockLost());
  }

  #fail(error: unknown): never {
    this.#failure ??= error;
    throw error;
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}

function checkLimits({ segmentBytes, segmentAgeMs, checkpointRecords, checkpointMs }: MerkleLogOptions) {
  return {
    segmentBytes: checkRange('segmentBytes', segmentBytes ?? 67_108_864, [4_096, 1_073_741_824]),
    segmentAgeMs: checkRange('segmentAgeMs', segmentAgeMs ?? 86_400_000, [1_000, 2_147_483_647]),
    checkpointRecords: checkRange('checkpointRecords', checkpointRecords ?? 10_000, [1, 100_000]),
    checkpointMs: checkRange('checkpointMs', checkpointMs ?? 10_000, [10, 86_400_000]),
  };
}
