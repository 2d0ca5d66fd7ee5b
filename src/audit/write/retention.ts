/** Removes the lines of old segments. Their leaves stay, so that what is left still verifies. */
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { syncFolder } from '../../files/replace-file.js';
import { checkRange } from '../../profile/options.js';
import { listSegments, segmentFile } from '../format/log-files.js';
import { readLineBlocks } from '../read/line-blocks.js';

/** Options of {@link Retention}. */
export interface RetentionOptions {
  /** Age at which records may be removed, in ms. Default: never; 3,600,000 (an hour) to 10^13. */
  readonly retainMs?: number;
  /** Size of all lines together above which the oldest are removed, in bytes. Default: none; 1,048,576 to 2^53 - 1. */
  readonly retainBytes?: number;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
}

/** Records whose lines can go: those of one segment. */
export interface Removable {
  readonly path: string;
  readonly first: number;
  readonly last: number;
}

/** A restarted replay guard reads the tokens used within this time plus some slack: those records always stay. */
const ALWAYS_KEPT_MS = 900_000;

/** Decides which segments a log may drop: only whole ones, oldest first, never the last. */
export class Retention {
  readonly #dir: string;
  readonly #retainMs: number | undefined;
  readonly #retainBytes: number | undefined;
  readonly #now: () => number;

  /** @throws SealwireError `OPTIONS_INVALID` */
  constructor(dir: string, { retainMs, retainBytes, now = Date.now }: RetentionOptions) {
    this.#dir = dir;
    this.#now = now;
    if (retainMs !== undefined) checkRange('retainMs', retainMs, [3_600_000, 10_000_000_000_000]);
    if (retainBytes !== undefined) checkRange('retainBytes', retainBytes, [1_048_576, Number.MAX_SAFE_INTEGER]);
    this.#retainMs = retainMs;
    this.#retainBytes = retainBytes;
  }

  /** Whether anything is ever removed. */
  get isActive(): boolean {
    return this.#retainMs !== undefined || this.#retainBytes !== undefined;
  }

  /** @returns what can be removed, oldest first */
  async find(): Promise<Removable[]> {
    const firsts = listSegments(await readdir(this.#dir), 'jsonl');
    const sizes = await Promise.all(firsts.map(async (first) => (await stat(this.#path(first))).size));
    let total = sizes.reduce((sum, size) => sum + size, 0);
    const removable: Removable[] = [];
    for (const [index, first] of firsts.entries()) {
      const next = firsts[index + 1];
      if (next === undefined) break;
      const isTooMuch = this.#retainBytes !== undefined && total > this.#retainBytes;
      // The next segment's first record is younger than all of this one.
      const age = this.#now() - (readFirstTime(this.#path(next)) ?? this.#now());
      const isTooOld = this.#retainMs !== undefined && age > this.#retainMs;
      if (age < ALWAYS_KEPT_MS || !(isTooMuch || isTooOld)) break;
      removable.push({ path: this.#path(first), first, last: next - 1 });
      total -= sizes[index] as number;
    }
    return removable;
  }

  /** Removes lines; the leaves stay. */
  async remove(segments: readonly Removable[]): Promise<void> {
    for (const { path } of segments) await rm(path, { force: true });
    await syncFolder(this.#dir);
  }

  #path(first: number): string {
    return join(this.#dir, segmentFile(first, 'jsonl'));
  }
}

/** Time of a segment's first record, ms since 1970; undefined when it has none yet. */
function readFirstTime(path: string): number | undefined {
  for (const block of readLineBlocks(path)) {
    const { time } = JSON.parse(block.line(0).toString('utf8')) as { time?: unknown };
    const timeMs = Date.parse(String(time));
    return Number.isNaN(timeMs) ? undefined : timeMs;
  }
  return undefined;
}
