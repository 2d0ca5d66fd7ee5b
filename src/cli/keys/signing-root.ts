/** `sealwire keys root`: making the root, delegating with it, replacing it. */
import { access } from 'node:fs/promises';
import { resolve } from 'node:path';
import { SealwireError } from '../../errors.js';
import { type ServicePaths, servicePaths } from '../../files/service-paths.js';
import { makeKeyFolder } from '../../host/key-files.js';
import { readKeyFile, writeKeyFile } from '../../keys/files.js';
import { findPassphrase } from '../../keys/passphrase.js';
import type { PassphraseSource } from '../../keys/protected-file.js';
import { peekRecipient, signDelegation } from '../../keys/signed-set/delegation.js';
import {
  beginRootRotation,
  createRoot,
  finishRootRotation,
  loadRootPublic,
  type RootPaths,
  rootPaths,
} from '../../keys/signed-set/root-files.js';
import { ensureSetSigningKey, delegate as putDelegation } from '../../keys/signed-set/set-signer.js';
import { loadVerificationKey, SigningKey, type VerificationJwk } from '../../keys/signed-set/signing-key.js';
import { PAYMENTS_NAME } from '../../payments/name.js';
import { print } from '../output.js';
import { askOnce } from './place.js';

const DAY_MS = 86_400_000;

/** Flags of every command. */
export interface RootFlags {
  readonly dir: string;
  readonly root?: string;
  readonly passphraseFile?: string;
  readonly encrypt?: boolean;
}

/** Flags of `delegate`. */
export interface DelegateFlags extends RootFlags {
  readonly signer?: string;
  readonly name?: string;
  readonly days: number;
  readonly out?: string;
  readonly newKey?: boolean;
}

/** Flags of `rotate`. */
export interface RotateRootFlags extends DelegateFlags {
  readonly finish?: boolean;
}

interface Place {
  readonly root: RootPaths;
  readonly keys: ServicePaths;
}

function findPlace({ dir, root }: Pick<RootFlags, 'dir' | 'root'>): Place {
  const keys = servicePaths(resolve(dir));
  return { keys, root: rootPaths(root === undefined ? keys.root : resolve(root)) };
}

/** @param isNew whether it is a new passphrase, to be asked for twice */
function findRootPassphrase({ passphraseFile: file }: RootFlags, isNew = false): PassphraseSource {
  return askOnce({ file, variable: 'SEALWIRE_ROOT_PASSPHRASE', name: 'passphrase of the root', confirm: isNew });
}

function newRootPassphrase(flags: RootFlags): PassphraseSource | undefined {
  const isEncrypted = flags.encrypt === true || flags.passphraseFile !== undefined;
  return isEncrypted ? findRootPassphrase(flags, true) : undefined;
}

/** Makes a root. */
export async function init(flags: RootFlags): Promise<void> {
  const { root } = findPlace(flags);
  if (flags.root === undefined) await makeKeyFolder(resolve(flags.dir));
  const made = await createRoot(root, newRootPassphrase(flags));
  await print(`signing root ${made.kid}\nprivate half ${root.root}\npublic half ${root.rootPublic}\n`);
}

/** Prints the thumbprint to pin. */
export async function show(flags: Pick<RootFlags, 'dir' | 'root'>): Promise<void> {
  const { root } = findPlace(flags);
  const path = root.root.endsWith('.pub.json') ? root.root : root.rootPublic;
  await print(`${(await loadVerificationKey(path)).kid}\n`);
}

/** Signs a delegation. */
export async function delegate(flags: DelegateFlags): Promise<void> {
  const place = findPlace(flags);
  const root = await SigningKey.load(place.root.root, findRootPassphrase(flags));
  await print(await writeDelegation(root, place, flags));
}

/** Makes the next root, or puts it in place. */
export async function rotate(flags: RotateRootFlags): Promise<void> {
  const place = findPlace(flags);
  if (flags.finish !== true) {
    const present = await loadRootPublic(place.root);
    const next = await beginRootRotation(place.root, newRootPassphrase(flags));
    const pins = `pin both roots in every client:\n  ${present.kid}\n  ${next.kid} (next)\n`;
    await print(`${pins}then run this command again with --finish\n`);
    return;
  }
  const root = await finishRootRotation(place.root, findRootPassphrase(flags));
  const said = await writeDelegation(root, place, flags);
  await print(
    `signing root ${root.kid}\n${said}clients no longer need to pin the old root, which is in ${place.root.old}\n`,
  );
}

/** @returns what was done, in words */
async function writeDelegation(root: SigningKey, { keys }: Place, flags: DelegateFlags): Promise<string> {
  const signer = await findSigner(keys, flags);
  const recipient = flags.name ?? (await findName(keys.delegation));
  const options = { recipient, signer, days: flags.days, nowMs: Date.now() };
  if (flags.out === undefined) await putDelegation(keys, root, options);
  else await writeKeyFile(resolve(flags.out), `${await signDelegation(root, options)}\n`, 0o644);
  const end = new Date(options.nowMs + flags.days * DAY_MS).toISOString().slice(0, 10);
  const path = flags.out === undefined ? keys.delegation : resolve(flags.out);
  return `delegation for '${recipient}' until ${end}: ${path}\n`;
}

async function findSigner(keys: ServicePaths, { signer, newKey, out }: DelegateFlags): Promise<VerificationJwk> {
  if (signer !== undefined) return (await loadVerificationKey(resolve(signer))).jwk;
  if (newKey === true) {
    if (out !== undefined)
      throw new SealwireError(
        'OPTIONS_INVALID',
        "--new-key makes a key in the service's folder and cannot be used with --out",
      );
    const fresh = await SigningKey.generate();
    await fresh.save(keys.signer, findPassphrase(undefined));
    await fresh.savePublic(keys.signerPublic);
    return fresh.publicJwk;
  }
  const known = await access(keys.signerPublic).then(
    () => true,
    () => false,
  );
  // Reads the public half alone: the private half may be encrypted and is not needed.
  if (known) return (await loadVerificationKey(keys.signerPublic)).jwk;
  return (await ensureSetSigningKey(keys, findPassphrase(undefined))).publicJwk;
}

/** The name in a service's current delegation, else the default name. */
export async function findName(delegation: string): Promise<string> {
  const text = await readKeyFile(delegation, { secret: false }).catch(() => '');
  return peekRecipient(text.trim()) ?? PAYMENTS_NAME;
}
