/** Group commit: while one batch is written and synced, the next one gathers; one sync serves all waiting calls. */
import { SealwireError } from '../../errors.js';
import { checkRange } from '../../profile/check-range.js';
import { MAX_LINE_BYTES } from '../format/line-batch.js';
import { LockLost } from './log-folder.js';

/** Options of {@link GroupWriter}. */
export interface GroupWriterOptions {
  /** Records that may wait. Default 8,192; 1 to 1,048,576. Beyond it commits are refused. */
  readonly queueRecords?: number;
  /** Characters that may wait, likewise. Default 67,108,864 (64 Mi); 1,024 to 2^30. */
  readonly queueBytes?: number;
  /** How long a commit, and closing, may take, in ms. Default 5,000; 1 to 600,000. */
  readonly deadlineMs?: number;
  /**
   * Resolve commits before the sync, all but those of {@link PendingRecord.always}: an explicit choice for speed over
   * durability. Default false.
   */
  readonly async?: boolean;
  /** Called when the disk is full, has space again, or has failed permanently. */
  readonly onState?: (state: WriterState) => void;
}

/** The state of the disk; `lost`: another process has taken the folder over. */
export type WriterState = 'full' | 'room' | 'failed' | 'lost';

/** Where lines go. One call at a time; {@link GroupWriter} sees to that. */
export interface LineStore {
  /** Sequence number of the next line. */
  readonly nextSeq: number;
  /**
   * @returns false when there was no room, and nothing of the lines was kept; any other failure is for good, and thrown
   */
  append(lines: readonly string[]): Promise<boolean>;
  /** Makes what was appended durable. */
  sync(): Promise<void>;
  /** Whether there is {@link upkeep} to do. */
  isDue(): boolean;
  /** Work between batches, when everything is synced. */
  upkeep(): Promise<void>;
  /** @param wake called when upkeep falls due while nothing is written */
  onDue(wake: () => void): void;
  /** Work before closing, when everything is synced. */
  finish(): Promise<void>;
  close(): Promise<void>;
}

/** A record on its way to the disk. */
export interface PendingRecord {
  /** Encodes the line once its sequence number is known. */
  readonly encode: (seq: number) => string;
  /** Called with the finished line once it is durable. */
  readonly written: (line: string) => void;
  /** Called when a record that nobody waits for was not written. */
  readonly lost?: () => void;
  /** False: written with the next batch, but nobody waits and no sync is made for it. */
  readonly sync: boolean;
  /** Waited for until it is durable in asynchronous mode too. Default false. */
  readonly always?: boolean;
  /** Estimate of the line's length, for the queue's bound. */
  readonly size: number;
}

interface Waiting {
  readonly record: PendingRecord;
  readonly settle: (error?: SealwireError) => void;
}

/** Counters since start. */
export interface GroupWriterStats {
  readonly records: number;
  readonly syncs: number;
  /** Time spent in syncs, ms. */
  readonly syncMs: number;
  readonly queued: number;
  /** Whether the last batch found no room. */
  readonly isFull: boolean;
  /** Whether writing failed for good. */
  readonly hasFailed: boolean;
}

/** Writes records in order, each batch with one write and at most one sync. */
export class GroupWriter {
  readonly #store: LineStore;
  readonly #queueRecords: number;
  readonly #queueBytes: number;
  readonly #deadlineMs: number;
  readonly #async: boolean;
  readonly #onState: (state: WriterState) => void;
  #queue: Waiting[] = [];
  /** Size of what is queued and being written: a hung disk must not fill the memory. */
  #heldRecords = 0;
  #heldBytes = 0;
  #running: Promise<void> | undefined;
  /** Set by the first failure and never cleared: after a failed fsync the kernel may have dropped the pages. */
  #failed = false;
  /** The disk is full. Each batch tries again, and nothing is settled before it is written. */
  #full = false;
  #closed = false;
  /** Whether something was written since the last sync. */
  #unsynced = false;
  #records = 0;
  #syncs = 0;
  #syncMs = 0;

