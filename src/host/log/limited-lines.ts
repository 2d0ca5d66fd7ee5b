/** Lines that callers can cause: few of them, and what is beyond a rate is only counted. */
import type { AppLogger } from '../host-app.js';

/** Lines per subject and window. */
const MAX_LINES = 5;

/** What {@link LimitedLines} writes. */
export interface LimitedLinesOptions {
  readonly level: 'info' | 'error';
  readonly message: string;
  /** ms. Default 10,000. */
  readonly windowMs?: number | undefined;
}

/** Writes one kind of line to the application log. Its subjects must be few. */
export class LimitedLines {
  readonly #logger: AppLogger;
  readonly #options: LimitedLinesOptions;
  readonly #windows = new Map<string, { lines: number; omitted: number; readonly timer: NodeJS.Timeout }>();
  #isQuiet = false;

  constructor(logger: AppLogger, options: LimitedLinesOptions) {
    this.#logger = logger;
    this.#options = options;
  }

  /** @param subject what lines are counted by, e.g. `{ path }`; @param facts more that the line tells */
  say(subject: object, facts: object): void {
    if (this.#isQuiet) return;
    const { level, message } = this.#options;
    const key = JSON.stringify(subject);
    const window = this.#windows.get(key) ?? this.#open(key);
    if (window.lines === MAX_LINES) {
      window.omitted++;
      return;
    }
    window.lines++;
    this.#logger[level](message, { ...subject, ...facts });
  }

  /** Tells what was left out, and nothing more from now on. */
  end(): void {
    this.#isQuiet = true;
    for (const key of [...this.#windows.keys()]) this.#close(key);
  }

  #open(key: string) {
    const timer = setTimeout(() => this.#close(key), this.#options.windowMs ?? 10_000).unref();
    const window = { lines: 0, omitted: 0, timer };
    this.#windows.set(key, window);
    return window;
  }

  #close(key: string): void {
    const { omitted = 0, timer } = this.#windows.get(key) ?? {};
    clearTimeout(timer);
    this.#windows.delete(key);
    const { level, message } = this.#options;
    if (omitted > 0) this.#logger[level](`${message} more often`, { ...JSON.parse(key), times: omitted });
  }
}
