/** `sealwire keys init`, `rotate`, `import` and `passphrase`: changing the ring file, one writer at a time. */
import { existsSync } from 'node:fs';
import { SealwireError } from '../../errors.js';
import { createFirstKey, makeKeyFolder } from '../../host/key-files.js';
import { readKeyFile } from '../../keys/files.js';
import { generatePem } from '../../keys/generate-pem.js';
import { formatDate, type KeyDates } from '../../keys/lifecycle.js';
import { importRingKey, type RingKey, withDates } from '../../keys/ring-file.js';
import {
  currentKey,
  findWaiting,
  hurryRotation,
  type PlannedRotation,
  planRotation,
  type RotationSchedule,
  replaceAll,
} from '../../keys/rotation.js';
import type { Curve } from '../../profile/algorithms.js';
import { print } from '../output.js';
import { describeReplacement, describeRest } from './compromised.js';
import { findTokenKey, makeTokenKey, orTellWhere, type TokenKey } from './hardware.js';
import type { HardwareFlags, PlaceFlags } from './keys-options.js';
import { askOnce, findPlace, findPlaceToChange, type KeyPlace, note, openStore, report } from './place.js';

/** Flags of `init`. */
export interface InitFlags extends PlaceFlags, HardwareFlags {
  readonly curve: Curve;
  readonly encrypt?: boolean;
}

/** Makes a ring with one key. */
export async function init({ curve, encrypt, ...flags }: InitFlags): Promise<void> {
  const isEncrypted = encrypt === true || flags.passphraseFile !== undefined;
  const place = findPlace(flags, isEncrypted);
  if (flags.ring === undefined) await makeKeyFolder(flags.dir);
  const store = openStore(place, isEncrypted ? place.passphrase : undefined);
  // Checked before a key is made on a token, where it would remain.
  if (existsSync(place.ringPath))
    throw new SealwireError('KEY_FILE_WRITE', `${place.ringPath}: the file exists already`);
  const made = flags.custody === undefined ? undefined : await makeTokenKey(flags.custody, curve, flags);
  const first = made === undefined ? await createFirstKey(curve) : withDates(made.key, { active: nowSeconds() });
  const ring = await orTellWhere(made, () => store.create([first]));
  const said = `key ${ring.currentKid} (${curve}) is active\n`;
  await report(place, `${said}${whereKeysAre(place, isEncrypted)}${whereTokenIs(made)}`);
}

function whereKeysAre({ ringPath, publicPath }: KeyPlace, isEncrypted: boolean): string {
  const where = `private keys ${ringPath}${isEncrypted ? ' (encrypted)' : ''}\n`;
  return publicPath === undefined ? where : `${where}public keys ${publicPath}\n`;
}

function whereTokenIs(made: TokenKey | undefined): string {
  return made === undefined ? '' : `its private half ${made.uri}\n`;
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1_000);
}

/** Flags that make a schedule. */
export interface ScheduleFlags {
  readonly every?: number;
  readonly publishAhead?: number;
  readonly openAfter?: number;
  readonly keepStored?: number;
  readonly now?: boolean;
}

/** Flags of `rotate`. */
export interface RotateFlags extends PlaceFlags, ScheduleFlags, HardwareFlags {
  readonly curve?: Curve;
  readonly compromised?: boolean;
}

/** Adds a key that follows the active one, brings a waiting key forward, or replaces all keys. */
export async function rotate(flags: RotateFlags): Promise<void> {
  const schedule = toSchedule(flags);
  const place = findPlaceToChange(flags);
  const isCompromised = flags.compromised === true;
  let said = '';
  let warned = '';
  let made: TokenKey | undefined;
  const change = async (keys: readonly RingKey[]) => {
    const now = place.now();
    const waiting = flags.now === true ? findWaiting(keys, now) : undefined;
    if (waiting !== undefined) {
      if (flags.custody !== undefined) {
        throw new SealwireError(
          'OPTIONS_INVALID',
          '--custody: a key is waiting already; --now brings that one forward',
        );
      }
      if (flags.curve !== undefined && flags.curve !== waiting.crv) {
        throw new SealwireError('OPTIONS_INVALID', `--curve: the waiting key is on ${waiting.crv}`);
      }
      const planned = hurryRotation(keys, waiting.kid, schedule, now);
      said = describeRotation(waiting.kid, planned);
      warned = `key ${waiting.kid} waited in the ring, and whoever has a copy of the ring has it too`;
      return applyDates(keys, planned).map((key) => (key.kid === waiting.kid ? withDates(key, planned.next) : key));
    }
    const planned = isCompromised ? replaceAll(keys, flags.keepStored, now) : planRotation(keys, schedule, now);
    const curve = flags.curve ?? currentKey(keys, now)?.crv ?? 'P-521';
    if (flags.custody !== undefined) made = await makeTokenKey(flags.custody, curve, flags);
    const next = made?.key ?? (await importRingKey(generatePem(curve)));
    said = (isCompromised ? describeReplacement : describeRotation)(next.kid, planned);
    if (flags.now === true) warned = 'the keys before it go on opening calls';
    return [...applyDates(keys, planned), withDates(next, planned.next)];
  };
  try {
    await place.store.update(change);
  } catch (error) {
    await orTellWhere(made, () => Promise.reject(error));
  }
  await report(place, `${said}${whereTokenIs(made)}`);
  if (isCompromised) await print(describeRest(place.ringPath));
  if (warned !== '') {
    note(
      `${warned}: --now is not for a stolen ring, --compromised is; ` +
        'of several instances, those that have not read the ring yet refuse the new key',
    );
  }
}

