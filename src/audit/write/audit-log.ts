/** The audit log: records only ciphertext, durable before a call goes on. */
import { once } from 'node:events';
import { createLogger, format, type Logger } from 'winston';
import type Transport from 'winston-transport';
import { SealwireError } from '../../errors.js';
import { type AuditEvent, encodeRecord, type RecordInput } from '../format/record.js';
import { formatRetirement } from '../format/retirement.js';
import { type AuditLogEntry, DurableTransport, RECORD } from './durable-transport.js';
import { FanOut } from './fan-out.js';
import { GroupWriter, type GroupWriterStats, type PendingRecord, type WriterState } from './group-writer.js';
import { KnownTokens } from './known-tokens.js';
import { freeBytes, ROOM_BYTES } from './log-folder.js';
import { MerkleLog, type MerkleLogOptions } from './merkle-log.js';
import { BLANK_INPUT, estimateSize } from './record-input.js';
import { RejectNotes, type RejectNotesOptions } from './reject-notes.js';
import type { AuditReport, Reporter } from './reports.js';
import { Retention, type RetentionOptions } from './retention.js';
import { StoredBudget, type StoredBudgetOptions } from './stored-budget.js';

/** Options of {@link AuditLog.open}. */
export interface AuditLogOptions
  extends MerkleLogOptions,
    Omit<RejectNotesOptions, 'now'>,
    StoredBudgetOptions,
    Omit<RetentionOptions, 'now'> {
  /**
   * `sync` (default): a commit resolves when the record is on disk. `async`: when it is queued; what the log tells of
   * itself is waited for even so.
   */
  readonly mode?: 'sync' | 'async';
  /** winston transports that get every committed record. Default: none. */
  readonly transports?: readonly Transport[];
  /** Records that may wait for the disk. Default 8,192; 1 to 1,048,576. */
  readonly queueRecords?: number;
  /** Characters that may wait for the disk, tokens mostly. Default 67,108,864; 1,024 to 2^30. */
  readonly queueBytes?: number;
  /** How long a commit, and closing, may take, in ms. Default 5,000; 1 to 600,000. */
  readonly deadlineMs?: number;
  /** Told when the disk is full, has room again, or has failed for good. Default: nobody. */
  readonly onState?: (state: WriterState) => void;
  /** Called with what operators should know: repairs, a full disk, problems of transports. Default: not called. */
  readonly report?: Reporter;
}

/** Counters since start. */
export interface AuditLogStats extends GroupWriterStats {
  readonly fanOutDropped: number;
  readonly fanOutFailed: number;
}

/** How often an idle log checks whether something can be removed. */
const RETENTION_MS = 3_600_000;
/**
 * How often a log whose disk is full looks for room, though no call may come while the service says that it takes none.
 */
const ROOM_MS = 1_000;

/**
 * Writes audit records through winston.
 *
 * @example
 * ```ts
 * import { AuditLog } from 'sealwire/audit';
 *
 * const audit = await AuditLog.open({ dir: 'audit', origin: 'payments' });
 * process.once('SIGTERM', () => void audit.close());
 * ```
 */
export class AuditLog {
  readonly #options: AuditLogOptions;
  readonly #store: MerkleLog;
  readonly #writer: GroupWriter;
  readonly #logger: Logger;
  readonly #fanOut: FanOut;
  readonly #now: () => number;
  readonly #durable: DurableTransport;
  readonly #rejects: RejectNotes;
  readonly #stored: StoredBudget;
  readonly #known: KnownTokens;
  readonly #retention: Retention;
  readonly #report: Reporter;
  #removing: Promise<void> = Promise.resolve();
  #retentionTimer: NodeJS.Timeout | undefined;
  #roomTimer: NodeJS.Timeout | undefined;
  #closed = false;

