/** What commands print: tables for people, JSON for programs, progress on stderr, colour on terminals only. */
import { once } from 'node:events';
import { ExitCode } from '../host/process/exit.js';

/** A column of a table: its title and its value for a row. */
export interface Column<T> {
  readonly title: string;
  readonly value: (row: T) => string | number;
  /** Numbers read best on the right. Default left. */
  readonly align?: 'left' | 'right';
}

/** @returns lines of a table with a title line; '' when there are no rows */
export function formatTable<T>(rows: readonly T[], columns: readonly Column<T>[]): string {
  if (rows.length === 0) return '';
  const cells = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map(({ value }) => String(value(row)))),
  ];
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => (line[index] as string).length)));
  const lines = cells.map((line) =>
    line
      .map((cell, index) => {
        const width = widths[index] as number;
        return columns[index]?.align === 'right' ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

/** Writes to stdout and waits while a slow reader (a pager, a pipe) holds it. */
export async function print(text: string): Promise<void> {
  if (text !== '' && !process.stdout.write(text)) await once(process.stdout, 'drain');
}

/**
 * From now on the process ends with success when the reader of its stdout, such as a pager, is gone, and with one line
 * when a disk is full.
 */
export function endWithReader(): void {
  process.stdout.on('error', ({ code, message }: NodeJS.ErrnoException) => {
    if (code === 'EPIPE') process.exit(ExitCode.DONE);
    process.stderr.write(`sealwire: stdout: ${code ?? message}\n`);
    process.exit(ExitCode.UNAVAILABLE);
  });
}

/** One JSON value, indented, on stdout. */
export function printJson(value: unknown): Promise<void> {
  return print(`${JSON.stringify(value, null, 2)}\n`);
}

const CODES = { bold: 1, red: 31, green: 32, yellow: 33 } as const;

/** Colours text where `stream` is a terminal and `NO_COLOR` is not set. */
export function paint(text: string, colour: keyof typeof CODES, stream: NodeJS.WriteStream = process.stdout): string {
  if (!stream.isTTY || (process.env['NO_COLOR'] ?? '') !== '') return text;
  return `\u001b[${CODES[colour]}m${text}\u001b[0m`;
}

const PROGRESS_MS = 200;

/** One line on stderr that is rewritten in place, on terminals only. */
export class Progress {
  readonly #describe: (done: number) => string;
  #shownAt = performance.now();
  #isShown = false;

  /** @param describe what to show when `done` of the work is done */
  constructor(describe: (done: number) => string) {
    this.#describe = describe;
  }

  update(done: number): void {
    if (!process.stderr.isTTY || performance.now() - this.#shownAt < PROGRESS_MS) return;
    this.#shownAt = performance.now();
    this.#isShown = true;
    process.stderr.write(`\r\u001b[K${this.#describe(done)}`);
  }

  /** Clears the line. */
  end(): void {
    if (this.#isShown) process.stderr.write('\r\u001b[K');
    this.#isShown = false;
  }
}

/** A value of somebody else's for display: short, and harmless to a terminal. */
export function told(value: unknown): string {
  if (value === undefined) return 'missing';
  const text = JSON.stringify(value) ?? '';
  return (text.length > 120 ? `${text.slice(0, 120)}…` : text).replace(/\p{C}/gu, '?');
}
