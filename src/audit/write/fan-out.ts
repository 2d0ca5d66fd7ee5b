/** Copies of committed records: a second logger whose transports may be slow or broken. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createLogger, format, type Logger } from 'winston';
import type Transport from 'winston-transport';
import { type AuditReport, QuietReporter, type Reporter } from './reports.js';

/** Longest text of a transport's error that is passed on. */
const MAX_WHY = 200;

/** Options of {@link FanOut}. */
export interface FanOutOptions {
  /** Any winston transports. */
  readonly transports: readonly Transport[];
  /** Records that may wait for one transport; more are dropped and counted. Default 1,024. */
  readonly queueRecords?: number;
  /** Called with errors and drops, at most once per `reportMs` and transport. Default: not called. */
  readonly report?: Reporter;
  /** Default 60,000. */
  readonly reportMs?: number;
  /** How long {@link FanOut.close} waits for transports, in ms. Default 2,000. */
  readonly closeMs?: number;
}

/** One transport behind a bounded queue. */
class BoundedOutput {
  readonly #transport: Transport;
  readonly #logger: Logger;
  readonly #queueRecords: number;
  readonly #queue: string[] = [];
  readonly #name: string;
  readonly #reporter: QuietReporter;
  #blocked = false;
  #ending = false;
  dropped = 0;
  failed = 0;

  constructor(transport: Transport, queueRecords: number, reporter: QuietReporter) {
    this.#transport = transport;
    this.#queueRecords = queueRecords;
    this.#reporter = reporter;
    this.#name = transport.constructor.name;
    // The line is printed as it is: no winston format may add or reorder keys.
    const line = format.printf(({ message }) => String(message));
    this.#logger = createLogger({ format: line, transports: [transport] });
    // The logger passes on what its transports report; winston's own report some problems as warnings.
    this.#logger.on('error', (error: unknown) => this.#fail(error));
    this.#logger.on('warn', (error: unknown) => this.#fail(error));
    // No event of winston's: our own transports tell so that what they reported is over.
    transport.on('recovered', () => this.#reporter.tell(() => this.#describe('takes records again')));
    this.#logger.on('drain', () => {
      this.#blocked = false;
      this.#drain();
    });
  }

  push(line: string): void {
    if (this.#queue.length >= this.#queueRecords) {
      this.dropped++;
      this.#reporter.tell(() => this.#describe('is too slow: records for it were dropped'));
      return;
    }
    this.#queue.push(line);
    this.#drain();
  }

  /** Ends the transport behind what waits for it. @returns when it has taken that, or `closeMs` later */
  async close(closeMs: number): Promise<void> {
    const timer = new AbortController();
    const finished = new Promise((resolve) => this.#logger.once('finish', resolve));
    this.#ending = true;
    this.#drain();
    await Promise.race([finished, sleep(closeMs, undefined, timer).catch(() => {})]);
    timer.abort();
    const left = [this.#logger.writableLength, this.#logger.readableLength, this.#transport.writableLength];
    const lost = left.reduce((sum, length) => sum + length, this.#queue.length);
    if (lost > 0) {
      this.dropped += lost;
      this.#reporter.tell(() => this.#describe('did not take the last records in time'));
    }
    this.#reporter.close();
    this.#logger.close();
  }

  #fail(error: unknown): void {
    this.failed++;
    this.#reporter.tell(() => this.#describe('failed', error));
  }

  #describe(what: string, error?: unknown): AuditReport {
    const { code, message } = (error ?? {}) as NodeJS.ErrnoException;
    const why = code ?? message?.slice(0, MAX_WHY);
    const counts = { dropped: this.dropped, failed: this.failed };
    const facts = { transport: this.#name, ...counts, ...(why !== undefined && { why }) };
    return { level: 'warn', message: `an audit transport ${what}`, facts };
  }

  #drain(): void {
    while (!this.#blocked) {
      const line = this.#queue.shift();
      if (line === undefined) {
        if (this.#ending) this.#logger.end();
        this.#ending = false;
        return;
      }
      try {
        this.#blocked = !this.#logger.write({ level: 'info', message: line });
      } catch (error) {
        // A transport that throws must not reach the calls whose records these are.
        this.#fail(error);
      }
    }
  }
}

/** Copies committed lines to winston transports; none of them can hold up a call. */
export class FanOut {
  readonly #outputs: readonly BoundedOutput[];
  readonly #closeMs: number;

  constructor(options: FanOutOptions) {
    const queueRecords = options.queueRecords ?? 1_024;
    const { report = () => {}, reportMs = 60_000, closeMs = 2_000 } = options;
    this.#closeMs = closeMs;
    this.#outputs = options.transports.map(
      (transport) => new BoundedOutput(transport, queueRecords, new QuietReporter(report, reportMs)),
    );
  }

  push(line: string): void {
    for (const output of this.#outputs) output.push(line);
  }

  /** Records that were dropped, and failures that transports reported. */
  stats(): { readonly dropped: number; readonly failed: number } {
    const sum = (pick: (output: BoundedOutput) => number) =>
      this.#outputs.reduce((total, output) => total + pick(output), 0);
    return { dropped: sum((output) => output.dropped), failed: sum((output) => output.failed) };
  }

  /** Waits, for a bounded time, until the transports have taken what was pushed. */
  async close(): Promise<void> {
    await Promise.all(this.#outputs.map((output) => output.close(this.#closeMs)));
  }
}
