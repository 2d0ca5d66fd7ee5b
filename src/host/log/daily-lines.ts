/** Lines on what lasts: the same line once a day, however often it is found. */
import type { AppLogger } from '../host-app.js';

const DAY_MS = 86_400_000;

/** Writes to the application log. */
export class DailyLines {
  readonly #logger: AppLogger;
  readonly #now: () => number;
  readonly #saidAtMs = new Map<string, number>();

  /** @param now clock in ms since 1970 */
  constructor(logger: AppLogger, now: () => number) {
    this.#logger = logger;
    this.#now = now;
  }

  say(level: 'warn' | 'error', text: string): void {
    for (const [said, atMs] of this.#saidAtMs) if (Math.abs(this.#now() - atMs) >= DAY_MS) this.#saidAtMs.delete(said);
    if (this.#saidAtMs.has(text)) return;
    this.#saidAtMs.set(text, this.#now());
    this.#logger[level](text);
  }
}