  private constructor(options: AuditLogOptions, store: MerkleLog) {
    this.#options = options;
    this.#store = store;
    this.#now = options.now ?? Date.now;
    this.#report = options.report ?? (() => {});
    this.#rejects = new RejectNotes(options, this.origin, (input, lost) => this.#log(input, { sync: false, lost }));
    this.#stored = new StoredBudget(options);
    this.#known = new KnownTokens(this.origin);
    this.#retention = new Retention(store.path, store.signer, options, () => this.#closed);
    this.#writer = new GroupWriter(store, {
      async: options.mode === 'async',
      onState: (state) => this.#onState(state),
      ...(options.queueRecords !== undefined && { queueRecords: options.queueRecords }),
      ...(options.queueBytes !== undefined && { queueBytes: options.queueBytes }),
      ...(options.deadlineMs !== undefined && { deadlineMs: options.deadlineMs }),
    });
    // The durable transport is alone here: a hung one beside it would stop it after 16 records.
    this.#durable = new DurableTransport(this.#writer);
    // Its format does nothing: the record is encoded once, when its number is known.
    this.#logger = createLogger({ format: format((info) => info)(), transports: [this.#durable] });
    this.#fanOut = new FanOut({ transports: options.transports ?? [], report: this.#report });
    if (this.#retention.isActive) this.#startRetention(store);
  }

  /**
   * Opens a log, repairs what a crash left, says so in a `recover` record, and writes a `start` record.
   *
   * @throws SealwireError `AUDIT_FILE_INVALID`, `AUDIT_FAILED`, `OPTIONS_INVALID`
   */
  static async open(options: AuditLogOptions): Promise<AuditLog> {
    const { log: store, repairs } = await MerkleLog.open(options);
    let log: AuditLog | undefined;
    try {
      log = new AuditLog(options, store);
      if (repairs.length > 0) {
        log.#report({ level: 'warn', message: 'the audit log was repaired', facts: { repairs: repairs.join('; ') } });
        await log.#event('recover', repairs.join('; '));
      }
      await log.#event('start', '');
      log.#applyRetention();
      return log;
    } catch (error) {
      // Release the folder for another try.
      await (log ?? store).close();
      throw error;
    }
  }

  /**
   * @returns when the record is durable
   * @throws SealwireError `AUDIT_FAILED`; `STORED_BYTES` when the caller had too much written about stored tokens
   */
  async commit(input: RecordInput): Promise<void> {
    if (this.#closed) throw new SealwireError('AUDIT_FAILED', 'the audit log is closed');
    const referring = this.#known.refer(input);
    this.#stored.take(referring, this.origin, this.#now());
    return this.#commit(referring, false);
  }

  /** Takes a `reject` record: written soon, not synced, and past a rate only counted. Never throws. */
  note(input: RecordInput): void {
    if (!this.#closed) this.#rejects.note(input);
  }

  /** The log's origin, which is in each record. */
  get origin(): string {
    return this.#store.signer.verifier.name;
  }

  stats(): AuditLogStats {
    const { dropped, failed } = this.#fanOut.stats();
    return { ...this.#writer.stats(), fanOutDropped: dropped, fanOutFailed: failed };
  }

  /** Writes what is queued, waits up to 2 s for the transports to take it, and closes the log. */
  async close(): Promise<void> {
    if (this.#closed) return;
    clearInterval(this.#retentionTimer);
    clearInterval(this.#roomTimer);
    this.#rejects.close();
    this.#closed = true;
    // What the logger's stream still holds must reach the writer before that closes.
    const delivered = once(this.#durable, 'finish');
    this.#logger.end();
    await delivered;
    await this.#writer.close();
    await this.#removing;
    await this.#fanOut.close();
  }

  #commit(input: RecordInput, always: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#log(input, { sync: true, always }, (result) => result.then(resolve, reject));
    });
  }

  #log(
    input: RecordInput,
    how: Pick<PendingRecord, 'sync' | 'always' | 'lost'>,
    settle?: (result: Promise<void>) => void,
  ): void {
    const { origin } = this;
    let at = 0;
    const entry: AuditLogEntry = {
      level: 'info',
      message: input.event,
      [RECORD]: {
        record: {
          // Its time is that of its place: whoever reads backwards leans on their order.
          encode: (seq) => {
            at = seq;
            return encodeRecord(input, { seq, time: this.#now(), origin });
          },
          written: (line) => {
            this.#known.learn(input, at);
            this.#fanOut.push(line);
          },
          ...how,
          size: estimateSize(input),
        },
        settle,
      },
    };
    this.#logger.write(entry);
  }

  #event(event: AuditEvent, detail: string): Promise<void> {
    // Durable in asynchronous mode too: removal follows this record, and a repair is recorded only once.
    return this.#commit({ ...BLANK_INPUT, event, detail }, true);
  }

  #onState(state: WriterState): void {
    this.#report(STATES[state]);
    clearInterval(this.#roomTimer);
    if (state === 'full' && !this.#closed) {
      const since = new Date(this.#now()).toISOString();
      const tell = () => this.#event('recover', `the disk of the log was full, from ${since}`);
      const look = () => freeBytes(this.#store.path).then((free) => (free >= ROOM_BYTES ? tell() : undefined));
      this.#roomTimer = setInterval(() => void look().catch(() => {}), ROOM_MS).unref();
    }
    this.#options.onState?.(state);
  }

  #startRetention(store: MerkleLog): void {
    store.onRotated((closed) => {
      this.#retention.learn(closed);
      this.#applyRetention();
    });
    this.#retentionTimer = setInterval(() => this.#applyRetention(), RETENTION_MS);
    this.#retentionTimer.unref();
  }

  /** Removes old segments, one call after the other, beside the calls that go on. */
  #applyRetention(): void {
    if (!this.#retention.isActive) return;
    this.#removing = this.#removing
      .then(() => this.#removeOld())
      .catch(() => {
        const message = 'old audit records could not be removed';
        this.#report({ level: 'warn', message, facts: {} });
      });
  }

  async #removeOld(): Promise<void> {
    const { segments, changed } = await this.#retention.find(this.#store.lineBytes);
    const [begin, end] = [segments[0]?.first, segments.at(-1)?.next];
    if (this.#closed) return;
    if (changed !== undefined) {
      const message = 'old audit records are not what was signed, so retention keeps them: run sealwire audit verify';
      this.#report({ level: 'error', message, facts: { first: changed.first, last: changed.next - 1 } });
    }
    if (begin === undefined || end === undefined) return;
    const last = end - 1;
    const first = this.#retention.findFirst(begin);
    this.#known.forget(last);
    // Recorded and signed first: lines that are missing without a record of it were removed by somebody else.
    await this.#event('retire', formatRetirement(first, last));
    if (!(await this.#store.whenCovered()) || this.#closed) return;
    await this.#retention.remove(segments, first);
    this.#report({ level: 'info', message: 'old audit records were removed', facts: { first, last } });
  }
}

/** What is reported of the disk. */
const STATES: Readonly<Record<WriterState, AuditReport>> = {
  full: { level: 'error', message: 'the disk of the audit log is full: sealed calls are refused', facts: {} },
  room: { level: 'info', message: 'the disk of the audit log has room again', facts: {} },
  lost: {
    level: 'error',
    message: 'another process has taken over the audit log: sealed calls are refused; stop this one',
    facts: {},
  },
  failed: {
    level: 'error',
    message: 'the audit log cannot be written: sealed calls are refused until a restart',
    facts: {},
  },
};
