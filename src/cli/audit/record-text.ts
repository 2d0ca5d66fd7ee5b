/** How records look to people. All text in a log is untrusted: none of it reaches a terminal unescaped. */
import type { LogField, LogRecord } from '../../audit/format/log-record.js';
import { escapeUnsafe } from '../../audit/format/record.js';
import type { Merged } from '../../audit/read/merge-logs.js';
import type { FoundRecord } from '../../audit/read/read-records.js';
import { type Column, formatTable, print } from '../output.js';

/** A record, and what its log is called. */
export type NamedRecord = Merged<{ readonly name: string }, FoundRecord>;

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to be shown, not sent.
const CONTROL = /[\u0000-\u001f]/g;
const MAX_CELL = 64;

/** @returns the text with what could steer a terminal written as `\u001b` */
export function visible(text: string): string {
  return escapeUnsafe(
    text.replace(CONTROL, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );
}

/** A value as JSON that steers no terminal. */
export function visibleJson(value: unknown, indent?: number): string {
  return escapeUnsafe(JSON.stringify(value, null, indent));
}

/** Bytes of a line that may not be valid text. */
export function visibleLine(line: Buffer): string {
  return visible(line.toString('utf8'));
}

function cell(text: string): string {
  const shown = visible(text);
  return shown.length <= MAX_CELL ? shown : `${shown.slice(0, MAX_CELL - 1)}…`;
}

const lastPart = (name: string, separator: string) => name.slice(name.lastIndexOf(separator) + 1);

function describeFields(fields: readonly LogField[]): string {
  return fields.map(({ path, outcome, reason }) => `${path} ${reason === '' ? outcome : reason}`).join(', ');
}

/** A value with spaces, quotes or `=` is quoted: the caller chose it, and it must not look like several. */
export function describePair([name, value]: LogField['bound'][number]): string {
  return `${name}=${typeof value === 'string' && /[\s"=]/.test(value) ? JSON.stringify(value) : value}`;
}

/** Siblings of all fields, each once. */
function describeBound(fields: readonly LogField[]): string {
  return [...new Set(fields.flatMap(({ bound }) => bound.map(describePair)))].join(' ');
}

/** A row: a record without its bytes. */
interface Row {
  readonly origin: string;
  readonly seq: number;
  readonly record: LogRecord | undefined;
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'seq', value: ({ seq }) => seq, align: 'right' },
  { title: 'time', value: ({ record }) => cell(record?.time ?? '') },
  { title: 'event', value: ({ record }) => cell(record?.event ?? 'NOT A RECORD') },
  { title: 'method', value: ({ record }) => cell(lastPart(record?.method ?? '', '/')) },
  { title: 'principal', value: ({ record }) => cell(record?.principal ?? '') },
  { title: 'fields', value: ({ record }) => cell(describeFields(record?.fields ?? [])) },
  { title: 'bound', value: ({ record }) => cell(describeBound(record?.fields ?? [])) },
  { title: 'detail', value: ({ record }) => cell(record?.detail ?? '') },
];
/** Where there are several logs, a record's number alone does not name it. */
const COLUMNS_OF_MANY: readonly Column<Row>[] = [{ title: 'origin', value: ({ origin }) => cell(origin) }, ...COLUMNS];

/** Rows that decide the widths of a table's columns. */
const CHUNK_ROWS = 200;

/** Prints records as they come, without holding them. */
export class RecordPrinter {
  readonly #format: 'table' | 'json' | 'jsonl';
  readonly #columns: readonly Column<Row>[];
  #rows: Row[] = [];
  #text: string[] = [];
  #printed = 0;

  /** @param logs how many there are */
  constructor(format: 'table' | 'json' | 'jsonl', logs: number) {
    this.#format = format;
    this.#columns = logs === 1 ? COLUMNS : COLUMNS_OF_MANY;
  }

  async add(found: NamedRecord): Promise<void> {
    if (this.#format === 'table') {
      const { seq, record } = found.found;
      this.#rows.push({ origin: found.log.name, seq, record });
    } else if (this.#format === 'json') {
      this.#text.push(`${this.#printed === 0 ? '[' : ','}\n${asJson(found)}`);
    } else {
      this.#text.push(`${asJson(found)}\n`);
    }
    this.#printed++;
    if (this.#rows.length + this.#text.length >= CHUNK_ROWS) await this.flush();
  }

  /** Prints what is held back. */
  async flush(): Promise<void> {
    const isFirst = this.#printed === this.#rows.length;
    const table = formatTable(this.#rows, this.#columns);
    // Every chunk has its own widths; the titles are printed once.
    const text = isFirst ? table : table.slice(table.indexOf('\n') + 1);
    this.#rows = [];
    await print(text + this.#text.join(''));
    this.#text = [];
  }

  async end(): Promise<void> {
    await this.flush();
    if (this.#format === 'json') await print(this.#printed === 0 ? '[]\n' : '\n]\n');
  }

  get printed(): number {
    return this.#printed;
  }
}

/** The line itself, so that its hash can be computed. A line that is no record becomes a string. */
function asJson({ log, found: { seq, line, record } }: NamedRecord): string {
  return record === undefined
    ? visibleJson({ origin: log.name, seq, notARecord: line.toString('utf8') })
    : escapeUnsafe(line.toString('utf8'));
}

/** All of one record, for people. @param describeToken what to say of a field's token */
export function formatRecord(
  record: LogRecord,
  describeToken: (field: LogField) => readonly [string, string][],
): string {
  const { fields, v: _, ...rest } = record;
  const lines = Object.entries(rest).map(([name, value]) => row(name, String(value)));
  for (const field of fields) {
    const { token: __, bound, grant: ___, ...texts } = field;
    lines.push('', ...Object.entries(texts).map(([name, value]) => row(name, value, 2)));
    lines.push(...bound.map((pair) => row('bound', describePair(pair), 2)));
    lines.push(...describeToken(field).map(([name, value]) => row(name, value, 2)));
  }
  return `${lines.join('\n')}\n`;
}

function row(name: string, value: string, indent = 0): string {
  return `${' '.repeat(indent)}${visible(name).padEnd(14 - indent)}${visible(value)}`.trimEnd();
}
