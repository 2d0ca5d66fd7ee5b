/** What `GET /insight` tells: how to reach the service, and what is known of a call. Ciphertext only. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readLinesBackwards } from '../../audit/read/lines-backwards.js';
import type { WebCallLine } from './call-lines.js';

/** How far back records are looked for. */
const MAX_LINES = 1_000;

/** @param requestId `x-request-id` of the call @param dir of the audit log @returns its records, latest first */
export async function findRecords(dir: string, requestId: string): Promise<object[]> {
  const segments = (await readdir(dir)).filter((name) => name.endsWith('.jsonl')).sort();
  const latest = segments.at(-1);
  const records: object[] = [];
  let left = MAX_LINES;
  if (latest === undefined) return records;
  for await (const { bytes } of readLinesBackwards(join(dir, latest), true)) {
    if (bytes.includes(`"requestId":${JSON.stringify(requestId)}`)) records.push(JSON.parse(bytes.toString()));
    if (--left === 0) break;
  }
  return records;
}

/** What the page is told. */
export interface Insight {
  /** The service's name, which is the recipient of what is sealed. */
  readonly service: string;
  /** Thumbprint of the signing root. */
  readonly root: string;
  /** Lines of the gateway on the call that was asked for. */
  readonly calls: readonly WebCallLine[];
  /** Its audit records, as they stand in the log. */
  readonly records: readonly object[];
}
