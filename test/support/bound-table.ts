/** The table of bounds in SECURITY.md, and what a probe of one of its rows is. */
import { readFileSync } from 'node:fs';
import { SealwireError } from '../../src/errors.js';
import { errorStatus, readErrorDetails } from '../../src/schema/error-status.js';

/** A row as it is written, without backticks; "the same" is replaced by what it refers to. */
export interface BoundRow {
  readonly resource: string;
  readonly chargedTo: string;
  readonly bound: string;
  readonly outcome: string;
}

type Names<T extends string> = T extends `${string}{${infer N}}${infer R}` ? N | Names<R> : never;

/**
 * Shows that a bound is enforced. Its cells are those of its row, with a name in braces in place of each number: `run`
 * is given the numbers that the table has, and expects of the code what it says there.
 */
export interface BoundProbe extends BoundRow {
  run(numbers: Readonly<Record<string, number>>, row: BoundRow): void | Promise<void>;
}

/** @returns the probe; its numbers have the names that its cells give them */
export function createProbe<const C extends BoundRow>(
  cells: C,
  run: (numbers: Readonly<Record<Names<C[keyof BoundRow]>, number>>, row: BoundRow) => void | Promise<void>,
): BoundProbe {
  return { ...cells, run };
}

const HEAD = '| resource | charged to | bound | at the bound |';
const WORDS = ['a', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'];
const UNITS: Readonly<Record<string, number>> = { MiB: 2 ** 20, GiB: 2 ** 30 };
const NUMBER = /^(?:(\d{1,3}(?:,\d{3})*)( MiB| GiB)?|[a-z]+)$/;

/** @returns the rows of the table of fair shares */
export function readBoundTable(): BoundRow[] {
  const lines = readFileSync('SECURITY.md', 'utf8').split('\n');
  const first = lines.indexOf(HEAD) + 2;
  const end = lines.findIndex((line, at) => at >= first && !line.startsWith('|'));
  const rows: BoundRow[] = [];
  for (const line of first < 2 ? [] : lines.slice(first, end)) {
    const cells = line.replaceAll('`', '').split('|').slice(1, -1);
    const [resource = '', chargedTo = '', bound = '', outcome = ''] = cells.map((cell) => cell.trim());
    const above = rows.at(-1);
    rows.push({
      resource,
      chargedTo,
      bound: bound.replace(/^the same( again)?/, above?.bound ?? '$&'),
      // What follows a refusal says whom it hits.
      outcome: outcome.replace(/^the same/, above?.outcome.split(/, (?:for|before) /)[0] ?? '$&'),
    });
  }
  return rows;
}

/** @returns whether the probe is for the row: what is bounded, and whom it is charged to */
export function isProbeOf(probe: BoundProbe, row: BoundRow): boolean {
  return matchCell(probe.resource, row.resource) !== null && matchCell(probe.chargedTo, row.chargedTo) !== null;
}

/**
 * @returns the numbers in a row, by the names that the probe gives them; bytes for MiB and GiB
 * @throws Error for a row that says something else than its probe
 */
export function readNumbers(probe: BoundProbe, row: BoundRow): Readonly<Record<string, number>> {
  const names = ['resource', 'chargedTo', 'bound', 'outcome'] as const;
  return Object.assign({}, ...names.map((name) => readCell(probe[name], row[name])));
}

function readCell(template: string, cell: string): Record<string, number> {
  const match = matchCell(template, cell);
  if (match === null) throw new Error(`the table says '${cell}', its probe '${template}'`);
  const entries = Object.entries(match.groups ?? {});
  return Object.fromEntries(entries.map(([name, text]) => [name, readNumber(text)]));
}

function matchCell(template: string, cell: string): RegExpExecArray | null {
  const parts = template.split(/\{(\w+)\}/);
  const escapeText = (text: string) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const form = parts.map((part, at) => (at % 2 === 0 ? escapeText(part) : `(?<${part}>[\\d,]+(?: MiB| GiB)?|[a-z]+)`));
  return new RegExp(`^${form.join('')}$`).exec(cell);
}

function readNumber(text: string): number {
  const [, digits, unit = ''] = NUMBER.exec(text) ?? [];
  const word = WORDS.indexOf(text);
  if (digits === undefined && word < 0) throw new Error(`not a number: ${text}`);
  return digits === undefined ? Math.max(1, word) : Number(digits.replaceAll(',', '')) * (UNITS[unit.trim()] ?? 1);
}

/** @returns how the table writes what a caller is told of an error; its own code for one that tells nothing */
export function refusalText(error: unknown): string {
  const { statusDetails } = errorStatus(error);
  const details = statusDetails && readErrorDetails(statusDetails);
  const limit = details?.metadata['limit'];
  if (limit !== undefined) return `${details?.reason}, limit: ${limit}`;
  return error instanceof SealwireError ? error.code : String(error);
}

/** @returns `served`, or how the refusal reads in the table */
export async function resultOf(work: () => unknown): Promise<string> {
  try {
    await work();
    return 'served';
  } catch (error) {
    return refusalText(error);
  }
}
