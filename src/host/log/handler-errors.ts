/** Lines on errors of handlers: few of them, and nothing of what an error says. */
import { SealwireError } from '../../errors.js';
import type { HandlerErrorReport } from '../../server/add-service.js';
import type { AppLogger } from '../host-app.js';

/** Lines per method and window. */
const MAX_LINES = 5;

/** The message of another's error may quote an opened field: the class name has to do. */
function describe(error: unknown): object {
  if (error instanceof SealwireError) return { error: error.code, why: error.message };
  return { error: error instanceof Error ? error.name : typeof error };
}

/** Reports to the application log; callers can cause these lines, so that what is beyond a rate is only counted. */
export class HandlerErrors {
  readonly #logger: AppLogger;
  readonly #windowMs: number;
  readonly #windows = new Map<string, { lines: number; omitted: number; readonly timer: NodeJS.Timeout }>();
  #isQuiet = false;

  /** @param windowMs default 10,000 */
  constructor(logger: AppLogger, windowMs = 10_000) {
    this.#logger = logger;
    this.#windowMs = windowMs;
  }

  readonly report: HandlerErrorReport = (error, path) => {
    if (this.#isQuiet) return;
    const window = this.#windows.get(path) ?? this.#open(path);
    if (window.lines === MAX_LINES) {
      window.omitted++;
      return;
    }
    window.lines++;
    this.#logger.error('a handler failed', { path, ...describe(error) });
  };

  /** Tells what was left out, and nothing more from now on: the calls under way are ended by ourselves. */
  end(): void {
    this.#isQuiet = true;
    for (const path of [...this.#windows.keys()]) this.#close(path);
  }

  #open(path: string) {
    const timer = setTimeout(() => this.#close(path), this.#windowMs).unref();
    const window = { lines: 0, omitted: 0, timer };
    this.#windows.set(path, window);
    return window;
  }

  #close(path: string): void {
    const { omitted = 0, timer } = this.#windows.get(path) ?? {};
    clearTimeout(timer);
    this.#windows.delete(path);
    if (omitted > 0) this.#logger.error('a handler failed more often', { path, times: omitted });
  }
}