function toSchedule({ now, publishAhead, every, openAfter, keepStored }: ScheduleFlags): RotationSchedule {
  if (now === true && (publishAhead !== undefined || every !== undefined)) {
    throw new SealwireError('OPTIONS_INVALID', '--now leaves no time for --publish-ahead or --every');
  }
  const ahead = now === true ? 0 : publishAhead;
  return {
    ...(every !== undefined && { every }),
    ...(ahead !== undefined && { publishAhead: ahead }),
    ...(openAfter !== undefined && { openAfter }),
    ...(keepStored !== undefined && { keepStored }),
  };
}

function applyDates(keys: readonly RingKey[], { previous }: PlannedRotation): RingKey[] {
  return keys.map((key) => withDates(key, previous.get(key.kid) ?? key.dates));
}

function describeRotation(kid: string, { next, previous }: PlannedRotation): string {
  const { published = 0, active = 0 } = next;
  const lines = [`key ${kid} is published at ${formatDate(published)} and active from ${formatDate(active)}`];
  for (const [old, { opening = 0, stored = 0, retired }] of previous) {
    const end = retired === undefined ? 'until it is retired' : `until ${formatDate(retired)}`;
    lines.push(
      `key ${old} is active until ${formatDate(opening)}, opens tokens until ${formatDate(stored)}, stored ones ${end}`,
    );
  }
  return `${lines.join('\n')}\n`;
}

/** Flags of `import`. */
export interface ImportFlags extends PlaceFlags, ScheduleFlags, HardwareFlags {
  readonly as: 'next' | 'opening' | 'stored';
}

/** Adds a private key that was made elsewhere. */
export async function importKey(file: string | undefined, { as, ...flags }: ImportFlags): Promise<void> {
  const schedule = toSchedule(flags);
  const place = findPlace(flags);
  const key = withDates(await readForeignKey(file, flags), {});
  if (as === 'next' && !existsSync(place.ringPath)) {
    if (flags.ring === undefined) await makeKeyFolder(flags.dir);
    const isEncrypted = flags.passphraseFile !== undefined;
    const active = { active: Math.floor(Date.now() / 1_000) };
    await openStore(place, isEncrypted ? place.passphrase : undefined).create([withDates(key, active)]);
    await report(place, `key ${key.kid} (${key.crv}) is active\n${whereKeysAre(place, isEncrypted)}`);
    return;
  }
  let said = '';
  await place.store.update((keys) => {
    const now = Date.now() / 1_000;
    if (keys.some(({ kid }) => kid === key.kid)) {
      throw new SealwireError('KEY_INVALID', `key ${key.kid} is already in the ring`);
    }
    if (as !== 'next') {
      said = `key ${key.kid} is ${as}\n`;
      return [...keys, withDates(key, oldDates(as, schedule, Math.floor(now)))];
    }
    const planned = planRotation(keys, schedule, now);
    said = describeRotation(key.kid, planned);
    return [...applyDates(keys, planned), withDates(key, planned.next)];
  });
  await report(place, said);
}

async function readForeignKey(file: string | undefined, flags: HardwareFlags): Promise<RingKey> {
  const { custody } = flags;
  if ((file === undefined) === (custody === undefined)) {
    throw new SealwireError('OPTIONS_INVALID', 'nothing to import: give a file, or --custody for a key in a token');
  }
  if (custody !== undefined) return (await findTokenKey(custody, flags)).key;
  return importRingKey(await readKeyFile(file as string, { secret: true }));
}

/** Dates of a key that was in use elsewhere: it only opens old tokens. */
function oldDates(
  as: 'opening' | 'stored',
  { openAfter = 604_800, keepStored }: RotationSchedule,
  now: number,
): KeyDates {
  const stored = as === 'stored' ? now : now + openAfter;
  return { opening: now, stored, ...(keepStored !== undefined && { retired: stored + keepStored }) };
}

/** Flags of `passphrase`. */
export interface PassphraseFlags extends PlaceFlags {
  readonly newPassphraseFile?: string;
  readonly remove?: boolean;
}

/** May hold the new passphrase. */
export const NEW_PASSPHRASE_VARIABLE = 'SEALWIRE_NEW_KEY_PASSPHRASE';

/** Encrypts a ring, or changes or removes its passphrase. */
export async function changePassphrase({
  newPassphraseFile,
  remove: isRemoved,
  ...flags
}: PassphraseFlags): Promise<void> {
  const place = findPlace(flags);
  const name = 'new passphrase';
  const fresh = askOnce({ name, file: newPassphraseFile, variable: NEW_PASSPHRASE_VARIABLE, confirm: true });
  await place.store.protect(isRemoved === true ? undefined : fresh);
  await report(
    place,
    `${place.ringPath} is ${isRemoved === true ? 'plain: its mode alone protects it' : 'encrypted'}\n`,
  );
}

/** Says that a ring was changed, by an editor or a restore, so that clients take its keys for newer than before. */
export async function stamp(flags: PlaceFlags): Promise<void> {
  const place = findPlace(flags);
  const { changed } = (await place.store.stamp()).version() ?? {};
  await report(place, `${place.ringPath} is changed as of ${formatDate(changed as number)}\n`);
}
