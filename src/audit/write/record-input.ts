/** What the log itself puts into a record, and how long a record's line will be. */
import type { RecordInput } from '../format/record.js';

/** A record that is about no call. */
export const BLANK_INPUT: RecordInput = {
  event: 'start',
  method: '',
  peer: '',
  principal: '',
  requestId: '',
  traceparent: '',
  durationUs: 0,
  detail: '',
  fields: [],
};

/** About the length of the line: what is stored of a token, plus the rest. */
export function estimateSize({ event, fields }: RecordInput): number {
  let size = 512;
  for (const { token, keep } of fields) {
    size += 512 + (keep && event !== 'reject' ? token.length : Math.min(token.length, 2_732));
  }
  return size;
}
