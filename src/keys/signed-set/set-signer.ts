/**
 * The files of set signing: root, set-signing key, delegation. If the root is here, everything is made and
 * renewed automatically; if it is elsewhere, somebody brings a delegation every 90 days.
 */
import { basename, join } from 'node:path';
import { type ErrorCode, SealwireError } from '../../errors.js';
import type { ServicePaths } from '../../files/service-paths.js';
import type { Delegation } from '../../profile/key-sets/delegation.js';
import { isTaken, readKeyFile, writeKeyFile } from '../files.js';
import type { PassphraseSource } from '../protected-file.js';
import { signDelegation, verifyDelegation } from './delegation.js';
import type { SetSigner } from './key-set-publisher.js';
import { loadVerificationKey, SigningKey, type VerificationKey } from './signing-key.js';

/** Where the files are. */
export interface SetSignerPaths
  extends Pick<ServicePaths, 'root' | 'rootPublic' | 'signer' | 'signerPublic' | 'delegation'> {
  /** A delegation that was brought; one that is made here goes elsewhere. Default: they have one place. */
  readonly givenDelegation?: string;
}

/** If the root is here, a delegation is renewed when it has less than this left. */
const RENEW_BELOW_SECONDS = 30 * 86_400;

/**
 * Finds files that were made elsewhere in their folder, the others with the service's own. Nothing is written there.
 *
 * @param folder undefined when there is none
 */
export async function findSetPaths(own: ServicePaths, folder: string | undefined): Promise<SetSignerPaths> {
  const { root, rootPublic, signer, signerPublic, delegation } = own;
  if (folder === undefined) return { root, rootPublic, signer, signerPublic, delegation };
  const find = async (path: string) => {
    const given = join(folder, basename(path));
    return (await isTaken(given)) ? given : path;
  };
  return {
    root: await find(root),
    rootPublic: await find(rootPublic),
    signer: await find(signer),
    signerPublic,
    delegation,
    givenDelegation: join(folder, basename(delegation)),
  };
}

/**
 * Makes a root unless there are traces of one: a public half or a delegation without a private half mean that it is
 * kept elsewhere.
 *
 * @param passphrase encrypts a root that is made. Default: plain
 * @param mayMake false where keys are made elsewhere: instances with a root each would be as many services
 * @returns the root's thumbprint
 * @throws SealwireError `KEY_FILE_MODE`, `KEY_FILE_INVALID`, `KEY_FILE_INCOMPLETE`, `KEY_FILE_MISSING`,
 *   `KEY_FILE_WRITE`
 */
export async function ensureRoot(
  paths: SetSignerPaths,
  passphrase?: PassphraseSource,
  mayMake = true,
): Promise<string> {
  const traces = await Promise.all([paths.root, paths.rootPublic, paths.delegation].map(isTaken));
  const isNew = mayMake && !traces.includes(true);
  const root = isNew ? await makeKey(paths.root, passphrase) : await loadRoot(paths.root, passphrase);
  if (root === undefined) return (await loadVerificationKey(paths.rootPublic)).kid;
  await publish(root, paths.rootPublic);
  return root.kid;
}

/** Writes the public half unless it is there: it may be where nothing can be written. */
async function publish(key: SigningKey, path: string): Promise<void> {
  const isThere = await loadVerificationKey(path).then(
    ({ kid }) => kid === key.kid,
    () => false,
  );
  if (!isThere) await key.savePublic(path);
}

/** The set-signing key; made when there is none, encrypted if there is a passphrase. */
export async function ensureSetSigningKey(paths: SetSignerPaths, passphrase?: PassphraseSource): Promise<SigningKey> {
  const known = await unless(['KEY_FILE_MISSING'], SigningKey.load(paths.signer, passphrase));
  const key = known ?? (await makeKey(paths.signer, passphrase));
  // After a crash it may belong to an earlier key; the root must get the public half of this one.
  await publish(key, paths.signerPublic);
  return key;
}

/** A new key, or one that another process made meanwhile: an existing key is never replaced. */
async function makeKey(path: string, passphrase?: PassphraseSource): Promise<SigningKey> {
  const key = await SigningKey.generate();
  try {
    await key.save(path, passphrase, { isNew: true });
    return key;
  } catch (error) {
    if (await isTaken(path)) return SigningKey.load(path, passphrase);
    throw error;
  }
}

/** A signer, and what its delegation says. */
export type LoadedSetSigner = SetSigner & { readonly details: Delegation<VerificationKey> };

