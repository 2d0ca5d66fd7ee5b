/** Exit codes, and the one line that an error is worth. */
import { SealwireError } from '../errors.js';

/** What a process ends with. */
export const ExitCode = { DONE: 0, NEGATIVE: 1, WRONG_USE: 2, UNAVAILABLE: 3 } as const;

/** Local failures that the user can mend by another input. */
const WRONG_USE: readonly string[] = ['OPTIONS_INVALID', 'KEY_INVALID', 'KEY_DATES_INVALID', 'SEAL_INPUT'];

/** @returns 2 for wrong use, 3 for everything that is missing, broken or taken */
export function exitCodeOf(error: unknown): number {
  const wrong = error instanceof SealwireError && WRONG_USE.includes(error.code);
  return wrong ? ExitCode.WRONG_USE : ExitCode.UNAVAILABLE;
}

/** One line without a stack. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split('\n', 1)[0] ?? '';
}
