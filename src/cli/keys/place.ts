/** Where `sealwire keys` finds its files, and how it reads and prints keys. */
import { statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { SealwireError } from '../../errors.js';
import { actFor } from '../../files/own-files.js';
import { servicePaths } from '../../files/service-paths.js';
import type { HardwareCustody } from '../../keys/custody.js';
import { findUnreadable } from '../../keys/files.js';
import { formatDate } from '../../keys/lifecycle.js';
import { PASSPHRASE_VARIABLE } from '../../keys/passphrase.js';
import type { PassphraseSource } from '../../keys/protected-file.js';
import { RingStore } from '../../keys/ring-store.js';
import { print } from '../output.js';
import { readSecret } from '../secret-input.js';
import { DEFAULT_DIR, type PlaceFlags } from './keys-options.js';

/** The files that the flags name. */
export interface KeyPlace {
  readonly ringPath: string;
  /** Kept up to date with the ring; undefined for a ring of its own. */
  readonly publicPath: string | undefined;
  /** The last signed set of the service; undefined for a ring of its own. */
  readonly signedPath: string | undefined;
  /** Folder of the audit log; undefined for a ring of its own. */
  readonly auditDir: string | undefined;
  /** Asks only once, however often it is called. */
  readonly passphrase: PassphraseSource;
  readonly store: RingStore;
  /** Seconds since 1970, by the clock for practice if there is one. */
  readonly now: () => number;
}

/** These commands only change files: they name keys in hardware but never use them. */
const UNASKED: HardwareCustody = {
  add() {},
  agree: () => Promise.reject(new SealwireError('CUSTODY_FAILED', 'this command does not use hardware keys')),
};

/** @param isNew whether it is a new passphrase, to be asked for twice */
export function findPlace(flags: PlaceFlags, isNew = false): KeyPlace {
  const { ring: ringFile, passphraseFile: file } = flags;
  const paths = servicePaths(resolve(flags.dir));
  const alone = ringFile !== undefined;
  const ringPath = alone ? resolve(ringFile) : paths.ring;
  const publicPath = alone ? undefined : paths.publicKeys;
  const passphrase = askOnce({ file, variable: PASSPHRASE_VARIABLE, name: 'passphrase', confirm: isNew });
  const auditDir = alone ? undefined : paths.audit;
  const nowMs = () => flags.at ?? Date.now();
  const signedPath = alone ? undefined : paths.keySet;
  const store = openStore({ ringPath, publicPath, signedPath }, passphrase, nowMs);
  return { ringPath, publicPath, signedPath, auditDir, passphrase, store, now: () => nowMs() / 1_000 };
}

/** Root changes the keys of a service as if it were the user who owns their folder. */
export function actForOwner({ ring, dir }: PlaceFlags): void {
  const folder = [ring === undefined ? servicePaths(resolve(dir)).keys : dirname(resolve(ring)), resolve(dir)];
  const owner = folder.map((path) => statSync(path, { throwIfNoEntry: false })).find((found) => found !== undefined);
  if (owner !== undefined) actFor(owner.uid);
}

/** {@link findPlace} for a command that writes: what is tried with another clock must not be the ring of a service. */
export function findPlaceToChange(flags: PlaceFlags): KeyPlace {
  const { at, ring, dir } = flags;
  if (at !== undefined) {
    if (ring === undefined && resolve(dir) === resolve(DEFAULT_DIR)) {
      throw new SealwireError(
        'OPTIONS_INVALID',
        '--at is for practice: give a copy of the folder with --dir, or of the ring',
      );
    }
    note(`practice, as if it were ${formatDate(Math.floor(at / 1_000))}`);
  }
  return findPlace(flags);
}

/** Tells on stderr what is no error. */
export function note(text: string): void {
  process.stderr.write(`sealwire: note: ${text}\n`);
}

/** Prints what a command did to a ring, and warns of a ring that its service cannot read. */
export async function report({ ringPath }: Pick<KeyPlace, 'ringPath'>, text: string): Promise<void> {
  await print(text);
  const why = await findUnreadable(ringPath);
  if (why !== undefined) process.stderr.write(`sealwire: warning: ${why}\n`);
}

/** A store of the same files with another passphrase, or none. */
export function openStore(
  { ringPath, publicPath, signedPath }: Pick<KeyPlace, 'ringPath' | 'publicPath' | 'signedPath'>,
  passphrase?: PassphraseSource,
  now: () => number = Date.now,
): RingStore {
  return new RingStore({
    path: ringPath,
    ...(publicPath !== undefined && { publicPath }),
    ...(signedPath !== undefined && { signedPath }),
    ...(passphrase && { passphrase }),
    ring: { hardware: UNASKED, now },
  });
}

/** @returns a source that reads a secret at first use */
export function askOnce(sources: Parameters<typeof readSecret>[0]): PassphraseSource {
  let asked: Promise<string> | undefined;
  return () => {
    asked ??= readSecret(sources);
    return asked;
  };
}

/**
 * @param kid a kid, or the beginning of one
 * @returns the one matching key
 * @throws SealwireError `KEY_NOT_FOUND`; `OPTIONS_INVALID` for what is no kid, such as several of them
 */
export function pickKey<T extends { readonly kid: string }>(keys: readonly T[], kid: string): T {
  if (!/^[\w-]*$/.test(kid)) throw new SealwireError('OPTIONS_INVALID', 'that is no kid, nor the beginning of one');
  const found = keys.filter((key) => key.kid === kid || (kid.length >= 4 && key.kid.startsWith(kid)));
  const [key] = found;
  if (key !== undefined && found.length === 1) return key;
  const why = found.length === 0 ? 'no key of the ring begins' : `${found.length} keys of the ring begin`;
  throw new SealwireError('KEY_NOT_FOUND', `${why} with '${kid}'; see sealwire keys list`);
}