/** Options of {@link loadSetSigner}. */
export interface LoadSetSignerOptions {
  /** Name of the recipient whose sets are signed. */
  readonly recipient: string;
  /** ms since 1970. */
  readonly nowMs: number;
  /** Passphrase of an encrypted set-signing key, and of the root if it has the same one. Default: none. */
  readonly passphrase?: PassphraseSource | undefined;
}

/**
 * Loads the set-signing key and its delegation. If the root is here, makes a new delegation when the old one is
 * missing, not valid, or near its end.
 *
 * @throws SealwireError those of the key files, or what is wrong with the delegation
 */
export async function loadSetSigner(paths: SetSignerPaths, options: LoadSetSignerOptions): Promise<LoadedSetSigner> {
  const { nowMs, passphrase } = options;
  const key = await ensureSetSigningKey(paths, passphrase);
  const found = await findDelegation(paths, key, options).catch(asSealwireError);
  const isFault = found instanceof SealwireError;
  if (!isFault && found.delegationExpiresAt - nowMs / 1000 > RENEW_BELOW_SECONDS) return { key, ...found };
  const root = await loadRoot(paths.root, passphrase);
  if (root === undefined) {
    if (isFault) throw found;
    return { key, ...found };
  }
  await delegate(paths, root, { ...options, signer: key.publicJwk });
  return { key, ...(await readDelegation(paths, key, options)) };
}

/** Of a delegation that was brought and one that was made here, the good one that lasts longer. */
async function findDelegation(
  paths: SetSignerPaths,
  key: SigningKey,
  options: LoadSetSignerOptions,
): Promise<Omit<LoadedSetSigner, 'key'>> {
  const { delegation, givenDelegation = delegation } = paths;
  const read = (path: string) => readDelegation({ ...paths, delegation: path }, key, options);
  const brought = await read(givenDelegation).catch(asSealwireError);
  const made = givenDelegation === delegation ? brought : await read(delegation).catch(asSealwireError);
  if (made instanceof SealwireError) {
    if (brought instanceof SealwireError) throw brought;
    return brought;
  }
  const isBetter = brought instanceof SealwireError || made.delegationExpiresAt > brought.delegationExpiresAt;
  return isBetter ? made : brought;
}

/** Signs a delegation and puts it, and the root's public half, in place. */
export async function delegate(
  paths: Pick<SetSignerPaths, 'rootPublic' | 'delegation'>,
  root: SigningKey,
  options: Parameters<typeof signDelegation>[1],
): Promise<void> {
  const text = await signDelegation(root, options);
  await publish(root, paths.rootPublic);
  await writeKeyFile(paths.delegation, `${text}\n`, 0o644);
}

/**
 * Reads the delegation file and checks that it is valid for this key, root and recipient.
 *
 * @throws SealwireError `KEY_FILE_MISSING`, `KEY_FILE_INVALID`, or what is wrong with the delegation
 */
export async function readDelegation(
  paths: SetSignerPaths,
  key: { readonly kid: string },
  { recipient, nowMs }: LoadSetSignerOptions,
): Promise<Omit<LoadedSetSigner, 'key'>> {
  const text = (await readKeyFile(paths.delegation, { secret: false })).trim();
  const root = await loadVerificationKey(paths.rootPublic);
  const details = await verifyDelegation(text, { roots: [root.kid], recipient, nowMs });
  if (details.signer.kid !== key.kid) {
    throw new SealwireError(
      'KEY_SET_SIGNER',
      `${paths.delegation}: the delegation is for another key than ${paths.signer}`,
    );
  }
  return { delegation: text, delegationExpiresAt: details.expiresAt, details };
}

/** The root; undefined if it is elsewhere, or under a passphrase unknown here, which amounts to the same. */
function loadRoot(path: string, passphrase?: PassphraseSource): Promise<SigningKey | undefined> {
  const absent = ['KEY_FILE_MISSING', 'KEY_FILE_ENCRYPTED', 'KEY_PASSPHRASE_WRONG'] as const;
  return unless(absent, SigningKey.load(path, passphrase));
}

/** @returns undefined in place of these errors */
async function unless<T>(codes: readonly ErrorCode[], work: Promise<T>): Promise<T | undefined> {
  return work.catch((error: unknown) => {
    if (codes.includes(asSealwireError(error).code)) return undefined;
    throw error;
  });
}

/** Any other error is a bug and says nothing about files. */
function asSealwireError(error: unknown): SealwireError {
  if (error instanceof SealwireError) return error;
  throw error;
}
