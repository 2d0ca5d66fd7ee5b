/** Declares `sealwire keys` and its commands. */
import { type Command, Option } from 'commander';
import { parseDuration } from '../duration.js';
import type { ImportFlags, InitFlags, PassphraseFlags, RotateFlags } from './change.js';
import { addClockOption, addHardwareOptions, addPlaceOptions, type PlaceFlags } from './keys-options.js';
import type { ExportFlags, ListFlags } from './list.js';
import { registerKeysRoot } from './root-command.js';
import type { RemoveFlags, RetireFlags } from './withdraw.js';

const CURVES = ['P-521', 'P-384', 'P-256'];
const KID_HELP = `
A kid may be cut to its first characters. One that begins with - goes behind --.`;

/** Adds the commands; their code is loaded when they run. */
export function registerKeys(program: Command): void {
  const keys = program
    .command('keys')
    .description('make, rotate and retire keys')
    .addHelpText('after', '\nA running service follows within a second. docs/keys.md is a guide for operators.')
    .hook('preAction', async (_keys, command) => (await import('./place.js')).actForOwner(command.opts<PlaceFlags>()));
  registerInit(keys);
  registerList(keys);
  registerRotate(keys);
  registerRetire(keys);
  registerImport(keys);
  registerExport(keys);
  registerPassphrase(keys);
  registerStamp(keys);
  registerKeysRoot(keys);
}

function registerInit(keys: Command): void {
  addHardwareOptions(addPlaceOptions(keys.command('init')))
    .description('make a key ring with one key, which is active at once')
    .addOption(new Option('--curve <name>', 'of the key').choices(CURVES).default('P-521'))
    .option('--encrypt', 'encrypt the ring with a passphrase (implied by --passphrase-file)')
    .addHelpText(
      'after',
      `
Examples:
  sealwire keys init
  sealwire keys init --dir /srv/payments --passphrase-file /run/secrets/ring
  sealwire keys init --custody 'pkcs11:token=payments' --module /usr/lib/softhsm/libsofthsm2.so`,
    )
    .action(async (flags: InitFlags) => (await import('./change.js')).init(flags));
}

function registerList(keys: Command): void {
  addClockOption(addPlaceOptions(keys.command('list')))
    .description('show keys, their states and dates, and what they opened')
    .option('--json', 'print JSON')
    .option('--audit <folder>', "audit log with what was opened (default: the service's)")
    .addHelpText('after', '\nExamples:\n  sealwire keys list\n  sealwire keys list --json | jq .')
    .action(async (flags: ListFlags) => (await import('./list.js')).list(flags));
}

function addScheduleOptions(command: Command): Command {
  return command
    .option(
      '--every <time>',
      'active so long after the one before it became active (default: as soon as may be)',
      parseDuration,
    )
    .option('--publish-ahead <time>', 'in the key set so long before senders use it (default: 24h)', parseDuration)
    .option('--open-after <time>', 'the old key opens so long after senders have stopped (default: 7d)', parseDuration)
    .option('--keep-stored <time>', 'then stored tokens for so long (default: until it is retired)', parseDuration)
    .option('--now', 'active at once; a key that waits is brought forward. Not for a stolen ring');
}

function registerRotate(keys: Command): void {
  addClockOption(addScheduleOptions(addHardwareOptions(addPlaceOptions(keys.command('rotate')))))
    .description('add a key that follows the active one')
    .addOption(new Option('--curve <name>', "of the new key (default: the active key's)").choices(CURVES))
    .addOption(
      new Option(
        '--compromised',
        'somebody else may have the ring: a new key at once, and all keys before it are refused; ' +
          '--keep-stored lets them open stored tokens for so long',
      ).conflicts(['now', 'every', 'publishAhead', 'openAfter']),
    )
    .addHelpText(
      'after',
      `
Refused while a key waits (exit code 1), and with times so short that calls would fail (exit code 2).

Examples:
  sealwire keys rotate
  sealwire keys rotate --every 90d --publish-ahead 24h --open-after 7d
  sealwire keys rotate --now
  sealwire keys rotate --compromised --keep-stored 7d
  sealwire keys rotate --custody 'pkcs11:token=payments;object=2027'`,
    )
    .action(async (flags: RotateFlags) => (await import('./change.js')).rotate(flags));
}

