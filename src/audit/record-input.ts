/** What the log itself puts into a record, and how long a record's line will be. */
import type { AuditInput } from './record.js';

/** A record that is about no call. */
export const BLANK_INPUT: AuditInput = {
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
export function estimateSize({ event, fields }: AuditInput): number {
  let size = 512;
  for (const { token, keep } of fields) {
    size += 512 + (keep && event !== 'reject' ? token.length : Math.min(token.length, 2_732));
  }
  return size;
}
