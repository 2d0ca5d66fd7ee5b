/** Removes the lines of old segments. Their leaves stay, so that what is left still verifies. */

import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { syncFolder } from '../../files/replace-file.js';
import { checkRange } from '../../profile/check-range.js';
import { listSegments, RETIRED_FILE, segmentFile } from '../format/log-files.js';
import type { NoteSigner } from '../format/note-keys.js';
import { formatRetired, openRetired } from '../format/retirement.js';
import { signNote } from '../format/signed-note.js';
import { readSmallFile } from '../read/line-blocks.js';
import { replaceLogFile } from './append-file.js';
import { type ClosedSegment, SignedSegments } from './signed-segments.js';

/** Options of {@link Retention}. */
export interface RetentionOptions {
  /** Age at which records may be removed, in ms. Default: never; 3,600,000 (an hour) to 10^13. */
  readonly retainMs?: number;
  /** Size of all lines together above which the oldest are removed, in bytes. Default: none; 1,048,576 to 2^53 - 1. */
  readonly retainBytes?: number;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
}

/** What can go. */
export interface Removable {
  /** Oldest first. */
  readonly segments: readonly ClosedSegment[];
  /**
   * A segment that has to stay, and all behind it, since it is not what was signed; undefined when there is none such.
   */
  readonly changed: Pick<ClosedSegment, 'first' | 'next'> | undefined;
}

/** A restarted replay guard reads the tokens used within this time plus some slack: those records always stay. */
const ALWAYS_KEPT_MS = 900_000;

/** Decides which segments a log may drop: only whole ones, oldest first, never the last. */
export class Retention {
  readonly #dir: string;
  readonly #signer: NoteSigner;
  readonly #retainMs: number | undefined;
  readonly #retainBytes: number | undefined;
  readonly #now: () => number;
  readonly #signed: SignedSegments;

  /**
   * @param signer the log's key
   * @param isStopped asked at times while segments are read
   * @throws SealwireError `OPTIONS_INVALID`
   */
  constructor(dir: string, signer: NoteSigner, options: RetentionOptions, isStopped: () => boolean) {
    const { retainMs, retainBytes, now = Date.now } = options;
    this.#dir = dir;
    this.#signer = signer;
    this.#signed = new SignedSegments(dir, signer.verifier, isStopped);
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

  /** Takes note of a segment that was written to its end. */
  learn(segment: ClosedSegment): void {
    this.#signed.learn(segment);
  }

  /** @param currentBytes size of the segment that is being written */
  async find(currentBytes: number): Promise<Removable> {
    const firsts = listSegments(await readdir(this.#dir), 'jsonl');
    const pairs = firsts.slice(0, -1).map((first, index) => ({ first, next: firsts[index + 1] as number }));
    let total = currentBytes;
    if (this.#retainBytes !== undefined) {
      for (const { first, next } of pairs) total += (await this.#signed.find(first, next))?.lineBytes ?? 0;
    }
    const segments: ClosedSegment[] = [];
    for (const pair of pairs) {
      const segment = await this.#signed.find(pair.first, pair.next);
      if (segment === undefined) return { segments, changed: pair };
      const isTooMuch = this.#retainBytes !== undefined && total > this.#retainBytes;
      // None of its records is younger by more than a minute: a segment ends when the clock is set back.
      const age = this.#now() - segment.lastMs;
      const isTooOld = this.#retainMs !== undefined && age > this.#retainMs;
      if (age < ALWAYS_KEPT_MS || !(isTooMuch || isTooOld)) break;
      segments.push(segment);
      total -= segment.lineBytes;
    }
    return { segments, changed: undefined };
  }

  /**
   * Where the records begin that the log answers for having removed. Nobody else's removal becomes ours by being in
   * front of it: what we removed before is signed, for the record that told of it may be gone itself.
   *
   * @param begin the first record that is there
   */
  findFirst(begin: number): number {
    return this.#readRetired() >= begin ? 0 : begin;
  }

  /**
   * Removes lines; the leaves stay. A `retire` record of it must be covered by a checkpoint.
   *
   * @param first see {@link findFirst}
   */
  async remove(segments: readonly ClosedSegment[], first: number): Promise<void> {
    const count = segments.at(-1)?.next ?? 0;
    if (first === 0) {
      const text = formatRetired(this.#signer.verifier.name, count);
      await replaceLogFile(join(this.#dir, RETIRED_FILE), signNote(text, [this.#signer]));
    }
    for (const segment of segments) {
      await rm(join(this.#dir, segmentFile(segment.first, 'jsonl')), { force: true });
      this.#signed.forget(segment.first);
    }
    await syncFolder(this.#dir);
  }

  #readRetired(): number {
    const path = join(this.#dir, RETIRED_FILE);
    try {
      return existsSync(path) ? openRetired(readSmallFile(path), this.#signer.verifier) : 0;
    } catch {
      // What stands there is not ours.
      return 0;
    }
  }
}
