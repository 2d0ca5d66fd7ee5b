/** Records for spreadsheets: one row per sealed field, and no cell that a spreadsheet would run. */
import { digestOf, type LogField, type LogRecord } from '../../audit/format/log-record.js';
import { describePair, visible } from './record-text.js';

type Row = readonly (readonly [string, (record: LogRecord, field: LogField | undefined) => string | number])[];

const COLUMNS: Row = [
  ['seq', ({ seq }) => seq],
  ['time', ({ time }) => time],
  ['event', ({ event }) => event],
  ['origin', ({ origin }) => origin],
  ['method', ({ method }) => method],
  ['peer', ({ peer }) => peer],
  ['principal', ({ principal }) => principal],
  ['requestId', ({ requestId }) => requestId],
  ['traceparent', ({ traceparent }) => traceparent],
  ['field', (_, field) => field?.field ?? ''],
  ['path', (_, field) => field?.path ?? ''],
  ['kid', (_, field) => field?.kid ?? ''],
  ['alg', (_, field) => field?.alg ?? ''],
  ['enc', (_, field) => field?.enc ?? ''],
  ['tokenDigest', (_, field) => (field === undefined ? '' : digestOf(field))],
  ['bound', (_, field) => (field?.bound ?? []).map(describePair).join(' ')],
  ['outcome', (_, field) => field?.outcome ?? ''],
  ['reason', (_, field) => field?.reason ?? ''],
  ['durationUs', ({ durationUs }) => durationUs],
  ['detail', ({ detail }) => detail],
];

/** A spreadsheet takes such a cell for a formula, also behind white space and in full-width forms. */
const FORMULA = /^\s*[=+\-@|\uff1d\uff0b\uff0d\uff20]/;

/** The title row, RFC 4180. */
export const csvHeader = `${COLUMNS.map(([title]) => title).join(',')}\r\n`;

/** @returns rows with their line ends; a record without fields is one row */
export function csvRows(record: LogRecord): string {
  const fields = record.fields.length === 0 ? [undefined] : record.fields;
  return fields.map((field) => `${COLUMNS.map(([, value]) => cell(value(record, field))).join(',')}\r\n`).join('');
}

/** Numbers stay numbers. An apostrophe in front keeps a text from meaning anything else. */
function cell(value: string | number): string {
  if (typeof value === 'number') return String(value);
  const shown = visible(value);
  return `"${(FORMULA.test(shown) ? `'${shown}` : shown).replaceAll('"', '""')}"`;
}
