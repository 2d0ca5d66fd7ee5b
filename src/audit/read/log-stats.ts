/** Counts over a log in bounded memory. */
import type { LogRecord } from '../format/log-record.js';
import type { FoundRecord } from './read-records.js';

/** Counts of one kind, largest first. */
export type Counts = readonly (readonly [string, number])[];

/** What {@link countLog} counts. */
export interface LogCounts {
  readonly records: number;
  /** Lines that are no records. */
  readonly damaged: number;
  readonly counts: Readonly<Record<'event' | 'method' | 'principal' | 'field' | 'kid' | 'outcome' | 'reason', Counts>>;
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
export function countLog(found: Iterable<FoundRecord>): LogCounts {
  const counters = {
    event: new Counter(),
    method: new Counter(),
    principal: new Counter(),
    field: new Counter(),
    kid: new Counter(),
    outcome: new Counter(),
    reason: new Counter(),
  };
  let records = 0;
  let damaged = 0;
  const count = ({ event, method, principal, fields }: LogRecord) => {
    records++;
    counters.event.add(event);
    if (method !== '') counters.method.add(method);
    if (principal !== '') counters.principal.add(principal);
    for (const { field, kid, outcome, reason } of fields) {
      counters.field.add(field);
      counters.kid.add(kid);
      counters.outcome.add(outcome);
      if (reason !== '') counters.reason.add(reason);
    }
  };
  for (const { record } of found) {
    if (record === undefined) damaged++;
    else count(record);
  }
  const entries = Object.entries(counters).map(([name, counter]) => [name, counter.sorted()]);
  return { records, damaged, counts: Object.fromEntries(entries) as LogCounts['counts'] };
}
