/**
 * How much one account may have written by letting stored tokens be opened: a small request can make a large record.
 */

import { SealwireError } from '../../errors.js';
import { checkRange } from '../../profile/check-range.js';
import { encodedBytes, type RecordInput } from '../format/record.js';
import { AccountTable } from './account-table.js';
import { accountOf } from './record-input.js';

/** Options of {@link StoredBudget}. */
export interface StoredBudgetOptions {
  /**
   * Bytes per hour and account of records that a stored token was opened, and of the tokens that answers seal anew.
   * Default 1,073,741,824 (1 GiB); 65,536 to 2^40.
   */
  readonly storedBytesPerHour?: number;
}

const HOUR_MS = 3_600_000;
const MAX_ACCOUNTS = 4_096;

/** Counts `openStored` records before they are written. */
export class StoredBudget {
  readonly #bytesPerHour: number;
  readonly #spent = new AccountTable(MAX_ACCOUNTS, HOUR_MS, () => ({ bytes: 0 }));

  /** @throws SealwireError `OPTIONS_INVALID` */
  constructor({ storedBytesPerHour = 1_073_741_824 }: StoredBudgetOptions) {
    this.#bytesPerHour = checkRange('storedBytesPerHour', storedBytesPerHour, [65_536, 1_099_511_627_776]);
  }

  /**
   * @param now ms since 1970
   * @throws SealwireError `STORED_BYTES` when the account has spent its hour
   */
  take(input: RecordInput, origin: string, now: number): void {
    const account = accountOf(input);
    // Own work, such as re-sealing after a rotation, is nobody's to multiply.
    if (input.event !== 'openStored' || account === '') return;
    const spent = this.#spent.of(account, now);
    // What was opened mostly goes out again, sealed anew, and stands in that record whole.
    const tokens = input.fields.reduce((sum, { token }) => sum + token.length, 0);
    const bytes = encodedBytes(input, origin) + tokens;
    if (spent.bytes + bytes > this.#bytesPerHour) {
      throw new SealwireError('STORED_BYTES', 'the caller had too much written about stored tokens');
    }
    spent.bytes += bytes;
  }
}
