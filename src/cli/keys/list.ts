/** `sealwire keys list` and `export`: showing keys; nothing is written. */
import { existsSync } from 'node:fs';
import { type KeyUsage, readKeyUsage } from '../../audit/read/key-usage.js';
import { SealwireError } from '../../errors.js';
import { DATE_NAMES, formatDate, type KeyDates, type KeyState, keyState } from '../../keys/lifecycle.js';
import type { RingKey } from '../../keys/ring-file.js';
import { checkRingDates, currentKey } from '../../keys/rotation.js';
import { formatTable, Progress, print, printJson } from '../output.js';
import type { PlaceFlags } from './keys-options.js';
import { findPlace, pickKey, report } from './place.js';

/** Flags of `list`. */
export interface ListFlags extends PlaceFlags {
  readonly json?: boolean;
  /** Folder of the audit log. Default: the service's. */
  readonly audit?: string;
}

/** A key as it is listed. */
interface ListedKey {
  readonly kid: string;
  readonly curve: string;
  readonly state: KeyState;
  readonly current: boolean;
  readonly custody: 'file' | 'pkcs11';
  /** ISO times. */
  readonly dates: Readonly<Record<string, string>>;
  /** Null: there is no log to tell. */
  readonly opened: number | null;
  readonly lastSeen: string | null;
}

/** Prints the keys of a ring. Warnings about dangerous dates go to stderr. */
export async function list(flags: ListFlags): Promise<void> {
  const { store, auditDir, ringPath, now: clock } = findPlace(flags);
  const keys = await store.readKeys();
  const usage = readUsage(flags.audit ?? auditDir);
  const now = clock();
  const current = currentKey(keys, now);
  const rows = keys.map((key) => describe(key, now, key === current, usage));
  if (flags.json === true) await printJson(rows);
  await report({ ringPath }, flags.json === true ? '' : formatRows(rows, keys, now));
  try {
    checkRingDates(keys, now);
  } catch (error) {
    process.stderr.write(`sealwire: warning: ${(error as Error).message}\n`);
  }
}

function describe(
  key: RingKey,
  now: number,
  current: boolean,
  usage: ReadonlyMap<string, KeyUsage> | undefined,
): ListedKey {
  const used = usage?.get(key.kid);
  const dates = DATE_NAMES.filter((name) => key.dates[name] !== undefined);
  return {
    kid: key.kid,
    curve: key.crv,
    state: keyState(key.dates, now),
    current,
    custody: key.custody === undefined ? 'file' : 'pkcs11',
    dates: Object.fromEntries(dates.map((name) => [name, formatDate(key.dates[name] as number)])),
    opened: usage === undefined ? null : (used?.opened ?? 0),
    lastSeen: used === undefined ? null : new Date(used.lastSeenMs).toISOString(),
  };
}

function formatRows(rows: readonly ListedKey[], keys: readonly RingKey[], now: number): string {
  return formatTable(
    rows.map((row, index) => ({ ...row, next: nextDate((keys[index] as RingKey).dates, now) })),
    [
      { title: 'kid', value: ({ kid }) => kid },
      { title: 'curve', value: ({ curve }) => curve },
      { title: 'custody', value: ({ custody }) => custody },
      { title: 'state', value: ({ state, current }) => (current ? `${state}, current` : state) },
      { title: 'next', value: ({ next }) => next },
      { title: 'opened', value: ({ opened }) => opened ?? '-', align: 'right' },
      { title: 'last seen', value: ({ lastSeen }) => lastSeen ?? '-' },
    ],
  );
}

/** The next state and when it comes. */
function nextDate(dates: KeyDates, now: number): string {
  if (keyState(dates, now) === 'retired') return '-';
  const coming = DATE_NAMES.map((name) => [name, dates[name]] as const).filter(([, date]) => (date ?? 0) > now);
  const [name, date] = coming.sort(([, a = 0], [, b = 0]) => a - b)[0] ?? [];
  return date === undefined ? '-' : `${name} ${formatDate(date)}`;
}

function readUsage(dir: string | undefined): ReadonlyMap<string, KeyUsage> | undefined {
  if (dir === undefined || !existsSync(dir)) return undefined;
  const progress = new Progress((lines) => `${lines} audit records`);
  try {
    const { keys, damaged } = readKeyUsage(dir, { progress: (lines) => progress.update(lines) });
    if (damaged > 0) process.stderr.write(`sealwire: warning: ${damaged} lines of the audit log are not records\n`);
    return keys;
  } finally {
    progress.end();
  }
}

/** Flags of `export`. */
export interface ExportFlags extends PlaceFlags {
  readonly public?: boolean;
  readonly kid?: string;
  readonly pem?: boolean;
}

/** Prints public keys: those that senders may use now, or a given one. */
export async function exportKeys({ public: isPublic, kid, pem, ...flags }: ExportFlags): Promise<void> {
  if (isPublic !== true) {
    throw new SealwireError(
      'OPTIONS_INVALID',
      'private keys are not exported; the ring file has them. For public keys give --public',
    );
  }
  const { store } = findPlace(flags);
  const now = Date.now() / 1_000;
  const all = await store.readKeys();
  const usable = (await store.load()).publicJwks().keys.map((jwk) => pickKey(all, jwk.kid));
  const keys = kid === undefined ? usable : [pickKey(all, kid)];
  for (const key of keys) {
    const state = keyState(key.dates, now);
    if (state === 'retired') process.stderr.write(`sealwire: warning: key ${key.kid} is retired\n`);
  }
  if (pem === true)
    await print(keys.map(({ publicKey }) => publicKey.export({ type: 'spki', format: 'pem' })).join(''));
  else await printJson({ keys: keys.map(({ jwk }) => jwk) });
}
