/** What keys were used for, read from a log without opening anything for writing. */
import { compileFilter } from './log-filter.js';
import { searchLog } from './read-records.js';

/** What is known of one key. */
export interface KeyUsage {
  /** Tokens opened with it: from the wire and stored ones. */
  readonly opened: number;
  /** When the last of them was, in ms since 1970. */
  readonly lastSeenMs: number;
  /** The same without tokens that were then sealed to another key: they no longer need this one. */
  readonly lastNeededMs: number | undefined;
}

/** Use of keys over a log. */
export interface LogUsage {
  /** By kid; keys that opened nothing are absent. */
  readonly keys: ReadonlyMap<string, KeyUsage>;
  /** Lines that are no records: nobody knows what they said. */
  readonly damaged: number;
}

/** Options of {@link readKeyUsage}. */
export interface KeyUsageOptions {
  /** Older records are left out, ms since 1970. Default: none is. */
  readonly sinceMs?: number;
  /** Called at times with the number of lines read. */
  readonly progress?: (lines: number) => void;
}

/** What the service writes as `detail` of a stored token that it sealed anew. */
const RESEALED = 're-sealed to ';

/**
 * @param dir folder of the log
 * @throws SealwireError `AUDIT_FILE_INVALID` when it cannot be read
 */
export function readKeyUsage(dir: string, { sinceMs, progress }: KeyUsageOptions = {}): LogUsage {
  const filter = compileFilter({ event: ['open', 'openStored'], outcome: ['opened'], sinceMs });
  const keys = new Map<string, KeyUsage>();
  let damaged = 0;
  for (const { record } of searchLog(dir, filter, progress && { progress })) {
    if (record === undefined) {
      damaged++;
      continue;
    }
    const at = Date.parse(record.time);
    const isNeeded = !record.detail.startsWith(RESEALED);
    for (const { kid, outcome } of record.fields) {
      if (outcome === 'opened') keys.set(kid, addUse(keys.get(kid), at, isNeeded));
    }
  }
  return { keys, damaged };
}

function addUse(known: KeyUsage | undefined, at: number, isNeeded: boolean): KeyUsage {
  return {
    opened: (known?.opened ?? 0) + 1,
    lastSeenMs: Math.max(known?.lastSeenMs ?? at, at),
    lastNeededMs: isNeeded ? Math.max(known?.lastNeededMs ?? at, at) : known?.lastNeededMs,
  };
}
