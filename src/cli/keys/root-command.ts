/** Declares `sealwire keys root` and `sealwire keys verify`. */
import { type Command, Option } from 'commander';
import { collect, wholeNumber } from '../flag-values.js';
import { addConnectionOptions } from '../target/target-options.js';
import type { DelegateFlags, RootFlags, RotateRootFlags } from './signing-root.js';
import type { VerifyKeysFlags } from './verify-set.js';

/** Adds the commands to `sealwire keys`; their code is loaded when they run. */
export function registerKeysRoot(keys: Command): void {
  const root = keys
    .command('root')
    .description('the signing root that clients pin')
    .addHelpText('after', '\nThe root may be kept on a machine without a network: it is needed once in 90 days.');
  registerInit(root);
  registerDelegate(root);
  registerRotate(root);
  registerVerify(keys);
}

function addRootOptions(command: Command): Command {
  return command
    .option('--dir <folder>', 'folder of the service', './var')
    .option('--root <file>', 'private half of the root (default: keys/root.json of the service)')
    .option(
      '--passphrase-file <file>',
      'file with the passphrase of the root (else SEALWIRE_ROOT_PASSPHRASE, else a prompt)',
    );
}

function registerInit(root: Command): void {
  addRootOptions(root.command('init'))
    .description('make a signing root and print its thumbprint')
    .option('--encrypt', 'encrypt it with a passphrase (implied by --passphrase-file)')
    .addHelpText(
      'after',
      `
Examples:
  sealwire keys root init
  sealwire keys root init --root /media/offline/root.json --encrypt`,
    )
    .action(async (flags: RootFlags) => (await import('./signing-root.js')).init(flags));
  root
    .command('show')
    .description('print the thumbprint that clients pin')
    .option('--dir <folder>', 'folder of the service', './var')
    .option('--root <file>', 'root.json or root.pub.json (default: that of the service)')
    .addHelpText('after', '\nExample:\n  sealwire keys root show --dir /srv/payments')
    .action(async (flags: Pick<RootFlags, 'dir' | 'root'>) => (await import('./signing-root.js')).show(flags));
}

function addDelegateOptions(command: Command): Command {
  return addRootOptions(command)
    .option('--signer <file>', 'public set-signing key (default: keys/set-signing.pub.json of the service)')
    .option('--name <name>', "the service's name (default: the one in its delegation, else sealwire-payments)")
    .option('--days <count>', 'life of the delegation, 1 to 90', wholeNumber(1), 90)
    .option('--out <file>', "write the delegation there, and not to the service's folder");
}

function registerDelegate(root: Command): void {
  addDelegateOptions(root.command('delegate'))
    .description('let a set-signing key sign the key sets of a service, for at most 90 days')
    .addOption(
      new Option('--new-key', 'replace the set-signing key, e.g. because it is compromised').conflicts('signer'),
    )
    .addHelpText(
      'after',
      `
A running service takes a new delegation within a second or two.

Examples:
  sealwire keys root delegate
  sealwire keys root delegate --root /media/offline/root.json --signer set-signing.pub.json --name sealwire-payments --out delegation.jws`,
    )
    .action(async (flags: DelegateFlags) => (await import('./signing-root.js')).delegate(flags));
}

function registerRotate(root: Command): void {
  addDelegateOptions(root.command('rotate'))
    .description('replace the root: make the next one, and with --finish put it in place')
    .option('--finish', 'when every client pins both roots: delegate with the next root, and set the old one aside')
    .option('--encrypt', 'encrypt the next root with a passphrase (implied by --passphrase-file)')
    .addHelpText(
      'after',
      `
Examples:
  sealwire keys root rotate
  sealwire keys root rotate --finish`,
    )
    .action(async (flags: RotateRootFlags) => (await import('./signing-root.js')).rotate(flags));
}

function registerVerify(keys: Command): void {
  addConnectionOptions(keys.command('verify'))
    .description("check a service's key files, or a key set against a pinned root")
    .option('--dir <folder>', 'folder of the service', './var')
    .option('--root <thumbprint>', 'pinned root; can be repeated (default: keys/root.pub.json of the service)', collect)
    .option('--name <name>', "the service's name (default: the name in its delegation, else sealwire-payments)")
    .option(
      '--passphrase-file <file>',
      'file with the passphrase of an encrypted ring (else SEALWIRE_KEY_PASSPHRASE, else a prompt)',
    )
    .addOption(new Option('--address <host:port>', 'check the key set that a service serves').conflicts('file'))
    .option('--file <jws>', 'check the key set in a file')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Exit code 1: something does not verify; the line tells what, with a code of docs/key-sets.md.

Examples:
  sealwire keys verify
  sealwire keys verify --address payments.example.org:443 --tls --root "$PIN"
  sealwire keys verify --file key-set.jws --root "$PIN" --name sealwire-payments`,
    )
    .action(async (flags: VerifyKeysFlags) => (await import('./verify-set.js')).verify(flags));
}