  /** @throws SealwireError `OPTIONS_INVALID` */
  constructor(store: LineStore, options: GroupWriterOptions = {}) {
    this.#store = store;
    this.#queueRecords = checkRange('queueRecords', options.queueRecords ?? 8_192, [1, 1_048_576]);
    this.#queueBytes = checkRange('queueBytes', options.queueBytes ?? 67_108_864, [1_024, 1_073_741_824]);
    this.#deadlineMs = checkRange('deadlineMs', options.deadlineMs ?? 5_000, [1, 600_000]);
    this.#async = options.async ?? false;
    this.#onState = options.onState ?? (() => {});
    store.onDue(() => this.#start());
  }

  /**
   * @returns when the record is durable
   * @throws SealwireError `AUDIT_FAILED` when the queue is full, the deadline passed, or writing failed
   */
  commit(record: PendingRecord): Promise<void> {
    if (!this.#takes(record)) return Promise.reject(unavailable());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(unavailable()), this.#deadlineMs);
      const settle = (error?: SealwireError) => {
        clearTimeout(timer);
        if (error) reject(error);
        else resolve();
      };
      this.#add({ record, settle });
      if (this.#async && !this.#full && !record.always) settle();
    });
  }

  /** Takes a record that nobody waits for; drops it when the queue is full. @returns whether it was taken */
  note(record: PendingRecord): boolean {
    if (!this.#takes(record)) return false;
    this.#add({ record, settle: (error) => error && record.lost?.() });
    return true;
  }

  /** Writes and syncs what is queued and closes the file; a disk that hangs is left after the deadline. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#deadlineMs);
    });
    await Promise.race([this.#finish(), deadline]);
    clearTimeout(timer);
    // If the disk recovers later, nothing may be written to a descriptor that has been reused.
    this.#failed = true;
    await this.#store.close();
  }

  stats(): GroupWriterStats {
    return {
      records: this.#records,
      syncs: this.#syncs,
      syncMs: this.#syncMs,
      queued: this.#queue.length,
      isFull: this.#full,
      hasFailed: this.#failed,
    };
  }

  #takes({ size }: PendingRecord): boolean {
    if (this.#failed || this.#closed || this.#heldRecords >= this.#queueRecords) return false;
    // One record alone always fits, however large.
    return this.#heldRecords === 0 || this.#heldBytes + size <= this.#queueBytes;
  }

  #add(waiting: Waiting): void {
    this.#queue.push(waiting);
    this.#heldRecords++;
    this.#heldBytes += waiting.record.size;
    this.#start();
  }

  #start(): void {
    this.#running ??= this.#run();
  }

  async #finish(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
    try {
      if (this.#failed) return;
      if (this.#unsynced) await this.#sync();
      await this.#store.finish();
    } catch (error) {
      this.#fail(error);
    }
  }

  async #run(): Promise<void> {
    // One turn of the event loop: calls that arrive together share the first batch too.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#queue.length > 0 || this.#isDue()) {
      if (this.#isDue()) await this.#upkeep();
      const batch = this.#queue;
      this.#queue = [];
      if (batch.length > 0) await this.#write(batch);
      this.#heldRecords -= batch.length;
      for (const { record } of batch) this.#heldBytes -= record.size;
    }
    // In the same turn as the check above: a record that comes later must start a new run.
    this.#running = undefined;
  }

  #isDue(): boolean {
    return !this.#failed && this.#store.isDue();
  }

  async #upkeep(): Promise<void> {
    try {
      if (this.#unsynced) await this.#sync();
      await this.#store.upkeep();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#onState(error instanceof LockLost ? 'lost' : 'failed');
  }

  #setFull(isFull: boolean): void {
    if (isFull === this.#full) return;
    this.#full = isFull;
    this.#onState(isFull ? 'full' : 'room');
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    const { lines, encoded } = this.#encode(batch);
    if (encoded.length === 0) return;
    const isAwaited = encoded.some(({ record }) => record.sync);
    let isWritten = false;
    try {
      if (this.#failed) throw unavailable();
      isWritten = await this.#store.append(lines);
      // A refusal is short, and fits where the record of a call does not.
      if (!isWritten || isAwaited) this.#setFull(!isWritten);
      if (isWritten) {
        this.#unsynced = true;
        if (isAwaited) await this.#sync();
      }
    } catch (error) {
      this.#fail(error);
    }
    if (this.#failed || !isWritten) {
      for (const { settle } of encoded) settle(unavailable());
      return;
    }
    this.#records += encoded.length;
    // Settle calls first: they need not wait for the consumers of the lines.
    for (const { settle } of encoded) settle();
    encoded.forEach(({ record }, index) => {
      record.written(lines[index] as string);
    });
  }

  /** A record that cannot be encoded fails alone: it takes no number, and the others of its batch go on. */
  #encode(batch: readonly Waiting[]): { readonly lines: string[]; readonly encoded: Waiting[] } {
    const lines: string[] = [];
    const encoded: Waiting[] = [];
    for (const waiting of batch) {
      try {
        const line = waiting.record.encode(this.#store.nextSeq + lines.length);
        // A line that no reader accepts must not be written.
        if (Buffer.byteLength(line) > MAX_LINE_BYTES) throw unavailable();
        lines.push(line);
        encoded.push(waiting);
      } catch {
        waiting.settle(unavailable());
      }
    }
    return { lines, encoded };
  }

  async #sync(): Promise<void> {
    const startedAt = performance.now();
    await this.#store.sync();
    this.#unsynced = false;
    this.#syncs++;
    this.#syncMs += performance.now() - startedAt;
  }
}

function unavailable(): SealwireError {
  return new SealwireError('AUDIT_FAILED', 'the audit log cannot take records');
}
