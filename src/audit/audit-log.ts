/** The audit log: records only ciphertext, durable before a call goes on. */
import { once } from 'node:events';
import { createLogger, format, type Logger } from 'winston';
import type Transport from 'winston-transport';
import { SealwireError } from '../errors.js';
import { type AuditLogEntry, DurableTransport, RECORD } from './durable-transport.js';
import { FanOut } from './fan-out.js';
import { GroupWriter, type GroupWriterStats } from './group-writer.js';
import { MerkleLog, type MerkleLogOptions } from './merkle-log.js';
import { checkOption } from './options.js';
import { type AuditEvent, type AuditInput, encodeRecord } from './record.js';

/** Options of {@link AuditLog.open}. */
export interface AuditLogOptions extends MerkleLogOptions {
  /** `sync` (default): a commit resolves when the record is on disk. `async`: when it is queued. */
  readonly mode?: 'sync' | 'async';
  /** winston transports that get every committed record. Default: none. */
  readonly transports?: readonly Transport[];
  /** Records that may wait for the disk. Default 8,192; 1 to 1,048,576. */
  readonly queueRecords?: number;
  /** Characters that may wait for the disk, tokens mostly. Default 67,108,864; 1,024 to 2^30. */
  readonly queueBytes?: number;
  /** How long a commit, and closing, may take, in ms. Default 5,000; 1 to 600,000. */
  readonly deadlineMs?: number;
  /** `reject` records per second written one by one; more are counted and summarised. Default 100; 1 to 10,000. */
  readonly rejectsPerSecond?: number;
  /** Characters of `reject` records per second, likewise. Default 262,144; 1,024 to 2^30. */
  readonly rejectBytesPerSecond?: number;
}

/** Counters since start. */
export interface AuditLogStats extends GroupWriterStats {
  readonly fanOutDropped: number;
  readonly fanOutFailed: number;
}

const SECOND_MS = 1_000;

/** Writes audit records through winston. */
export class AuditLog {
  readonly #options: AuditLogOptions;
  readonly #writer: GroupWriter;
  readonly #logger: Logger;
  readonly #fanOut: FanOut;
  readonly #now: () => number;
  readonly #rejectsPerSecond: number;
  readonly #rejectBytesPerSecond: number;
  readonly #durable: DurableTransport;
  #window = { startedAt: 0, written: 0, bytes: 0, suppressed: 0 };
  #summary: NodeJS.Timeout | undefined;
  #closed = false;

