/** `reject` records within a budget: senders of rubbish must not fill a disk with records of it. */

import { checkRange } from '../../profile/options.js';
import type { RecordInput } from '../format/record.js';
import { BLANK_INPUT, estimateSize } from './record-input.js';

/** Options of {@link RejectNotes}. */
export interface RejectNotesOptions {
  /** `reject` records per second written one by one; more are counted and summarised. Default 100; 1 to 10,000. */
  readonly rejectsPerSecond?: number;
  /** Characters of `reject` records per second, likewise. Default 262,144; 1,024 to 2^30. */
  readonly rejectBytesPerSecond?: number;
  /** Characters of `reject` records per hour, likewise. Default 33,554,432 (32 Mi); 1,024 to 2^40. */
  readonly rejectBytesPerHour?: number;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
}

/** Takes a record that nobody waits for; `lost` is called when it could not be written. */
export type WriteNote = (input: RecordInput, lost: () => void) => void;

const SECOND_MS = 1_000;
const HOUR_MS = 3_600_000;

/** Writes what fits into the budget, and once a second the number of what did not. */
export class RejectNotes {
  readonly #write: WriteNote;
  readonly #now: () => number;
  readonly #perSecond: number;
  readonly #bytesPerSecond: number;
  readonly #bytesPerHour: number;
  #second = { startedAt: 0, records: 0, bytes: 0 };
  #hour = { startedAt: 0, bytes: 0 };
  #suppressed = 0;
  #summary: NodeJS.Timeout | undefined;
  #closed = false;

  /** @throws SealwireError `OPTIONS_INVALID` */
  constructor(options: RejectNotesOptions, write: WriteNote) {
    this.#write = write;
    this.#now = options.now ?? Date.now;
    this.#perSecond = checkRange('rejectsPerSecond', options.rejectsPerSecond ?? 100, [1, 10_000]);
    const perSecond = options.rejectBytesPerSecond ?? 262_144;
    this.#bytesPerSecond = checkRange('rejectBytesPerSecond', perSecond, [1_024, 1_073_741_824]);
    const perHour = options.rejectBytesPerHour ?? 33_554_432;
    this.#bytesPerHour = checkRange('rejectBytesPerHour', perHour, [1_024, 1_099_511_627_776]);
  }

  /** Takes a `reject` record. Never throws. */
  note(input: RecordInput): void {
    const now = this.#now();
    // A clock that was set back begins new windows too.
    if (Math.abs(now - this.#second.startedAt) >= SECOND_MS) {
      this.#summarize();
      this.#second = { startedAt: now, records: 0, bytes: 0 };
    }
    if (Math.abs(now - this.#hour.startedAt) >= HOUR_MS) this.#hour = { startedAt: now, bytes: 0 };
    const size = estimateSize(input);
    // The first one of a second is written even if it uses up the budget: a message has few tokens.
    const isFull =
      this.#second.records >= this.#perSecond ||
      (this.#second.records > 0 && this.#second.bytes + size > this.#bytesPerSecond) ||
      (this.#hour.bytes > 0 && this.#hour.bytes + size > this.#bytesPerHour);
    if (isFull) {
      this.#suppress(1);
      return;
    }
    this.#second.records++;
    this.#second.bytes += size;
    this.#hour.bytes += size;
    this.#write(input, () => this.#suppress(1));
  }

  /** Writes the count so far. */
  close(): void {
    clearTimeout(this.#summary);
    this.#summarize();
    this.#closed = true;
  }

  #suppress(count: number): void {
    this.#suppressed += count;
    if (this.#summary !== undefined || this.#closed) return;
    this.#summary = setTimeout(() => {
      this.#summary = undefined;
      this.#summarize();
    }, SECOND_MS);
    this.#summary.unref();
  }

  #summarize(): void {
    const count = this.#suppressed;
    if (count === 0) return;
    this.#suppressed = 0;
    // On a full disk the number waits.
    this.#write({ ...BLANK_INPUT, event: 'reject', detail: `${count} more refused calls` }, () =>
      this.#suppress(count),
    );
  }
}
