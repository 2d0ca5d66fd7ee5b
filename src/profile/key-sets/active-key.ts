/** Which of a recipient's keys a sender uses: decided by their dates alone, without asking anybody. */

/** The time in which senders use a key, in seconds since 1970. */
export interface SendingTime {
  /** From when. Default: always. */
  readonly notBefore?: number | undefined;
  /** Until when, exclusive. Default: as long as it is published. */
  readonly expires?: number | undefined;
}

/** Clocks differ: a key whose time has just ended is better than none. The service opens its tokens for days. */
const GRACE_SECONDS = 60;

/**
 * @param keys in any order
 * @param nowMs ms since 1970
 * @returns among keys in their time, the one that began last (the first of equals); else the one whose time ended last,
 *   at
 *   most 60 s ago; else the one whose time begins first, at most 60 s from now, for a published key opens already
 */
export function selectActive<T extends SendingTime>(keys: readonly T[], nowMs: number): T | undefined {
  const now = nowMs / 1000;
  const begun = keys.filter(({ notBefore = 0 }) => notBefore <= now);
  const active = begun.filter(({ expires = Number.POSITIVE_INFINITY }) => now < expires);
  if (active.length > 0) return pickLatest(active, ({ notBefore = 0 }) => notBefore);
  const justEnded = begun.filter(({ expires = 0 }) => now < expires + GRACE_SECONDS);
  if (justEnded.length > 0) return pickLatest(justEnded, ({ expires = 0 }) => expires);
  const aboutToBegin = keys.filter(({ notBefore = 0 }) => now < notBefore && notBefore <= now + GRACE_SECONDS);
  return pickLatest(aboutToBegin, ({ notBefore = 0 }) => -notBefore);
}

function pickLatest<T>(keys: readonly T[], time: (key: T) => number): T | undefined {
  let latest: T | undefined;
  for (const key of keys) if (latest === undefined || time(key) > time(latest)) latest = key;
  return latest;
}
