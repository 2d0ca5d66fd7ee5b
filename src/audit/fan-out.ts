/** Committed records for everybody else: a second logger whose transports can be slow or broken. */
import { createLogger, format, type Logger } from 'winston';
import type Transport from 'winston-transport';

/** Options of {@link FanOut}. */
export interface FanOutOptions {
  /** winston transports, as users know them. */
  readonly transports: readonly Transport[];
  /** Records that may wait for one transport; more are dropped and counted. Default 1,024. */
  readonly queueRecords?: number;
}

/** One transport behind a bounded queue. */
class BoundedOutput {
  readonly #logger: Logger;
  readonly #queueRecords: number;
  readonly #queue: string[] = [];
  #blocked = false;
  dropped = 0;
  failed = 0;

  constructor(transport: Transport, queueRecords: number) {
    this.#queueRecords = queueRecords;
    // The line is printed as it is: no winston format may add or reorder keys.
    const line = format.printf(({ message }) => String(message));
    this.#logger = createLogger({ format: line, transports: [transport] });
    const fail = () => {
      this.failed++;
    };
    transport.on('error', fail);
    this.#logger.on('error', fail);
    this.#logger.on('drain', () => {
      this.#blocked = false;
      this.#drain();
    });
  }

  push(line: string): void {
    if (this.#queue.length >= this.#queueRecords) {
      this.dropped++;
      return;
    }
    this.#queue.push(line);
    this.#drain();
  }

  close(): void {
    this.#logger.close();
  }

  #drain(): void {
    while (!this.#blocked) {
      const line = this.#queue.shift();
      if (line === undefined) return;
      try {
        this.#blocked = !this.#logger.write({ level: 'info', message: line });
      } catch {
        // A transport that throws must not reach the calls whose records these are.
        this.failed++;
      }
    }
  }
}

/** Copies committed lines to winston transports; none of them can hold up a call. */
export class FanOut {
  readonly #outputs: readonly BoundedOutput[];

  constructor(options: FanOutOptions) {
    const queueRecords = options.queueRecords ?? 1_024;
    this.#outputs = options.transports.map((transport) => new BoundedOutput(transport, queueRecords));
  }

  push(line: string): void {
    for (const output of this.#outputs) output.push(line);
  }

  /** Records that were dropped, and errors that transports reported. */
  stats(): { readonly dropped: number; readonly failed: number } {
    const sum = (pick: (output: BoundedOutput) => number) =>
      this.#outputs.reduce((total, output) => total + pick(output), 0);
    return { dropped: sum((output) => output.dropped), failed: sum((output) => output.failed) };
  }

  close(): void {
    for (const output of this.#outputs) output.close();
  }
}
