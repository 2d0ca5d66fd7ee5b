/** Exit codes, and the one line that an error is worth. */
import { SealwireError } from '../errors.js';

/** What a process ends with. */
export const ExitCode = { DONE: 0, NEGATIVE: 1, WRONG_USE: 2, UNAVAILABLE: 3 } as const;

/** Local failures that the user can mend by another input. */
const WRONG_USE: readonly string[] = [
  'OPTIONS_INVALID',
  'KEY_INVALID',
  'KEY_DATES_INVALID',
  'KEY_NOT_FOUND',
  'SEAL_INPUT',
];
/** What was asked for is refused as things are. */
const NEGATIVE: readonly string[] = ['KEY_NOT_DUE', 'KEY_IN_USE'];

/** @returns 1 for what is refused, 2 for wrong use, 3 for everything that is missing, broken or taken */
export function exitCodeOf(error: unknown): number {
  const code = error instanceof SealwireError ? error.code : '';
  if (NEGATIVE.includes(code)) return ExitCode.NEGATIVE;
  return WRONG_USE.includes(code) ? ExitCode.WRONG_USE : ExitCode.UNAVAILABLE;
}

/** One line without a stack. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split('\n', 1)[0] ?? '';
}