  private constructor(options: AuditLogOptions, store: MerkleLog) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#rejectsPerSecond = checkOption('rejectsPerSecond', options.rejectsPerSecond ?? 100, 1, 10_000);
    const rejectBytes = options.rejectBytesPerSecond ?? 262_144;
    this.#rejectBytesPerSecond = checkOption('rejectBytesPerSecond', rejectBytes, 1_024, 1_073_741_824);
    this.#writer = new GroupWriter(store, {
      async: options.mode === 'async',
      ...(options.queueRecords !== undefined && { queueRecords: options.queueRecords }),
      ...(options.queueBytes !== undefined && { queueBytes: options.queueBytes }),
      ...(options.deadlineMs !== undefined && { deadlineMs: options.deadlineMs }),
    });
    // The durable transport is alone here: a hung one beside it would stop it after 16 records.
    this.#durable = new DurableTransport(this.#writer);
    // Its format does nothing: the record is encoded once, when its number is known.
    this.#logger = createLogger({ format: format((info) => info)(), transports: [this.#durable] });
    this.#fanOut = new FanOut({ transports: options.transports ?? [] });
  }

  /**
   * Opens a log, repairs what a crash left and tells it in a `recover` record, and writes a `start` record.
   *
   * @throws SealwireError `AUDIT_FILE_INVALID`, `AUDIT_FAILED`, `OPTIONS_INVALID`
   */
  static async open(options: AuditLogOptions): Promise<AuditLog> {
    const { log: store, repairs } = await MerkleLog.open(options);
    let log: AuditLog | undefined;
    try {
      log = new AuditLog(options, store);
      if (repairs.length > 0) await log.#event('recover', repairs.join('; '));
      await log.#event('start', '');
      return log;
    } catch (error) {
      // The folder must be free for another try.
      await (log ?? store).close();
      throw error;
    }
  }

  /**
   * @returns when the record is durable
   * @throws SealwireError `AUDIT_FAILED`
   */
  commit(input: AuditInput): Promise<void> {
    if (this.#closed) return Promise.reject(new SealwireError('AUDIT_FAILED', 'the audit log is closed'));
    return new Promise((resolve, reject) => {
      this.#log(input, true, (result) => result.then(resolve, reject));
    });
  }

  /** Takes a `reject` record: written soon, not synced, and past a rate only counted. Never throws. */
  note(input: AuditInput): void {
    if (this.#closed) return;
    const now = this.#now();
    if (now - this.#window.startedAt >= SECOND_MS) this.#nextWindow(now);
    const { written, bytes } = this.#window;
    if (written >= this.#rejectsPerSecond || bytes >= this.#rejectBytesPerSecond) {
      this.#suppress(1);
      return;
    }
    this.#window.written++;
    this.#window.bytes += estimateSize(input);
    this.#log(input, false, undefined, () => this.#suppress(1));
  }

  stats(): AuditLogStats {
    const { dropped, failed } = this.#fanOut.stats();
    return { ...this.#writer.stats(), fanOutDropped: dropped, fanOutFailed: failed };
  }

  /** Writes what is queued and closes the log. */
  async close(): Promise<void> {
    if (this.#closed) return;
    clearTimeout(this.#summary);
    this.#nextWindow(this.#now());
    this.#closed = true;
    // What the logger's stream still holds must reach the writer before that closes.
    const delivered = once(this.#durable, 'finish');
    this.#logger.end();
    await delivered;
    await this.#writer.close();
    this.#fanOut.close();
  }

  #log(input: AuditInput, sync: boolean, settle?: (result: Promise<void>) => void, lost?: () => void): void {
    const { origin } = this.#options;
    const time = this.#now();
    const entry: AuditLogEntry = {
      level: 'info',
      message: input.event,
      [RECORD]: {
        record: {
          encode: (seq) => encodeRecord(input, { seq, time, origin }),
          written: (line) => this.#fanOut.push(line),
          ...(lost && { lost }),
          sync,
          size: estimateSize(input),
        },
        settle,
      },
    };
    this.#logger.write(entry);
  }

  #event(event: AuditEvent, detail: string): Promise<void> {
    return this.commit({ ...BLANK, event, detail });
  }

  /** Starts a new second, and tells how many of the last one's rejects were not written. */
  #nextWindow(now: number): void {
    const { suppressed } = this.#window;
    this.#window = { startedAt: now, written: 0, bytes: 0, suppressed: 0 };
    if (suppressed === 0) return;
    const summary: AuditInput = { ...BLANK, event: 'reject', detail: `${suppressed} more refused calls` };
    this.#log(summary, false, undefined, () => this.#suppress(suppressed));
  }

  /** Counts rejects that are not written one by one. */
  #suppress(count: number): void {
    this.#window.suppressed += count;
    this.#scheduleSummary();
  }

  #scheduleSummary(): void {
    if (this.#summary !== undefined || this.#closed) return;
    this.#summary = setTimeout(() => {
      this.#summary = undefined;
      this.#nextWindow(this.#now());
    }, SECOND_MS);
    this.#summary.unref();
  }
}

/** About the length of the line: what is stored of a token, plus the rest. */
function estimateSize({ event, fields }: AuditInput): number {
  let size = 512;
  for (const { token, keep } of fields) {
    size += 512 + (keep && event !== 'reject' ? token.length : Math.min(token.length, 2_732));
  }
  return size;
}

const BLANK: AuditInput = {
  event: 'start',
  method: '',
  peer: '',
  principal: '',
  requestId: '',
  traceparent: '',
  durationUs: 0,
  detail: '',
  fields: [],
};
