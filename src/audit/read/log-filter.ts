/** Filters of records, decided from a line's bytes where possible, before it is parsed. */
import { digestOf, fieldsWithStep, type LogField, type LogRecord } from '../format/log-record.js';
import { cut, cutBound, escapeUnsafe } from '../format/record.js';

/** A filter. Values of one name are alternatives. All names must match, and those about fields must match one field. */
export interface LogFilterOptions {
  /** First moment, ms since 1970. */
  readonly sinceMs?: number | undefined;
  /** Moment behind the last one, ms since 1970. */
  readonly untilMs?: number | undefined;
  readonly event?: readonly string[];
  /** Path, or the method's name alone. */
  readonly method?: readonly string[];
  readonly principal?: readonly string[];
  /** Address with or without its port. */
  readonly peer?: readonly string[];
  readonly requestId?: readonly string[];
  /** Full name, or its last part. */
  readonly field?: readonly string[];
  /** Key ID or its beginning. */
  readonly kid?: readonly string[];
  readonly outcome?: readonly string[];
  /** Step code of a refusal. */
  readonly reason?: readonly string[];
  /** base64url SHA-256 of the token. */
  readonly token?: readonly string[];
  /** `NAME=VALUE` of a bound sibling. */
  readonly bound?: readonly string[];
}

/** A compiled filter. */
export interface LogFilter {
  /** Bytes that every matching line holds; undefined when there are none. */
  readonly needle: Buffer | undefined;
  /** Whether the line's time may fit; a line without a time in its place may. */
  timeFits(line: Buffer): boolean;
  matches(record: LogRecord): boolean;
}

const TIME = /^\{"v":1,"seq":\d+,"time":"([^"]{24})"/;
const EARLIEST = Date.UTC(-271820, 0, 1);
const LATEST = Date.UTC(275759, 0, 1);

/** Compiles a filter. A text longer than records hold matches records that hold its beginning. */
export function compileFilter(given: LogFilterOptions): LogFilter {
  const options = asRecorded(given);
  const { event, method, principal, peer, requestId, sinceMs, untilMs } = options;
  const since = sinceMs === undefined ? undefined : textOf(sinceMs);
  const until = untilMs === undefined ? undefined : textOf(untilMs);
  const inTime = (time: string) => (since === undefined || time >= since) && (until === undefined || time < until);
  const records: ((record: LogRecord) => boolean)[] = [];
  const add = (values: readonly string[] | undefined, fits: (record: LogRecord, value: string) => boolean) => {
    if (values !== undefined) records.push((record) => values.some((value) => fits(record, value)));
  };
  add(event, (record, value) => record.event === value);
  add(method, (record, value) => record.method === value || record.method.endsWith(`/${value}`));
  add(principal, (record, value) => record.principal === value);
  add(peer, (record, value) => record.peer === value || record.peer.startsWith(`${value}:`));
  add(requestId, (record, value) => record.requestId === value);
  const fields = compileFields(options);
  return {
    needle: chooseNeedle(options),
    timeFits(line) {
      if (since === undefined && until === undefined) return true;
      const [, time] = TIME.exec(line.toString('latin1', 0, 80)) ?? [];
      return time === undefined || inTime(time);
    },
    matches: (record) =>
      inTime(record.time) &&
      records.every((fits) => fits(record)) &&
      (fields.length === 0 || fieldsWithStep(record).some((field) => fields.every((fits) => fits(field)))),
  };
}

/** Records cut long texts, so the searched text is cut in the same way. */
function asRecorded(options: LogFilterOptions): LogFilterOptions {
  const cutAll = (values: readonly string[] | undefined) => values?.map((value) => cut(value));
  const bound = options.bound?.map((pair) => {
    const valueAt = pair.indexOf('=') + 1;
    return `${pair.slice(0, valueAt)}${cutBound(pair.slice(valueAt))}`;
  });
  const { method, principal, requestId } = options;
  return {
    ...options,
    ...(bound && { bound }),
    ...(method && { method: cutAll(method) }),
    ...(principal && { principal: cutAll(principal) }),
    ...(requestId && { requestId: cutAll(requestId) }),
  } as LogFilterOptions;
}

type FieldTest = (field: LogField) => boolean;

function compileFields({ field, kid, outcome, reason, token, bound }: LogFilterOptions): FieldTest[] {
  const tests: FieldTest[] = [];
  const add = (values: readonly string[] | undefined, fits: (field: LogField, value: string) => boolean) => {
    if (values !== undefined) tests.push((candidate) => values.some((value) => fits(candidate, value)));
  };
  add(field, (candidate, value) => {
    // Only a path is known of a field that was refused before its token was looked at.
    if (candidate.field === '') return lastName(candidate.path) === lastName(value);
    return candidate.field === value || candidate.field.endsWith(`.${value}`);
  });
  add(kid, (candidate, value) => candidate.kid.startsWith(value));
  add(outcome, (candidate, value) => candidate.outcome === value);
  add(reason, (candidate, value) => candidate.reason === value);
  add(token, (candidate, value) => digestOf(candidate) === value);
  add(bound, (candidate, value) => candidate.bound.some(([name, bare]) => `${name}=${bare}` === value));
  return tests;
}

/** `card` of `items[3].card`, `cards[0]` and `payments.v1.AuthorizeRequest.card`. */
function lastName(path: string): string {
  return path.replace(/\[[^[]*\]$/, '').replace(/^.*\./s, '');
}

/** One encoder writes all lines, so a value always looks the same: the rarest one is searched in the bytes. */
function chooseNeedle(options: LogFilterOptions): Buffer | undefined {
  const one = (name: keyof LogFilterOptions, form: (value: string) => string): string[] => {
    const values = options[name];
    return Array.isArray(values) && values.length === 1 ? [form(asWritten(String(values[0])))] : [];
  };
  const candidates = [
    ...one('requestId', (value) => `"requestId":"${value}"`),
    ...one('bound', (value) => value.slice(value.indexOf('=') + 1)),
    // The detail of a record may have it, too.
    ...one('reason', (value) => `"${value}`),
    ...one('principal', (value) => `"principal":"${value}"`),
    ...one('kid', (value) => `"kid":"${value}`),
    ...one('peer', (value) => `"peer":"${value}`),
    // Records of refused calls may have no field, and so no outcome.
    ...one('outcome', (value) => (value === 'refused' ? '' : `"outcome":"${value}"`)),
    ...one('event', (value) => `"event":"${value}"`),
    ...one('field', lastName),
    ...one('method', (value) => `${value}"`),
  ];
  const best = candidates.find((candidate) => candidate !== '');
  return best === undefined ? undefined : Buffer.from(best);
}

/** As the encoder of records writes it (src/audit/format/record.ts). */
function asWritten(text: string): string {
  return escapeUnsafe(JSON.stringify(text).slice(1, -1));
}

function textOf(ms: number): string {
  return new Date(Math.min(LATEST, Math.max(EARLIEST, ms))).toISOString();
}
