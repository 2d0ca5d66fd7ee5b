/** Exit codes, and the one line that an error is worth. */
import { SealwireError } from '../../errors.js';

/** What a process ends with. */
export const ExitCode = { DONE: 0, NEGATIVE: 1, WRONG_USE: 2, UNAVAILABLE: 3 } as const;

/** Local failures that the user can mend by another input. */
const WRONG_USE: readonly string[] = [
  'OPTIONS_INVALID',
  'KEY_INVALID',
  'KEY_DATES_INVALID',
  'KEY_NOT_FOUND',
  'KEY_FILE_ENCRYPTED',
  'KEY_PASSPHRASE_WRONG',
  'PLAN_INVALID',
  'SEAL_INPUT',
  'SESSION_INVALID',
];
/** What was asked for is refused as things are. */
const NEGATIVE: readonly string[] = ['KEY_NOT_DUE', 'KEY_IN_USE', 'SCHEMA_UNTRUSTED'];
/** What a terminal could take for a command: names may come from a service. */
const CONTROL = /\p{C}/gu;
/** Reasons that are a verdict about a token. */
const VERDICT = /^(?:SEALED_FIELD_|INNER_MESSAGE_INVALID$|LIMIT_EXCEEDED$)/;

/**
 * @returns 1 for what is refused or does not verify, 2 for wrong use, 3 for everything that is missing, broken or taken
 */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof SealwireError)) return ExitCode.UNAVAILABLE;
  const { code, reason = '' } = error;
  if (WRONG_USE.includes(code)) return ExitCode.WRONG_USE;
  if (code === 'POOL_FULL' || code === 'KEY_SET_UNAVAILABLE') return ExitCode.UNAVAILABLE;
  const negative = NEGATIVE.includes(code) || VERDICT.test(reason) || code.startsWith('KEY_SET_');
  return negative ? ExitCode.NEGATIVE : ExitCode.UNAVAILABLE;
}

/** One line without a stack. */
export function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const path = error instanceof SealwireError ? error.path : undefined;
  const text = path === undefined || message.startsWith(path) ? message : `${path}: ${message}`;
  return (text.split('\n', 1)[0] ?? '').replace(CONTROL, '?');
}
