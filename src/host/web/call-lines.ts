/** The gateway's lines on calls: what a proxy knows of them. No message, and no header but the request's id. */
import type { AppLogger } from '../host-app.js';

/** One call that has ended. */
export interface WebCallLine {
  readonly method: string;
  readonly form: string;
  readonly code: string;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly ms: number;
  readonly client: string;
  /** `x-request-id`, where the client sent one of a usual form. */
  readonly requestId?: string;
}

/** Lines per second: callers can cause them. */
const MAX_PER_SECOND = 20;
const SECOND_MS = 1_000;
/** How many are remembered. */
const KEPT = 256;
const REQUEST_ID = /^[\w.-]{1,128}$/;

/** @returns an id that can be shown */
export function requestIdOf(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' && REQUEST_ID.test(value) ? value : undefined;
}

export class CallLines {
  readonly #logger: AppLogger;
  readonly #now: () => number;
  readonly #kept: WebCallLine[] = [];
  #startedAt = 0;
  #count = 0;
  #omitted = 0;

  constructor(logger: AppLogger, now: () => number = Date.now) {
    this.#logger = logger;
    this.#now = now;
  }

  add(line: WebCallLine): void {
    if (this.#kept.push(line) > KEPT) this.#kept.shift();
    const at = this.#now();
    if (Math.abs(at - this.#startedAt) >= SECOND_MS) {
      this.#startedAt = at;
      this.#count = 0;
    }
    if (this.#count++ >= MAX_PER_SECOND) {
      this.#omitted++;
      return;
    }
    this.#logger.info('web call', { ...line, ...(this.#omitted > 0 && { omitted: this.#omitted }) });
    this.#omitted = 0;
  }

  /** @returns the lines of one request, of the last 256 */
  of(requestId: string): readonly WebCallLine[] {
    return this.#kept.filter((line) => line.requestId === requestId);
  }
}
