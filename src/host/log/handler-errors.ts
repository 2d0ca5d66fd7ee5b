/** Lines on errors of handlers: few of them, and nothing of what an error says. */
import { SealwireError } from '../../errors.js';
import type { HandlerErrorReport } from '../../server/add-service.js';
import type { AppLogger } from '../host-app.js';
import { LimitedLines } from './limited-lines.js';

/** The message of another's error may quote an opened field: the class name has to do. */
function describe(error: unknown): object {
  if (error instanceof SealwireError) return { error: error.code, why: error.message };
  return { error: error instanceof Error ? error.name : typeof error };
}

/** Reports to the application log. */
export class HandlerErrors {
  readonly #lines: LimitedLines;

  /** @param windowMs default 10,000 */
  constructor(logger: AppLogger, windowMs?: number) {
    this.#lines = new LimitedLines(logger, { level: 'error', message: 'a handler failed', windowMs });
  }

  readonly report: HandlerErrorReport = (error, path) => {
    this.#lines.say({ path }, describe(error));
  };

  /** Tells what was left out, and nothing more from now on: the calls under way are ended by ourselves. */
  end(): void {
    this.#lines.end();
  }
}
