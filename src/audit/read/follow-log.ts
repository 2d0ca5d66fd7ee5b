/** The last records of logs, and then each one as it is written. */
import { statSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { SealwireError } from '../../errors.js';
import { parseRecord } from '../format/log-record.js';
import { claimedSeq } from './findings.js';
import { type LogSegment, listLog, readLineBlocks, readOrThrow } from './line-blocks.js';
import { readLinesBackwards } from './lines-backwards.js';
import type { LogFilter } from './log-filter.js';
import { type Merged, mergeLogs, type OnFailed, sortTime } from './merge-logs.js';
import type { FoundRecord } from './read-records.js';

/** Where reading goes on. */
interface Place {
  readonly segment: LogSegment;
  /** Number of the next record. */
  readonly seq: number;
  /** Byte at which its line begins, or will. */
  readonly at: number;
}

/** A log that is followed. */
interface Followed<L> {
  readonly log: L;
  /** Undefined while the log has no segment. */
  place: Place | undefined;
  hasFailed: boolean;
}

/** Options of {@link followLogs}. */
export interface FollowOptions<L> {
  /** How many matching records to begin with, of all logs together. */
  readonly last: number;
  /** Ends the following. Default: the end of the logs ends it. */
  readonly signal?: AbortSignal | undefined;
  /** Awaited whenever all that is there has been given. Default: nothing. */
  readonly onCaughtUp?: (() => Promise<void>) | undefined;
  /** Told of a log that cannot be read, or became shorter; the others go on. */
  readonly onFailed: OnFailed<L>;
}

const POLL_MS = 200;

/**
 * @param filter what to look for
 * @returns the last records by time; with a signal, then the new ones until it is aborted: those that a look finds, by
 *   time
 */
export async function* followLogs<L extends { readonly dir: string }>(
  logs: readonly L[],
  filter: LogFilter,
  { last, signal, onFailed, onCaughtUp }: FollowOptions<L>,
): AsyncGenerator<Merged<L, FoundRecord>> {
  const followed: Followed<L>[] = logs.map((log) => ({ log, place: undefined, hasFailed: false }));
  const fail: OnFailed<Followed<L>> = (one, error) => {
    one.hasFailed = true;
    onFailed(one.log, error);
  };
  await findLast(followed, filter, last, fail);
  for (;;) {
    const readable = followed.filter(({ hasFailed }) => !hasFailed);
    if (readable.length === 0) return;
    const readers = readable.map((one) => ({ log: one, records: readOn(one, filter) }));
    for (const { log, found } of mergeLogs(readers, fail)) yield { log: log.log, found };
    await onCaughtUp?.();
    if (signal === undefined || signal.aborted) return;
    await setTimeout(POLL_MS, undefined, { signal }).catch(() => {});
    if (signal.aborted) return;
  }
}

/** Where a record is, and when it was made. */
interface TimedPlace extends Place {
  readonly timeMs: number;
}

/** A log that is read from its end. */
interface Backwards<L> {
  readonly one: Followed<L>;
  readonly places: AsyncGenerator<TimedPlace>;
}

/** Places each log where those begin that it has of the last `count` matching records; at its end if it has none. */
async function findLast<L extends { readonly dir: string }>(
  followed: readonly Followed<L>[],
  filter: LogFilter,
  count: number,
  fail: OnFailed<Followed<L>>,
): Promise<void> {
  const logs = followed.map((one) => ({ one, places: readBack(one.log.dir, filter) }));
  const step = async (log: Backwards<L>): Promise<(Backwards<L> & { readonly next: TimedPlace })[]> => {
    try {
      const { value: next, done } = await log.places.next();
      return done ? [] : [{ ...log, next }];
    } catch (error) {
      if (!(error instanceof SealwireError)) throw error;
      fail(log.one, error);
      return [];
    }
  };
  const stepAll = async () => (await Promise.all(logs.map(step))).flat();
  for (const { one, next } of await stepAll()) one.place = next;
  let heads = count === 0 ? [] : await stepAll();
  for (let left = count; left > 0 && heads.length > 0; left--) {
    const latest = heads.reduce((best, head) => (head.next.timeMs >= best.next.timeMs ? head : best));
    latest.one.place = latest.next;
    const before = await step(latest);
    heads = heads.flatMap((head) => (head === latest ? before : head));
  }
  for (const { places } of logs) await places.return(undefined);
}

/** The end of a log, then its matching records from the last to the first. */
async function* readBack(dir: string, filter: LogFilter): AsyncGenerator<TimedPlace> {
  const segments = listLog(dir).filter(({ lines }) => lines !== undefined);
  let isEnd = true;
  for (const [index, segment] of [...segments.entries()].reverse()) {
    const path = segment.lines as string;
    for await (const { bytes, at } of readLinesBackwards(path, index === segments.length - 1)) {
      const seq = claimedSeq(bytes) ?? countLines(path, at, segment.first);
      if (isEnd) yield { segment, seq: seq + 1, at: at + bytes.length + 1, timeMs: 0 };
      isEnd = false;
      const record = parseRecord(bytes);
      // Nobody knows when a line was written that is no record: it stays with what is behind it.
      const timeMs = record === undefined ? Number.POSITIVE_INFINITY : sortTime(record);
      if (record === undefined || filter.matches(record)) yield { segment, seq, at, timeMs };
    }
  }
  const [segment] = segments;
  if (isEnd && segment !== undefined) yield { segment, seq: segment.first, at: 0, timeMs: 0 };
}

/** A line that is no record: its place has to be counted. */
function countLines(path: string, at: number, first: number): number {
  let seq = first;
  for (const block of readLineBlocks(path)) {
    for (let index = 0; index < block.length; index++) {
      if (block.at(index) >= at) return seq;
      seq++;
    }
  }
  return seq;
}

function placeOf(segment: LogSegment | undefined): Place | undefined {
  return segment === undefined ? undefined : { segment, seq: segment.first, at: 0 };
}

/** What a log has from its place to its present end. Leaves the place there. */
function* readOn<L extends { readonly dir: string }>(one: Followed<L>, filter: LogFilter): Generator<FoundRecord> {
  const { dir } = one.log;
  one.place ??= placeOf(listLog(dir).findLast(({ lines }) => lines !== undefined));
  while (one.place !== undefined) {
    one.place = yield* readFrom(one.place, filter);
    const following = findNext(dir, one.place);
    if (following === undefined) return;
    one.place = following;
  }
}

function* readFrom({ segment, seq, at }: Place, filter: LogFilter): Generator<FoundRecord, Place> {
  const path = segment.lines as string;
  if (readOrThrow(path, () => statSync(path).size) < at) {
    throw new SealwireError('AUDIT_FILE_INVALID', `${path}: the log became shorter`);
  }
  let next = seq;
  const blocks = readLineBlocks(path, at);
  let step = blocks.next();
  for (; step.done !== true; step = blocks.next()) {
    const block = step.value;
    for (let index = 0; index < block.length; index++) {
      const line = block.line(index);
      const record = parseRecord(line);
      if (record === undefined || filter.matches(record)) yield { seq: next + index, line, record };
    }
    next += block.length;
  }
  return { segment, seq: next, at: step.value };
}

/** The segment after a place, once it exists: the place's own segment then no longer grows. */
function findNext(dir: string, { segment, seq, at }: Place): Place | undefined {
  const next = listLog(dir).find(({ first, lines }) => first > segment.first && lines !== undefined);
  if (next === undefined) return undefined;
  // Lines that were written between reading and listing.
  const path = segment.lines as string;
  const size = readOrThrow(path, () => statSync(path).size);
  return size > at ? { segment, seq, at } : placeOf(next);
}
