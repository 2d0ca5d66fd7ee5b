/** Where `sealwire keys` finds its files, and how it reads and prints keys. */
import { resolve } from 'node:path';
import { SealwireError } from '../../errors.js';
import { servicePaths } from '../../files/service-paths.js';
import type { HardwareCustody } from '../../keys/custody.js';
import { PASSPHRASE_VARIABLE } from '../../keys/passphrase.js';
import type { PassphraseSource } from '../../keys/protected-file.js';
import { RingStore } from '../../keys/ring-store.js';
import { readSecret } from '../secret-input.js';
import type { PlaceFlags } from './keys-options.js';

/** The files that the flags name. */
export interface KeyPlace {
  readonly ringPath: string;
  /** Kept up to date with the ring; undefined for a ring of its own. */
  readonly publicPath: string | undefined;
  /** Folder of the audit log; undefined for a ring of its own. */
  readonly auditDir: string | undefined;
  /** Asks only once, however often it is called. */
  readonly passphrase: PassphraseSource;
  readonly store: RingStore;
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
  return { ringPath, publicPath, auditDir, passphrase, store: openStore({ ringPath, publicPath }, passphrase) };
}

/** A store of the same files with another passphrase, or none. */
export function openStore(
  { ringPath, publicPath }: Pick<KeyPlace, 'ringPath' | 'publicPath'>,
  passphrase?: PassphraseSource,
): RingStore {
  return new RingStore({
    path: ringPath,
    ...(publicPath !== undefined && { publicPath }),
    ...(passphrase && { passphrase }),
    ring: { hardware: UNASKED },
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
 * @throws SealwireError `KEY_NOT_FOUND`
 */
export function pickKey<T extends { readonly kid: string }>(keys: readonly T[], kid: string): T {
  const found = keys.filter((key) => key.kid === kid || (kid.length >= 4 && key.kid.startsWith(kid)));
  const [key] = found;
  if (key !== undefined && found.length === 1) return key;
  const why = found.length === 0 ? 'no key of the ring begins' : `${found.length} keys of the ring begin`;
  throw new SealwireError('KEY_NOT_FOUND', `${why} with '${kid}'; see sealwire keys list`);
}
