/** One view of many logs: their records by time, while each log's own keep their order. */
import { SealwireError } from '../../errors.js';
import type { LogRecord } from '../format/log-record.js';

/** A reader of one log. */
export interface LogReader<L, R> {
  readonly log: L;
  readonly records: Iterator<R>;
}

/** A record, and which log it is in. */
export interface Merged<L, R> {
  readonly log: L;
  readonly found: R;
}

/** Told of a log that cannot be read on; the others can. */
export type OnFailed<L> = (log: L, error: SealwireError) => void;

/** The next record of a log. */
interface Head<L, R> extends Merged<L, R> {
  readonly records: Iterator<R>;
  readonly timeMs: number;
}

/**
 * Merges logs by the times of their records. It holds one record of each log.
 *
 * A line that is no record comes right behind the one before it. Where a clock was set back, what follows comes late.
 */
export function* mergeLogs<L, R extends { readonly record: LogRecord | undefined }>(
  readers: readonly LogReader<L, R>[],
  onFailed: OnFailed<L>,
): Generator<Merged<L, R>, void, undefined> {
  const next = ({ log, records }: LogReader<L, R>): Head<L, R>[] => {
    try {
      const { value: found, done } = records.next();
      return done ? [] : [{ log, records, found, timeMs: sortTime(found.record) }];
    } catch (error) {
      if (!(error instanceof SealwireError)) throw error;
      onFailed(log, error);
      return [];
    }
  };
  try {
    let heads = readers.flatMap(next);
    while (heads.length > 0) {
      const first = heads.reduce((best, head) => (head.timeMs < best.timeMs ? head : best));
      yield first;
      const follower = next(first);
      heads = heads.flatMap((head) => (head === first ? follower : head));
    }
  } finally {
    for (const { records } of readers) records.return?.();
  }
}

/** Where a record belongs among those of other logs; what has no time is not kept waiting. */
export function sortTime(record: LogRecord | undefined): number {
  const timeMs = Date.parse(record?.time ?? '');
  return Number.isNaN(timeMs) ? Number.NEGATIVE_INFINITY : timeMs;
}
