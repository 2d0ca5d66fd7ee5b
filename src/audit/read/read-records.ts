/** Records of a log, forward or from the end, and the one with a number. */
import { SealwireError } from '../../errors.js';
import { digestOf, type LogField, type LogRecord, parseRecord } from '../format/log-record.js';
import { type LineBlock, type LogSegment, listLog, readLineBlocks, withoutRemoved } from './line-blocks.js';
import type { LogFilter } from './log-filter.js';

/** A line that was asked for. */
export interface FoundRecord {
  /** Place in the log, which is the record's number when nothing was changed. */
  readonly seq: number;
  /** The line's bytes without its newline. Valid until the next one is asked for. */
  readonly line: Buffer;
  /** Undefined when the line is not a record. */
  readonly record: LogRecord | undefined;
}

/** Options of {@link searchLog}. */
export interface SearchOptions {
  /** Called at times with the number of lines read. */
  readonly progress?: (lines: number) => void;
}

/**
 * Reads a log from its beginning to the end that it has now.
 *
 * @param filter what to look for; lines that are no records are given too, for nobody knows what they said, unless the
 *   filter's needle is not in them
 * @throws SealwireError `AUDIT_FILE_INVALID` when the log cannot be read
 */
export function* searchLog(dir: string, filter: LogFilter, options: SearchOptions = {}): Generator<FoundRecord> {
  for (const listed of listLog(dir)) {
    const segment = withoutRemoved(listed);
    if (segment.lines === undefined) continue;
    let seq = segment.first;
    for (const block of readLineBlocks(segment.lines)) {
      for (const index of candidates(block, filter.needle)) {
        const line = block.line(index);
        if (!filter.timeFits(line)) continue;
        const record = parseRecord(line);
        if (record === undefined || filter.matches(record)) yield { seq: seq + index, line, record };
      }
      seq += block.length;
      options.progress?.(seq);
    }
  }
}

function* candidates(block: LineBlock, needle: Buffer | undefined): Generator<number> {
  for (let index = 0; index < block.length; index++) {
    if (needle !== undefined) index = block.indexWith(needle, index);
    if (index < block.length) yield index;
  }
}

/** Why a record is missing. */
export type Absence = 'not written' | 'removed';

/**
 * @param seq number of a record
 * @returns its line, or why there is none
 * @throws SealwireError `OPTIONS_INVALID`, `AUDIT_FILE_INVALID`
 */
export function findRecord(dir: string, seq: number): FoundRecord | Absence {
  if (!Number.isSafeInteger(seq) || seq < 0)
    throw new SealwireError('OPTIONS_INVALID', 'a record has a whole number from 0');
  const segments = listLog(dir);
  const segment = segments.findLast(({ first }) => first <= seq);
  if (segment === undefined) return segments.length > 0 ? 'removed' : 'not written';
  return segment.lines === undefined ? 'removed' : (findInSegment(segment, segment.lines, seq) ?? 'not written');
}

/**
 * @param field of a record of that log
 * @returns the field with its token and grant, from the record that has them whole if this one refers to it; or why not
 * @throws SealwireError `AUDIT_FILE_INVALID`
 */
export function followRef(dir: string, { origin }: LogRecord, field: LogField): LogField | string {
  const { token } = field;
  if (typeof token === 'string' || !('ref' in token)) return field;
  const { ref } = token;
  const place = `record ${ref.seq}, which has the token whole,`;
  if (ref.origin !== origin) return `${place} is in another log`;
  const found = findRecord(dir, ref.seq);
  if (found === 'removed') return `${place} was removed by retention`;
  const fields = typeof found === 'string' ? [] : (found.record?.fields ?? []);
  // The reference says where to look, the digest what it is.
  const whole = fields.find((other) => typeof other.token === 'string' && digestOf(other) === token.digest);
  return whole === undefined ? `${place} does not have it` : { ...field, token: whole.token, grant: whole.grant };
}

function findInSegment({ first }: LogSegment, path: string, seq: number): FoundRecord | undefined {
  let at = first;
  for (const block of readLineBlocks(path)) {
    if (seq < at + block.length) {
      const line = Buffer.from(block.line(seq - at));
      return { seq, line, record: parseRecord(line) };
    }
    at += block.length;
  }
  return undefined;
}
