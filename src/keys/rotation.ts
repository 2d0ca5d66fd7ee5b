/** Rotation: makes dates by a schedule and refuses dates that would make calls fail. Pure, like the life of a key. */

import { SealwireError } from '../errors.js';
import { MAX_KEY_SET_SECONDS } from '../profile/key-sets/key-set-rules.js';
import { MAX_AGE_SECONDS, MAX_SKEW_SECONDS } from '../profile/policy.js';
import {
  endOfOpening,
  endOfSealing,
  findDateFault,
  formatDate,
  type KeyDates,
  keyState,
  nextChange,
} from './lifecycle.js';

/** How long a token may be in transit, in seconds, including the accepted difference of clocks. */
export const TOKEN_WINDOW_SECONDS = MAX_AGE_SECONDS + MAX_SKEW_SECONDS;

/** A key as far as rotation looks at it. */
export interface DatedKey {
  readonly kid: string;
  readonly dates: KeyDates;
}

/** How keys follow each other; all in whole seconds. */
export interface RotationSchedule {
  /** From one activation to the next. Default: the new key becomes active as soon as `publishAhead` allows. */
  readonly every?: number;
  /** How long the new key is in the key set before senders use it. Default 86,400 (24 h); 0 and more. */
  readonly publishAhead?: number;
  /** How long the old key opens tokens after senders have stopped. Default 604,800 (7 days); 360 and more. */
  readonly openAfter?: number;
  /** How long the old key opens stored tokens after that. Default: until it is retired by hand. */
  readonly keepStored?: number;
}

/** The result of a rotation. */
export interface PlannedRotation {
  /** Dates of the new key. */
  readonly next: KeyDates;
  /** New dates of the keys that it replaces, by kid. */
  readonly previous: ReadonlyMap<string, KeyDates>;
}

/**
 * Makes the dates of a new key and of those before it: every active key gets an end.
 *
 * @param keys the ring as it is
 * @param now seconds since 1970; a fraction is dropped
 * @throws SealwireError `KEY_NOT_DUE` when a rotation is under way already, `KEY_DATES_INVALID` when calls would fail
 */
export function planRotation(keys: readonly DatedKey[], schedule: RotationSchedule, now: number): PlannedRotation {
  const moment = Math.floor(now);
  refuseUnderWay(keys, moment);
  return handOver(keys, undefined, scheduleKey(keys, schedule, moment), schedule, moment);
}

/**
 * Brings a pending rotation forward: the waiting key becomes active now.
 *
 * @param kid the key that waits
 * @returns its new dates as `next`
 * @throws SealwireError `KEY_DATES_INVALID`
 */
export function hurryRotation(
  keys: readonly DatedKey[],
  kid: string,
  schedule: RotationSchedule,
  now: number,
): PlannedRotation {
  const moment = Math.floor(now);
  const published = Math.min(keys.find((key) => key.kid === kid)?.dates.published ?? moment, moment);
  return handOver(keys, kid, { published, active: moment }, schedule, moment);
}

/**
 * Makes the dates of a new key in a ring that somebody else may have: it is active at once, and all keys before it are
 * refused on the wire, those that wait too.
 *
 * @param keepStored seconds for which keys that were in use go on opening stored tokens. Default: they are refused for
 *   these too
 * @param now seconds since 1970; a fraction is dropped
 */
export function replaceAll(keys: readonly DatedKey[], keepStored: number | undefined, now: number): PlannedRotation {
  const moment = Math.floor(now);
  const previous = new Map<string, KeyDates>();
  for (const { kid, dates } of keys) {
    const state = keyState(dates, moment);
    if (state === 'retired') continue;
    const isKept = keepStored !== undefined && state !== 'pending' && state !== 'published';
    const [opening, stored] = [dates.opening ?? moment, dates.stored ?? moment].map((date) => Math.min(date, moment));
    const ends = isKept ? { opening, stored, retired: moment + keepStored } : { withdrawn: moment };
    previous.set(kid, { ...dates, ...ends } as KeyDates);
  }
  return { next: { published: moment, active: moment }, previous };
}

/** The key that waits for its active date, if there is one. */
export function findWaiting<T extends DatedKey>(keys: readonly T[], now: number): T | undefined {
  return keys.find(({ dates }) => ['pending', 'published'].includes(keyState(dates, now)));
}

function refuseUnderWay(keys: readonly DatedKey[], now: number): void {
  const waiting = findWaiting(keys, now);
  if (waiting === undefined) return;
  const at = formatDate(waiting.dates.active as number);
  throw new SealwireError(
    'KEY_NOT_DUE',
    `too early: key ${waiting.kid} is waiting already and becomes active at ${at}`,
  );
}

function scheduleKey(keys: readonly DatedKey[], schedule: RotationSchedule, now: number): KeyDates {
  const { every, publishAhead = MAX_KEY_SET_SECONDS } = schedule;
  const soonest = now + publishAhead;
  const last = currentKey(keys, now)?.dates.active;
  const active = every === undefined ? soonest : Math.max(soonest, (last ?? now) + every);
  return { published: active - publishAhead, active };
}

