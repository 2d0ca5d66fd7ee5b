/** Flags that `sealwire keys` commands share. */
import { type Command, InvalidArgumentError } from 'commander';
import { PASSPHRASE_VARIABLE } from '../../keys/passphrase.js';
import { parseDuration } from '../duration.js';
import { parseMoment } from '../moment.js';

/** The service's folder. */
export const DEFAULT_DIR = './var';

/** Flags of every command. */
export interface PlaceFlags {
  readonly dir: string;
  readonly ring?: string;
  readonly passphraseFile?: string;
  /** For practice: the moment that is taken for now, ms since 1970. */
  readonly at?: number;
}

/** Flags of commands that may take a key in a PKCS#11 token. */
export interface HardwareFlags {
  /** RFC 7512 URI. */
  readonly custody?: string;
  readonly module?: string;
  readonly pinFile?: string;
}

/** Adds the flags of keys in tokens. */
export function addHardwareOptions(command: Command): Command {
  return command
    .option('--custody <pkcs11:...>', 'the private key is in a PKCS#11 token: its URI (RFC 7512)')
    .option('--module <library>', 'PKCS#11 library, if the URI has no module-path')
    .option('--pin-file <file>', 'file with the PIN (else SEALWIRE_HSM_PIN, else a prompt)');
}

/** Adds the flags. */
export function addPlaceOptions(command: Command): Command {
  return command
    .option('--dir <folder>', 'folder of the service', DEFAULT_DIR)
    .option('--ring <file>', "a key ring of its own, instead of the service's")
    .option('--passphrase-file <file>', `file with the passphrase (else ${PASSPHRASE_VARIABLE}, else a prompt)`);
}

/** Adds the clock for practice. */
export function addClockOption(command: Command): Command {
  return command.option('--at <time>', 'for practice on a copy: as if it were then, e.g. +9d or 2027-01-31', parseAt);
}

function parseAt(text: string): number {
  const now = Date.now();
  const at = text.startsWith('+') ? now + parseDuration(text.slice(1)) * 1_000 : parseMoment(text, now);
  if (at === undefined) throw new InvalidArgumentError('must be a time to come such as +9d, or an ISO date or time.');
  return at;
}
