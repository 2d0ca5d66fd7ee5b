import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SealwireError } from '../../errors.js';
import { peekHeader } from '../../jwe/header.js';
import { sha256 } from '../../jwe/sha256.js';
import { listSegments, segmentFile } from '../format/log-files.js';
import { CLOCK_SLACK_MS } from '../format/log-record.js';
import { damagedLine, readLinesBackwards } from './lines-backwards.js';

/** One opened token. */
export interface RecentToken {
  /** base64url SHA-256 of the token's characters. */
  readonly digest: string;
  /** Time of its record, ms since 1970. */
  readonly timeMs: number;
  /** Its header's `iat`; absent if it has none, or its header is longer than the log keeps. */
  readonly iat?: number;
  /** Path of the method that it was sent to: tokens of idempotent methods are not single-use. */
  readonly method: string;
}

/**
 * Reads a log backwards, of each segment from its end to the first record that is older than asked for by more than a
 * minute, one block at a time. The writer begins a new segment when the clock was set back, so that no segment hides
 * what is before it in time, and of old ones only the end is read. Tokens count that were opened from the wire (`open`
 * records, outcome `opened`): refused and stored tokens and those that were passed on unopened do not.
 *
 * Call it when the log is open for writing in this process: nobody else writes then, and a torn last line, which
 * was never acknowledged, is cut; without that it is skipped. A log in `async` mode may lack
 * the last tokens before a crash.
 *
 * @param dir folder of the log; a missing one is an empty log
 * @param sinceMs tokens of older records are left out, ms since 1970
 * @throws SealwireError `AUDIT_FILE_INVALID` when a line is not a record, for nobody knows what it said, or
 *   the log cannot be read
 *
 * @example
 * ```ts
 * import { REPLAY_WINDOW_MS, ReplayGuard } from 'sealwire';
 * import { AuditLog, readRecentTokens } from 'sealwire/audit';
 *
 * const audit = await AuditLog.open({ dir: 'audit', origin: 'payments' });
 * const guard = new ReplayGuard();
 * await guard.restore(readRecentTokens('audit', Date.now() - REPLAY_WINDOW_MS));
 * ```
 */
export async function* readRecentTokens(dir: string, sinceMs: number): AsyncGenerator<RecentToken, void, undefined> {
  const names = listSegments(await readNames(dir), 'jsonl').map((seq) => segmentFile(seq, 'jsonl'));
  let isLast = true;
  for (const name of names.reverse()) {
    for await (const { bytes, at } of readLinesBackwards(join(dir, name), isLast)) {
      const record = parseRecord(bytes, join(dir, name), at);
      if (record.timeMs < sinceMs - CLOCK_SLACK_MS) break;
      if (record.timeMs < sinceMs) continue;
      for (const token of record.tokens) yield token;
    }
    isLast = false;
  }
}

async function readNames(dir: string): Promise<string[]> {
  try {
    return await readdir(dir);
  } catch (error) {
    const { code = 'cannot be read' } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return [];
    throw new SealwireError('AUDIT_FILE_INVALID', `${dir}: ${code}`);
  }
}

/** What of a record counts here. */
interface UsedTokens {
  readonly timeMs: number;
  readonly tokens: readonly RecentToken[];
}

type Members = Readonly<Record<string, unknown>>;

function parseRecord(bytes: Buffer, path: string, at: number): UsedTokens {
  try {
    const { time, event, method, fields } = JSON.parse(bytes.toString('utf8')) as Members;
    const timeMs = Date.parse(asText(time));
    if (Number.isNaN(timeMs)) throw new Error('no time');
    if (asText(event) !== 'open') return { timeMs, tokens: [] };
    const opened = (fields as readonly Members[]).filter(({ outcome }) => asText(outcome) === 'opened');
    return { timeMs, tokens: opened.map(({ token }) => ({ ...describe(token), timeMs, method: asText(method) })) };
  } catch {
    // The cause would quote the line.
    throw damagedLine(path, at);
  }
}

/** @param token the compact JWE, or what is kept of a transient one */
function describe(token: unknown): { readonly digest: string; readonly iat?: number } {
  if (typeof token === 'string') {
    return { digest: sha256(token), ...readIat(peekHeader(token).json ?? '') };
  }
  const { digest, header } = token as Members;
  return { digest: asText(digest), ...readIat(asText(header)) };
}

/** A header that was cut does not parse: the token is then one without `iat`, and guarded no shorter. */
function readIat(header: string): { readonly iat?: number } {
  try {
    const { iat } = JSON.parse(header) as Members;
    return Number.isSafeInteger(iat) ? { iat: iat as number } : {};
  } catch {
    return {};
  }
}

function asText(value: unknown): string {
  if (typeof value !== 'string') throw new Error('not a text');
  return value;
}
