/** The last records of a log, and then each one as it is written. */
import { statSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { SealwireError } from '../../errors.js';
import { parseRecord } from '../format/log-record.js';
import { claimedSeq } from './findings.js';
import { type LogSegment, listLog, readLineBlocks, readOrThrow } from './line-blocks.js';
import { readLinesBackwards } from './lines-backwards.js';
import type { LogFilter } from './log-filter.js';
import type { FoundRecord } from './read-records.js';

/** Where reading goes on. */
interface Place {
  readonly segment: LogSegment;
  /** Number of the next record. */
  readonly seq: number;
  /** Byte at which its line begins, or will. */
  readonly at: number;
}

/** Options of {@link followLog}. */
export interface FollowOptions {
  /** How many matching records to begin with. */
  readonly last: number;
  /** Ends the following. Default: the end of the log ends it. */
  readonly signal?: AbortSignal | undefined;
}

const POLL_MS = 200;

/**
 * @param filter what to look for
 * @returns the last records, oldest first; with a signal, then the new ones until it is aborted
 * @throws SealwireError `AUDIT_FILE_INVALID` when the log cannot be read, or became shorter
 */
export async function* followLog(dir: string, filter: LogFilter, options: FollowOptions): AsyncGenerator<FoundRecord> {
  const { last, signal } = options;
  let place = await findLast(dir, filter, last);
  for (;;) {
    if (place !== undefined) {
      const next = place;
      place = yield* readFrom(next, filter);
      const following = findNext(dir, place);
      if (following !== undefined) {
        place = following;
        continue;
      }
    } else {
      place = placeOf(listLog(dir).findLast(({ lines }) => lines !== undefined));
      if (place !== undefined) continue;
    }
    if (signal === undefined || signal.aborted) return;
    await setTimeout(POLL_MS, undefined, { signal }).catch(() => {});
    if (signal.aborted) return;
  }
}

/** Where the last `count` matching records begin. */
async function findLast(dir: string, filter: LogFilter, count: number): Promise<Place | undefined> {
  const segments = listLog(dir).filter(({ lines }) => lines !== undefined);
  let found = 0;
  for (const [index, segment] of [...segments.entries()].reverse()) {
    const path = segment.lines as string;
    for await (const { bytes, at } of readLinesBackwards(path, index === segments.length - 1)) {
      const seq = claimedSeq(bytes) ?? countLines(path, at, segment.first);
      if (count === 0) return { segment, seq: seq + 1, at: at + bytes.length + 1 };
      const record = parseRecord(bytes);
      if (record !== undefined && !filter.matches(record)) continue;
      if (++found === count) return { segment, seq, at };
    }
  }
  return placeOf(segments[0]);
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
