/** `sealwire audit search`, `show`, `stats` and `export`: reading logs. */
import { digestOf, headerOf, isTransient, type LogField, type LogRecord } from '../../audit/format/log-record.js';
import { compileFilter } from '../../audit/read/log-filter.js';
import { type CountedRecord, countLog } from '../../audit/read/log-stats.js';
import { findRecord, searchLog } from '../../audit/read/read-records.js';
import { ExitCode } from '../../host/process/exit.js';
import { formatTable, print } from '../output.js';
import type { FilterFlags, RecordFormat } from './audit-options.js';
import { type GivenLog, type LogFlags, LogReading } from './logs.js';
import { formatRecord, type NamedRecord, RecordPrinter, visible, visibleJson } from './record-text.js';
import { csvHeader, csvRows } from './records-csv.js';
import { toFilter } from './to-filter.js';

/** Records that are looked at for the names of bound siblings, after a search that found nothing. */
const MOST_LOOKED_AT = 100_000;

/** Flags of `search`. */
export interface SearchFlags extends FilterFlags, LogFlags {
  readonly format: RecordFormat;
  readonly limit?: number;
}

/** @returns exit code: 1 when nothing was found */
export async function search(flags: SearchFlags): Promise<number> {
  const reading = new LogReading(flags);
  const printer = new RecordPrinter(flags.format, reading.logs.length);
  for (const found of reading.search(compileFilter(toFilter(flags)))) {
    await printer.add(found);
    if (printer.printed === flags.limit) break;
  }
  await printer.end();
  if (printer.printed > 0) return reading.end(ExitCode.DONE);
  if (reading.isWhole) process.stderr.write(`no record was found${explainNothing(reading.logs, flags)}\n`);
  return reading.end(ExitCode.NEGATIVE);
}

/** Names of bound siblings are proto names; another spelling finds nothing, which looks as if nobody had done it. */
function explainNothing(logs: readonly GivenLog[], { bound = [] }: SearchFlags): string {
  const asked = bound.map((pair) => pair.slice(0, pair.indexOf('=')));
  if (asked.length === 0) return '';
  const found = new Set<string>();
  for (const { dir } of logs) {
    let left = MOST_LOOKED_AT;
    for (const { record } of searchLog(dir, compileFilter({}))) {
      for (const field of record?.fields ?? []) for (const [name] of field.bound) found.add(name);
      if (--left === 0) break;
    }
  }
  const unknown = asked.filter((name) => !found.has(name));
  if (unknown.length === 0 || found.size === 0) return '';
  return `: no record binds ${unknown.map(visible).join(', ')}; bound are ${[...found].slice(0, 20).map(visible).join(', ')}`;
}

/** Flags of `show`. */
export interface ShowFlags {
  readonly dir: string;
  readonly format: 'table' | 'json';
}

/** @returns exit code: 1 when there is no such record, or its line is none */
export async function show(seq: number, { dir, format }: ShowFlags): Promise<number> {
  const found = findRecord(dir, seq);
  if (typeof found === 'string') {
    process.stderr.write(`record ${seq}: ${found === 'removed' ? 'its segment was removed' : 'no such record'}\n`);
    return ExitCode.NEGATIVE;
  }
  if (found.record === undefined) {
    process.stderr.write(`record ${seq}: the line is not a record; run sealwire audit verify\n`);
    return ExitCode.NEGATIVE;
  }
  if (format === 'json') await print(`${visibleJson(found.record, 2)}\n`);
  else {
    const text = formatRecord(found.record, (field) => [
      ['digest', digestOf(field)],
      ['kept', describeKept(field)],
      ['grant', describeGrant(field, found.record as LogRecord)],
      ['header', headerOf(field)],
    ]);
    await print(text);
  }
  return ExitCode.DONE;
}

function describeKept({ token }: LogField): string {
  if (typeof token === 'string') return `whole, ${token.length} characters`;
  return 'ref' in token ? `whole in record ${token.ref.seq}` : 'digest and header only';
}

/** What is counted, where that is not records. */
const COUNTED: Readonly<Record<string, string>> = {
  field: 'fields',
  kid: 'fields',
  outcome: 'fields',
  reason: 'refusals',
};

function describeGrant(field: LogField, record: LogRecord): string {
  if (field.grant !== null) return 'for a reviewer';
  if (isTransient(field, record)) return 'none: transient, never granted';
  return typeof field.token === 'object' && 'ref' in field.token ? `as in record ${field.token.ref.seq}` : 'none';
}

/** Flags of `stats`. */
export interface StatsFlags extends FilterFlags, LogFlags {
  readonly format: 'table' | 'json';
}

/** @returns exit code */
export async function stats(flags: StatsFlags): Promise<number> {
  const reading = new LogReading(flags);
  const { records, refused, counts } = countLog(named(reading.search(compileFilter(toFilter(flags)))));
  if (flags.format === 'json') {
    await print(`${visibleJson({ records, refused, ...counts }, 2)}\n`);
  } else {
    await print(`${records} records\n`);
    if (refused.onlyCounted > 0) {
      await print(`${refused.calls} refused calls, ${refused.onlyCounted} of them only counted\n`);
    }
    for (const [title, entries] of Object.entries(counts)) {
      // What one log is called says nothing of its records.
      if (title === 'origin' && reading.logs.length === 1) continue;
      const columns = [
        { title, value: ([name]: readonly [string, number]) => visible(name === '' ? '(none)' : name) },
        {
          title: COUNTED[title] ?? 'records',
          value: ([, count]: readonly [string, number]) => count,
          align: 'right' as const,
        },
      ];
      await print(entries.length === 0 ? '' : `\n${formatTable(entries, columns)}`);
    }
  }
  return reading.end(ExitCode.DONE);
}

function* named(merged: Iterable<NamedRecord>): Generator<CountedRecord> {
  for (const { log, found } of merged) yield { origin: log.name, record: found.record };
}

/** Flags of `export`. */
export interface ExportFlags extends FilterFlags, LogFlags {
  readonly format: 'csv' | 'json' | 'jsonl';
}

/** @returns exit code */
export async function exportLog(flags: ExportFlags): Promise<number> {
  const reading = new LogReading(flags);
  const found = reading.search(compileFilter(toFilter(flags)));
  if (flags.format !== 'csv') {
    const printer = new RecordPrinter(flags.format, reading.logs.length);
    for (const each of found) await printer.add(each);
    await printer.end();
    return reading.end(ExitCode.DONE);
  }
  let text = csvHeader;
  for (const {
    found: { record },
  } of found) {
    if (record !== undefined) text += csvRows(record);
    if (text.length > 65_536) {
      await print(text);
      text = '';
    }
  }
  await print(text);
  return reading.end(ExitCode.DONE);
}