function handOver(
  keys: readonly DatedKey[],
  waiting: string | undefined,
  next: KeyDates,
  schedule: RotationSchedule,
  now: number,
): PlannedRotation {
  const at = next.active as number;
  const { openAfter = 604_800, keepStored } = schedule;
  const stored = at + openAfter;
  const ends = { opening: at, stored, ...(keepStored !== undefined && { retired: stored + keepStored }) };
  const previous = new Map<string, KeyDates>();
  for (const { kid, dates } of keys) {
    const ended = dates.opening !== undefined && dates.opening <= at;
    if (kid !== waiting && !ended && keyState(dates, now) === 'active') previous.set(kid, { ...dates, ...ends });
  }
  const after = [
    ...keys.filter(({ kid }) => kid !== waiting).map(({ kid, dates }) => ({ kid, dates: previous.get(kid) ?? dates })),
    { kid: waiting ?? 'the new key', dates: next },
  ];
  checkRingDates(after, now);
  return { next, previous };
}

/** The key that senders use at `now`: the active one that became active last; the first of equals. */
export function currentKey<T extends DatedKey>(keys: Iterable<T>, now: number): T | undefined {
  let current: T | undefined;
  for (const key of keys) {
    if (keyState(key.dates, now) !== 'active') continue;
    const since = key.dates.active ?? Number.NEGATIVE_INFINITY;
    if (current === undefined || since > (current.dates.active ?? Number.NEGATIVE_INFINITY)) current = key;
  }
  return current;
}

/**
 * Refuses dates that would make calls fail: out of order, a time without an active key, or a key refused while
 * senders may still use it. Past times are not checked.
 *
 * @param now seconds since 1970
 * @throws SealwireError `KEY_DATES_INVALID` with the key and the reason
 */
export function checkRingDates(keys: readonly DatedKey[], now: number): void {
  for (const { kid, dates } of keys) {
    const fault = findDateFault(dates);
    if (fault !== undefined) throw invalid(`key ${kid}: ${fault}`);
  }
  checkCoverage(keys, now);
  for (const key of keys) checkOverlap(key, keys, now);
}

/** Checks all future times: nothing would warn of a key that ends without a successor. */
function checkCoverage(keys: readonly DatedKey[], now: number): void {
  const all = keys.map(({ dates }) => dates);
  for (let at: number | undefined = now; at !== undefined; at = nextChange(all, at)) {
    if (currentKey(keys, at) !== undefined) continue;
    throw invalid(`no key is active ${at === now ? 'now' : `from ${formatDate(at)} on`}; add one by rotating first`);
  }
}

function checkOverlap({ kid, dates }: DatedKey, keys: readonly DatedKey[], now: number): void {
  const { opening } = dates;
  const end = endOfOpening(dates);
  // A withdrawn key is refused at once: whoever withdraws it has chosen that.
  if (opening === undefined || end === undefined || end <= now || dates.withdrawn !== undefined) return;
  if (end - opening < TOKEN_WINDOW_SECONDS) {
    throw invalid(
      `key ${kid}: refused ${end - opening} s after senders stop, but a token may be ${TOKEN_WINDOW_SECONDS} s in transit`,
    );
  }
  const others = keys.filter((key) => key.kid !== kid);
  const told = currentKey(others, opening)?.dates.published;
  const overlap = MAX_KEY_SET_SECONDS + TOKEN_WINDOW_SECONDS;
  if (told === undefined || end - told >= overlap) return;
  throw invalid(
    `key ${kid}: refused ${end - told} s after its successor is published, but a sender may use a key set for ` +
      `${MAX_KEY_SET_SECONDS} s and a token may be ${TOKEN_WINDOW_SECONDS} s in transit: ${overlap} s are needed`,
  );
}

/**
 * Dates of a key that is retired now in the ordinary way. It must be in the state stored. Before that, some tokens may
 * be
 * kept that were sealed to it, and are sealed anew when that state comes.
 *
 * @throws SealwireError `KEY_IN_USE` for a key in another state
 */
export function retireDates({ kid, dates }: DatedKey, now: number): KeyDates {
  const moment = Math.floor(now);
  const state = keyState(dates, moment);
  if (state === 'stored') return { ...dates, retired: moment };
  if (state === 'retired') throw inUse(`key ${kid} is retired already`);
  const forced = 'or retire it with --force';
  if (state === 'active') throw inUse(`key ${kid} is active: rotate first, ${forced}`);
  if (state === 'opening') throw inUse(`key ${kid} opens calls ${untilWhen(dates)}: wait, ${forced}`);
  throw inUse(`key ${kid} is ${state}, and waits to become active: wait, ${forced}`);
}

function untilWhen(dates: KeyDates): string {
  const end = endOfOpening(dates);
  return end === undefined ? 'and has no date at which that ends' : `until ${formatDate(end)}`;
}

/** Dates of a key that is refused from now on, whatever they were. */
export function withdrawDates({ kid, dates }: DatedKey, now: number): KeyDates {
  const moment = Math.floor(now);
  if (keyState(dates, moment) === 'retired') throw inUse(`key ${kid} is retired already`);
  return { ...dates, withdrawn: moment };
}

/** The end of use of a waiting or active key by senders: its `exp` in a key set. */
export function sealingSpan(dates: KeyDates): { readonly nbf?: number; readonly exp?: number } {
  const end = endOfSealing(dates);
  return { ...(dates.active !== undefined && { nbf: dates.active }), ...(end !== undefined && { exp: end }) };
}

function inUse(message: string): SealwireError {
  return new SealwireError('KEY_IN_USE', message);
}

function invalid(message: string): SealwireError {
  return new SealwireError('KEY_DATES_INVALID', message);
}
