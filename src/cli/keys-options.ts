/** Flags that `sealwire keys` commands share. */
import type { Command } from 'commander';
import { PASSPHRASE_VARIABLE } from '../keys/passphrase.js';

/** Flags of every command. */
export interface PlaceFlags {
  readonly dir: string;
  readonly ring?: string;
  readonly passphraseFile?: string;
}

/** Adds the flags. */
export function addPlaceOptions(command: Command): Command {
  return command
    .option('--dir <folder>', 'folder of the service', './var')
    .option('--ring <file>', 'key ring that stands alone, in place of the one of the service')
    .option('--passphrase-file <file>', `file with the passphrase (else ${PASSPHRASE_VARIABLE}, else a prompt)`);
}
