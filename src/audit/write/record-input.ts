/** What the log itself puts into a record, and how long a record's line will be. */
import type { RecordInput } from '../format/record.js';

/** The account of calls that nobody makes. */
const OWN_ACCOUNT = 'internal:';

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

/** What a record's bytes are charged to; empty: the service itself. */
export function accountOf({ account, principal }: RecordInput): string {
  return account === undefined ? principal : account === OWN_ACCOUNT ? '' : account;
}

/** About the length of the line: what is stored of a token, plus the rest. */
export function estimateSize({ event, fields }: RecordInput): number {
  let size = 512;
  for (const { token, keep, ref } of fields) {
    if (ref !== undefined) size += 640;
    else size += 512 + (keep && event !== 'reject' ? token.length : Math.min(token.length, 2_732));
  }
  return size;
}
