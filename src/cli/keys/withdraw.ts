/** `sealwire keys retire` and `remove`: keys that nobody needs any more. */
import { existsSync } from 'node:fs';
import { readKeyUsage } from '../../audit/read/key-usage.js';
import { SealwireError } from '../../errors.js';
import { formatDate, type KeyDates, keyState } from '../../keys/lifecycle.js';
import { type RingKey, withDates } from '../../keys/ring-file.js';
import { retireDates, withdrawDates } from '../../keys/rotation.js';
import { formatDuration } from '../duration.js';
import type { PlaceFlags } from './keys-options.js';
import { findPlaceToChange, pickKey, report } from './place.js';

/** Flags of `retire`. */
export interface RetireFlags extends PlaceFlags {
  readonly force?: boolean;
  /** Seconds. */
  readonly within: number;
  /** Folder of the audit log. Default: the service's. */
  readonly audit?: string;
}

/** Retires a key: it is refused from now on. Without `--force`, only a key that nobody needs. */
export async function retire(kid: string, flags: RetireFlags): Promise<void> {
  const place = findPlaceToChange(flags);
  const { store, auditDir, now } = place;
  const isForced = flags.force === true;
  const toDates = (key: RingKey) => (isForced ? withdrawDates : retireDates)(key, now());
  const meant = pickKey(await store.readKeys(), kid);
  toDates(meant);
  // Done before the file is locked: the log may be long, and others may have to write.
  if (!isForced) refuseIfUsed(meant.kid, flags.audit ?? auditDir, flags.within, now());
  await store.update((keys) => {
    const key = pickKey(keys, meant.kid);
    return replaceDates(keys, key, toDates(key));
  });
  await report(place, `key ${meant.kid} is retired: refused from now on\n`);
}

function refuseIfUsed(kid: string, auditDir: string | undefined, within: number, now: number): void {
  if (auditDir === undefined) {
    throw new SealwireError(
      'KEY_IN_USE',
      `without an audit log nobody knows whether key ${kid} is in use: give --audit, or --force`,
    );
  }
  // A service that never ran has opened nothing.
  if (!existsSync(auditDir)) return;
  const { keys, damaged } = readKeyUsage(auditDir, { sinceMs: (now - within) * 1_000 });
  const last = keys.get(kid)?.lastNeededMs;
  if (last !== undefined) {
    const when = formatDate(Math.floor(last / 1_000));
    throw new SealwireError(
      'KEY_IN_USE',
      `key ${kid} opened a token at ${when}, within the last ${formatDuration(within)}: wait, or give --force`,
    );
  }
  if (damaged > 0) {
    throw new SealwireError(
      'KEY_IN_USE',
      `${damaged} lines of the audit log are not records: verify it, or give --force`,
    );
  }
}

function replaceDates(keys: readonly RingKey[], key: RingKey, dates: KeyDates): RingKey[] {
  return keys.map((each) => (each === key ? withDates(each, dates) : each));
}

/** Flags of `remove`. */
export interface RemoveFlags extends PlaceFlags {
  readonly retired?: boolean;
}

/** Takes a retired key out of the ring, or all of them. */
export async function remove(kid: string | undefined, { retired: all, ...flags }: RemoveFlags): Promise<void> {
  if ((kid === undefined) !== (all === true)) {
    throw new SealwireError('OPTIONS_INVALID', 'remove what? give a kid, or --retired for all retired keys');
  }
  const place = findPlaceToChange(flags);
  let removed: readonly RingKey[] = [];
  await place.store.update((keys) => {
    const stateOf = ({ dates }: RingKey) => keyState(dates, place.now());
    removed = kid === undefined ? keys.filter((key) => stateOf(key) === 'retired') : [pickKey(keys, kid)];
    for (const key of removed) {
      const state = stateOf(key);
      if (state === 'retired') continue;
      throw new SealwireError('KEY_IN_USE', `key ${key.kid} is ${state}: only retired keys can be removed`);
    }
    return keys.filter((key) => !removed.includes(key));
  });
  const said = removed.map((key) => `key ${key.kid} is removed\n`).join('');
  await report(place, said === '' ? 'no key is retired\n' : said);
}
