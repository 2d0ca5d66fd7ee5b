/** Flags that `sealwire keys` commands share. */
import type { Command } from 'commander';
import { PASSPHRASE_VARIABLE } from '../../keys/passphrase.js';

/** Flags of every command. */
export interface PlaceFlags {
  readonly dir: string;
  readonly ring?: string;
  readonly passphraseFile?: string;
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
    .option('--dir <folder>', 'folder of the service', './var')
    .option('--ring <file>', "a key ring of its own, instead of the service's")
    .option('--passphrase-file <file>', `file with the passphrase (else ${PASSPHRASE_VARIABLE}, else a prompt)`);
}
