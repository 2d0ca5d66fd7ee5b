/**
 * `reject` records within a budget: senders of rubbish must not fill a disk with records of it, nor hide what others
 * try.
 */
import { checkRange } from '../../profile/check-range.js';
import { encodedBytes, type RecordInput } from '../format/record.js';
import { AccountTable } from './account-table.js';
import { accountOf, BLANK_INPUT } from './record-input.js';

/** Options of {@link RejectNotes}. */
export interface RejectNotesOptions {
  /**
   * `reject` records per second and account written one by one; more are counted and summarised. Default 100; 1 to
   * 10,000.
   */
  readonly rejectsPerSecond?: number;
  /** Bytes of `reject` records per second and account, likewise. Default 262,144; 1,024 to 2^30. */
  readonly rejectBytesPerSecond?: number;
  /** Bytes of `reject` records per hour and account, likewise. Default 2,097,152 (2 Mi); 1,024 to 2^40. */
  readonly rejectBytesPerHour?: number;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
}

/** Takes a record that nobody waits for; `lost` is called when it could not be written. */
export type WriteNote = (input: RecordInput, lost: () => void) => void;

const SECOND_MS = 1_000;
const HOUR_MS = 3_600_000;
/** Accounts with a budget of their own per hour; all others share one more. */
const MAX_ACCOUNTS = 128;
/** Summaries of one account after its first: they are in no budget. */
const SUMMARY_MS = 60_000;

/** What one account had written, and what was only counted. */
interface Spent {
  /** Undefined for all accounts that have no place of their own. */
  readonly account: string | undefined;
  principal: string;
  second: { startedAt: number; records: number; bytes: number };
  hourBytes: number;
  suppressed: number;
  summarizedAt: number;
}

/** Writes what fits into its account's budget, and now and then the number of what did not. */
export class RejectNotes {
  readonly #origin: string;
  readonly #write: WriteNote;
  readonly #now: () => number;
  readonly #perSecond: number;
  readonly #bytesPerSecond: number;
  readonly #bytesPerHour: number;
  readonly #accounts: AccountTable<Spent>;
  /** Accounts with something to tell: also those of an hour that is over. */
  readonly #untold = new Set<Spent>();
  #summary: NodeJS.Timeout | undefined;
  #closed = false;

  /**
   * @param origin of the log, which is part of each record
   * @throws SealwireError `OPTIONS_INVALID`
   */
  constructor(options: RejectNotesOptions, origin: string, write: WriteNote) {
    this.#origin = origin;
    this.#write = write;
    this.#now = options.now ?? Date.now;
    this.#perSecond = checkRange('rejectsPerSecond', options.rejectsPerSecond ?? 100, [1, 10_000]);
    const perSecond = options.rejectBytesPerSecond ?? 262_144;
    this.#bytesPerSecond = checkRange('rejectBytesPerSecond', perSecond, [1_024, 1_073_741_824]);
    const perHour = options.rejectBytesPerHour ?? 2_097_152;
    this.#bytesPerHour = checkRange('rejectBytesPerHour', perHour, [1_024, 1_099_511_627_776]);
    this.#accounts = new AccountTable(MAX_ACCOUNTS, HOUR_MS, createSpent);
  }

  /** Takes a `reject` record. Never throws. */
  note(input: RecordInput): void {
    const now = this.#now();
    const spent = this.#accounts.of(accountOf(input), now);
    spent.principal = spent.account === undefined ? '' : input.principal;
    if (Math.abs(now - spent.second.startedAt) >= SECOND_MS) {
      this.#summarize(now);
      spent.second = { startedAt: now, records: 0, bytes: 0 };
    }
    const { second } = spent;
    const isSpent = second.records >= this.#perSecond || spent.hourBytes >= this.#bytesPerHour;
    const size = isSpent ? 0 : encodedBytes(input, this.#origin);
    // The first one of a second, and of an hour, is written even if it uses up the budget: a message has few tokens.
    const isTooMuch =
      (second.records > 0 && second.bytes + size > this.#bytesPerSecond) ||
      (spent.hourBytes > 0 && spent.hourBytes + size > this.#bytesPerHour);
    if (isSpent || isTooMuch) {
      // Nothing is encoded only to be counted.
      second.records = this.#perSecond;
      this.#suppress(spent, 1);
      return;
    }
    second.records++;
    second.bytes += size;
    spent.hourBytes += size;
    this.#write(input, () => this.#suppress(spent, 1));
  }

  /** Writes the count so far. */
  close(): void {
    clearTimeout(this.#summary);
    this.#summarize(Number.POSITIVE_INFINITY);
    this.#closed = true;
  }

  #suppress(spent: Spent, count: number): void {
    spent.suppressed += count;
    this.#untold.add(spent);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#summary !== undefined || this.#closed) return;
    this.#summary = setTimeout(() => {
      this.#summary = undefined;
      this.#summarize(this.#now());
      if (this.#untold.size > 0) this.#schedule();
    }, SECOND_MS);
    this.#summary.unref();
  }

  #summarize(now: number): void {
    for (const spent of [...this.#untold]) {
      if (Math.abs(now - spent.summarizedAt) < SUMMARY_MS) continue;
      const { suppressed: count, principal } = spent;
      spent.suppressed = 0;
      spent.summarizedAt = now;
      this.#untold.delete(spent);
      const detail = `${count} more refused calls${spent.account === undefined ? ' of other callers' : ''}`;
      // On a full disk the number waits.
      this.#write({ ...BLANK_INPUT, event: 'reject', principal, detail }, () => this.#suppress(spent, count));
    }
  }
}

function createSpent(account: string | undefined): Spent {
  const second = { startedAt: 0, records: 0, bytes: 0 };
  return {
    account,
    principal: '',
    second,
    hourBytes: 0,
    suppressed: 0,
    summarizedAt: Number.NEGATIVE_INFINITY,
  };
}