function registerRetire(keys: Command): void {
  addClockOption(addPlaceOptions(keys.command('retire [kid]')))
    .description('refuse a key from now on, for stored tokens too')
    .option('--stored', 'all stored keys')
    .option('--within <time>', 'not if it opened a token within so long', parseDuration, 86_400)
    .option('--audit <folder>', "audit log with what was opened (default: the service's)")
    .option('--force', 'whatever its state and use: calls of senders that still use it fail')
    .addHelpText(
      'after',
      `${KID_HELP}\n\nExamples:\n  sealwire keys retire 3kGx --force\n  sealwire keys retire --stored`,
    )
    .action(async (kid: string | undefined, flags: RetireFlags) => (await import('./withdraw.js')).retire(kid, flags));
  addClockOption(addPlaceOptions(keys.command('remove [kid]')))
    .description('take a retired key out of the ring: nothing sealed to it can be opened ever again')
    .option('--retired', 'all retired keys')
    .addHelpText('after', `${KID_HELP}\n\nExamples:\n  sealwire keys remove 3kGx\n  sealwire keys remove --retired`)
    .action(async (kid: string | undefined, flags: RemoveFlags) => (await import('./withdraw.js')).remove(kid, flags));
}

function registerImport(keys: Command): void {
  addScheduleOptions(addHardwareOptions(addPlaceOptions(keys.command('import [file]'))))
    .description('add a private key from a PEM (PKCS#8, SEC1) or JWK file, or one that is in a PKCS#11 token')
    .addOption(
      new Option(
        '--as <state>',
        'next: it follows the active key as by rotate; opening or stored: it only opens old tokens',
      )
        .choices(['next', 'opening', 'stored'])
        .default('next'),
    )
    .addHelpText(
      'after',
      '\nExamples:\n  sealwire keys import key.pem\n  sealwire keys import old.jwk.json --as stored' +
        "\n  sealwire keys import --custody 'pkcs11:token=payments;object=2027'",
    )
    .action(async (file: string | undefined, flags: ImportFlags) =>
      (await import('./change.js')).importKey(file, flags),
    );
}

function registerExport(keys: Command): void {
  addPlaceOptions(keys.command('export'))
    .description('print the public keys that senders may use now')
    .option('--public', 'say that public keys are meant; private ones are not exported')
    .option('--kid <kid>', 'print this key, whatever its state')
    .option('--pem', 'print PEM (SPKI) in place of a JWK Set')
    .addHelpText('after', '\nExample:\n  sealwire keys export --public > public.jwks.json')
    .action(async (flags: ExportFlags) => (await import('./list.js')).exportKeys(flags));
}

function registerStamp(keys: Command): void {
  addPlaceOptions(keys.command('stamp'))
    .description('say that the ring was changed, after an edit by hand or a restore; all other commands do')
    .addHelpText('after', '\nExample:\n  sealwire keys stamp')
    .action(async (flags: PlaceFlags) => (await import('./change.js')).stamp(flags));
}

function registerPassphrase(keys: Command): void {
  addPlaceOptions(keys.command('passphrase'))
    .description('encrypt the ring, or change or remove its passphrase')
    .option('--new-passphrase-file <file>', 'file with the new one (else SEALWIRE_NEW_KEY_PASSPHRASE, else a prompt)')
    .option('--remove', 'leave the ring plain')
    .addHelpText('after', '\nExample:\n  sealwire keys passphrase --new-passphrase-file /run/secrets/ring')
    .action(async (flags: PassphraseFlags) => (await import('./change.js')).changePassphrase(flags));
}
