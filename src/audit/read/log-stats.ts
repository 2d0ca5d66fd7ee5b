/** Counts over logs in bounded memory. */
import { fieldsWithStep, type LogRecord, onlyCounted } from '../format/log-record.js';

/** Counts of one kind, largest first. */
export type Counts = readonly (readonly [string, number])[];

/** A record, undefined for a line that is none, and the origin of the log that it is in. */
export interface CountedRecord {
  readonly origin: string;
  readonly record: LogRecord | undefined;
}

/** What {@link countLog} counts. */
export interface LogCounts {
  readonly records: number;
  /** Refused calls, and how many of them have no record of their own. */
  readonly refused: { readonly calls: number; readonly onlyCounted: number };
  readonly counts: Readonly<
    Record<'origin' | 'event' | 'method' | 'principal' | 'field' | 'kid' | 'outcome' | 'reason', Counts>
  >;
}

/** Distinct values counted per kind: callers choose them and must not fill the memory. */
const MAX_VALUES = 10_000;
const OTHERS = '(others)';

class Counter {
  readonly #counts = new Map<string, number>();

  add(value: string): void {
    const isNew = !this.#counts.has(value) && this.#counts.size >= MAX_VALUES;
    const name = isNew ? OTHERS : value;
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
  }

  sorted(): Counts {
    return [...this.#counts].sort(([a, first], [b, second]) => second - first || (a < b ? -1 : 1));
  }
}

/** Counts records by what they say of the call, and their fields by what they say of the token. */
export function countLog(found: Iterable<CountedRecord>): LogCounts {
  const counters = {
    origin: new Counter(),
    event: new Counter(),
    method: new Counter(),
    principal: new Counter(),
    field: new Counter(),
    kid: new Counter(),
    outcome: new Counter(),
    reason: new Counter(),
  };
  let records = 0;
  const refused = { calls: 0, onlyCounted: 0 };
  const count = (origin: string, record: LogRecord) => {
    const { event, method, principal } = record;
    const counted = onlyCounted(record);
    records++;
    refused.calls += counted ?? (event === 'reject' ? 1 : 0);
    refused.onlyCounted += counted ?? 0;
    counters.origin.add(origin);
    counters.event.add(event);
    if (method !== '') counters.method.add(method);
    if (principal !== '') counters.principal.add(principal);
    for (const { field, kid, outcome, reason } of fieldsWithStep(record)) {
      if (field !== '') {
        counters.field.add(field);
        counters.kid.add(kid);
        counters.outcome.add(outcome);
      }
      if (reason !== '') counters.reason.add(reason);
    }
  };
  for (const { origin, record } of found) if (record !== undefined) count(origin, record);
  const entries = Object.entries(counters).map(([name, counter]) => [name, counter.sorted()]);
  return { records, refused, counts: Object.fromEntries(entries) as LogCounts['counts'] };
}
