/** Options shared by `sealwire audit` commands: where the log is, what to search for, how to print it. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { LogFilterOptions } from '../../audit/read/log-filter.js';
import { reasonByStep } from '../../errors.js';
import { collect } from '../flag-values.js';
import { parseMoment } from '../moment.js';

/** Output formats of commands that print records. */
export type RecordFormat = 'table' | 'json' | 'jsonl';

/** Values of {@link addFilterOptions}: those of a filter, with moments in ms since 1970. */
export interface FilterFlags extends Omit<LogFilterOptions, 'sinceMs' | 'untilMs'> {
  readonly since?: number;
  readonly until?: number;
}

const EVENTS = ['open', 'seal', 'reject', 'openStored', 'rotate', 'retire', 'reveal', 'start', 'recover'];
const OUTCOMES = ['opened', 'sealed', 'refused', 'passed'];

/** Adds `--dir`. */
export function addLogOption(command: Command): Command {
  return command.option('--dir <folder>', 'folder of the log', './var/audit');
}

/** Adds `--dir`, which can be repeated. */
export function addLogsOption(command: Command): Command {
  const meaning = 'folder of a log; can be repeated: several logs are one, by time (default: ./var/audit)';
  return command.option('--dir <folder>', meaning, collect);
}

/** Adds `--format`. */
export function addFormatOption(command: Command, formats: readonly string[]): Command {
  const [first = ''] = formats;
  return command.addOption(new Option('--format <name>', 'how to print').choices([...formats]).default(first));
}

/** Adds the search options. A repeated option matches any of its values. */
export function addFilterOptions(command: Command): Command {
  return command
    .option(
      '--since <time>',
      '2026-01-31, 2026-01-31T12:00:00Z, today, yesterday, or 90s, 30m, 2h, 7d ago (UTC)',
      moment,
    )
    .option('--until <time>', 'end, in the same forms; the moment itself is excluded', moment)
    .option('--event <name>', listOf(EVENTS), known(EVENTS))
    .option('--method <name>', 'path of a method, or its last part', collect)
    .option('--principal <name>', 'who called', collect)
    .option('--peer <address>', 'where from, with or without the port', collect)
    .option('--request-id <id>', 'x-request-id of the call', collect)
    .option('--field <name>', 'full name of a sealed field, or its last part', collect)
    .option('--kid <id>', 'ID of the key, or its beginning', collect)
    .option('--outcome <name>', listOf(OUTCOMES), known(OUTCOMES))
    .option('--reason <code>', 'which check refused a token, e.g. DECRYPTION_FAILED', known(Object.keys(reasonByStep)))
    .option('--token <token>', 'a token, @FILE with tokens, or the digest that show and inspect print', collect)
    .option('--bound <name=value>', 'value of a bound sibling, e.g. order_id=o-1', pair);

  function pair(value: string, earlier: readonly string[] = []) {
    if (!value.includes('=')) throw new InvalidArgumentError('must be NAME=VALUE.');
    return collect(value, earlier);
  }
}

/** A misspelt value finds nothing, which looks as if nobody had done it. */
function known(names: readonly string[]): (value: string, earlier?: readonly string[]) => readonly string[] {
  return (value, earlier) => {
    if (names.includes(value)) return collect(value, earlier);
    throw new InvalidArgumentError(`must be ${listOf(names)}.`);
  };
}

function listOf(names: readonly string[]): string {
  return `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}

function moment(text: string): number {
  const ms = parseMoment(text, Date.now());
  if (ms === undefined) throw new InvalidArgumentError('must be a date, a time with zone, today, yesterday, or 30m.');
  return ms;
}
