/** The life of a key: its dates alone decide its state at any moment. Pure: nothing here reads a clock or a file. */

/**
 * - `pending`: not told to anybody yet, opens nothing
 * - `published`: in the key set, not yet used; opens already, since clocks differ
 * - `active`: senders use it
 * - `opening`: opens old tokens only
 * - `stored`: opens stored tokens only, refused on the wire
 * - `retired`: refused everywhere
 *
 * A removed key is one that the ring file no longer has.
 */
export type KeyState = 'pending' | 'published' | 'active' | 'opening' | 'stored' | 'retired';

/** The dates of a key, in whole seconds since 1970. A key without dates is active without end. */
export interface KeyDates {
  /** Start of being in the key set. Default: always. */
  readonly published?: number;
  /** Start of use by senders. Default: always. */
  readonly active?: number;
  /** Senders stop; it opens what they sealed before. Default: never. */
  readonly opening?: number;
  /** Refused on the wire; it opens stored tokens. Default: it never is in this state. */
  readonly stored?: number;
  /** Refused everywhere. Default: never. */
  readonly retired?: number;
  /**
   * When it was withdrawn by force. It is refused everywhere, whatever the other dates say, even by a clock that
   * has not reached this date: whoever withdraws a key does not mean "in a moment".
   */
  readonly withdrawn?: number;
}

/** All dates, in the order in which a key comes to them. */
export const DATE_NAMES = ['published', 'active', 'opening', 'stored', 'retired', 'withdrawn'] as const;

/** 9999-12-31T23:59:59Z: later moments are mistakes, most likely milliseconds. */
const MAX_SECONDS = 253_402_300_799;

/** @param now seconds since 1970; may have a fraction */
export function keyState(dates: KeyDates, now: number): KeyState {
  const { published, active, opening, stored, retired, withdrawn } = dates;
  if (withdrawn !== undefined || hasCome(retired, now)) return 'retired';
  if (hasCome(stored, now)) return 'stored';
  if (hasCome(opening, now)) return 'opening';
  if (active === undefined || hasCome(active, now)) return 'active';
  return published === undefined || hasCome(published, now) ? 'published' : 'pending';
}

function hasCome(date: number | undefined, now: number): boolean {
  return date !== undefined && now >= date;
}

/** Whether tokens from the wire are opened in this state. */
export function opensOnWire(state: KeyState): boolean {
  return state === 'published' || state === 'active' || state === 'opening';
}

/** Whether stored tokens are opened in this state. */
export function opensStored(state: KeyState): boolean {
  return opensOnWire(state) || state === 'stored';
}

/** When the key is refused on the wire, or undefined when that has no date. */
export function endOfOpening({ stored, retired, withdrawn }: KeyDates): number | undefined {
  return earliest(stored, retired, withdrawn);
}

/** When senders stop, or undefined when that has no date. */
export function endOfSealing({ opening, stored, retired, withdrawn }: KeyDates): number | undefined {
  return earliest(opening, stored, retired, withdrawn);
}

function earliest(...dates: readonly (number | undefined)[]): number | undefined {
  const known = dates.filter((date) => date !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

/** @returns the first of these dates after `now`, or undefined when none is left */
export function nextChange(dates: Iterable<KeyDates>, now: number): number | undefined {
  let next: number | undefined;
  for (const key of dates) {
    if (key.withdrawn !== undefined) continue;
    for (const name of DATE_NAMES) {
      const date = key[name];
      if (date !== undefined && date > now && (next === undefined || date < next)) next = date;
    }
  }
  return next;
}

/** @returns the latest of these dates that has come, or undefined when none has */
export function lastChange(dates: Iterable<KeyDates>, now: number): number | undefined {
  let last: number | undefined;
  for (const key of dates) {
    if (key.withdrawn !== undefined) continue;
    for (const name of DATE_NAMES) {
      const date = key[name];
      if (date !== undefined && date <= now && (last === undefined || date > last)) last = date;
    }
  }
  return last;
}

/** Whether it is in whole seconds since 1970, before the year 10000. */
export function isTime(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_SECONDS;
}

/** @returns what is wrong with the dates of one key, in words; undefined if they are right */
export function findDateFault(dates: KeyDates): string | undefined {
  const given = DATE_NAMES.filter((name) => dates[name] !== undefined);
  for (const name of given) {
    if (!isTime(dates[name])) {
      return `${name} must be whole seconds since 1970, up to the year 9999`;
    }
  }
  if (dates.published !== undefined && dates.active === undefined) return 'published without active';
  const ends = dates.stored !== undefined || dates.retired !== undefined;
  if (ends && dates.opening === undefined)
    return `${dates.stored === undefined ? 'retired' : 'stored'} without opening`;
  // Withdrawal cannot wait for the other dates.
  const ordered = given.filter((name) => name !== 'withdrawn');
  for (const [index, name] of ordered.entries()) {
    const before = ordered[index - 1];
    if (before !== undefined && (dates[name] as number) < (dates[before] as number)) return `${name} before ${before}`;
  }
  return undefined;
}

/** @returns `2026-11-25T10:00:00Z` */
export function formatDate(seconds: number): string {
  return new Date(seconds * 1_000).toISOString().replace('.000Z', 'Z');
}
