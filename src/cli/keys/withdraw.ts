/** `sealwire keys retire` and `remove`: keys that nobody needs any more. */
import { existsSync } from 'node:fs';
import { readKeyUsage } from '../../audit/read/key-usage.js';
import { SealwireError } from '../../errors.js';
import { formatDate, keyState } from '../../keys/lifecycle.js';
import { type RingKey, withDates } from '../../keys/ring-file.js';
import { retireDates, withdrawDates } from '../../keys/rotation.js';
import { formatDuration } from '../duration.js';
import type { PlaceFlags } from './keys-options.js';
import { findPlaceToChange, type KeyPlace, pickKey, report } from './place.js';

/** Flags of `retire`. */
export interface RetireFlags extends PlaceFlags {
  readonly stored?: boolean;
  readonly force?: boolean;
  /** Seconds. */
  readonly within: number;
  /** Folder of the audit log. Default: the service's. */
  readonly audit?: string;
}

/** Retires a key, or all stored ones: refused from now on. Without `--force`, only keys that nobody needs. */
export async function retire(kid: string | undefined, { stored: all, ...flags }: RetireFlags): Promise<void> {
  expectOne('retire', kid, all, 'stored');
  const place = findPlaceToChange(flags);
  const { store, auditDir, now } = place;
  const isForced = flags.force === true;
  const toDates = (key: RingKey) => (isForced ? withdrawDates : retireDates)(key, now());
  const pick = (keys: readonly RingKey[]) =>
    kid === undefined ? keys.filter(({ dates }) => keyState(dates, now()) === 'stored') : [pickKey(keys, kid)];
  const meant = pick(await store.readKeys());
  for (const key of meant) toDates(key);
  const kids = meant.map((key) => key.kid);
  // Done before the file is locked: the log may be long, and others may have to write.
  if (!isForced) refuseIfUsed(kids, flags.audit ?? auditDir, flags.within, now());
  await store.update((keys) => {
    const found = kids.map((each) => pickKey(keys, each));
    return keys.map((key) => (found.includes(key) ? withDates(key, toDates(key)) : key));
  });
  await reportEach(place, kids, 'is retired: refused from now on', 'no key is stored');
}

function refuseIfUsed(kids: readonly string[], auditDir: string | undefined, within: number, now: number): void {
  if (auditDir === undefined) {
    throw new SealwireError(
      'KEY_IN_USE',
      `without an audit log nobody knows whether key ${kids} is in use: give --audit, or --force`,
    );
  }
  // A service that never ran has opened nothing.
  if (!existsSync(auditDir)) return;
  const { keys, damaged } = readKeyUsage(auditDir, { sinceMs: (now - within) * 1_000 });
  for (const kid of kids) {
    const last = keys.get(kid)?.lastNeededMs;
    if (last === undefined) continue;
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

/** Flags of `remove`. */
export interface RemoveFlags extends PlaceFlags {
  readonly retired?: boolean;
}

/** Takes a retired key out of the ring, or all of them. */
export async function remove(kid: string | undefined, { retired: all, ...flags }: RemoveFlags): Promise<void> {
  expectOne('remove', kid, all, 'retired');
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
  await reportEach(
    place,
    removed.map((key) => key.kid),
    'is removed',
    'no key is retired',
  );
}

function expectOne(command: string, kid: string | undefined, all: boolean | undefined, state: string): void {
  if ((kid === undefined) === (all === true)) return;
  throw new SealwireError('OPTIONS_INVALID', `${command} what? give a kid, or --${state} for all ${state} keys`);
}

function reportEach(place: KeyPlace, kids: readonly string[], what: string, nothing: string): Promise<void> {
  return report(place, kids.length === 0 ? `${nothing}\n` : kids.map((kid) => `key ${kid} ${what}\n`).join(''));
}
