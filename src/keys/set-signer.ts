/**
 * The files of set signing: root, set-signing key, delegation. With the root at hand everything is made and
 * renewed without asking; with the root elsewhere the delegation is brought here, once in 90 days.
 */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { SealwireError } from '../errors.js';
import { type Delegation, signDelegation, verifyDelegation } from './delegation.js';
import { readKeyFile, writeKeyFile } from './files.js';
import type { SetSigner } from './key-set-publisher.js';
import { loadVerificationKey, SigningKey } from './signing-key.js';

/** Where the files are. */
export interface SetSignerPaths {
  /** Private JWK of the root, mode 0600; may be kept elsewhere. */
  readonly root: string;
  /** Public JWK of the root. */
  readonly rootPublic: string;
  /** Private JWK of the set-signing key, mode 0600. */
  readonly signer: string;
  /** Public JWK of the set-signing key, to be carried to the root. */
  readonly signerPublic: string;
  /** Compact JWS. */
  readonly delegation: string;
}

/** @param keys the folder of key files */
export function setSignerPaths(keys: string): SetSignerPaths {
  return {
    root: join(keys, 'root.json'),
    rootPublic: join(keys, 'root.pub.json'),
    signer: join(keys, 'set-signing.json'),
    signerPublic: join(keys, 'set-signing.pub.json'),
    delegation: join(keys, 'delegation.jws'),
  };
}

const DAY_SECONDS = 86_400;
/** With the root at hand a delegation is renewed when it has less than this left. */
const RENEW_BELOW_DAYS = 30;

/**
 * Makes a root unless there are traces of one: a public half or a delegation without a private half mean that it is kept elsewhere.
 *
 * @returns the root's thumbprint, and whether it was made just now
 * @throws SealwireError `KEY_FILE_MODE`, `KEY_FILE_INVALID`, `KEY_FILE_MISSING`, `KEY_FILE_WRITE`
 */
export async function ensureRoot(paths: SetSignerPaths): Promise<{ readonly kid: string; readonly created: boolean }> {
  const root = await loadIfThere(paths.root);
  if (root !== undefined) {
    await root.savePublic(paths.rootPublic);
    return { kid: root.kid, created: false };
  }
  if ((await exists(paths.rootPublic)) || (await exists(paths.delegation))) {
    return { kid: (await loadVerificationKey(paths.rootPublic)).kid, created: false };
  }
  const made = await SigningKey.generate();
  await made.save(paths.root);
  await made.savePublic(paths.rootPublic);
  return { kid: made.kid, created: true };
}

/** The set-signing key; made when there is none. */
export async function ensureSetSigningKey(paths: SetSignerPaths): Promise<SigningKey> {
  const known = await loadIfThere(paths.signer);
  const key = known ?? (await SigningKey.generate());
  if (known === undefined) await key.save(paths.signer);
  if (known === undefined || !(await exists(paths.signerPublic))) await key.savePublic(paths.signerPublic);
  return key;
}

/** Options of {@link loadSetSigner}. */
export interface LoadSetSignerOptions {
  /** Name of the recipient whose sets are signed. */
  readonly recipient: string;
  /** ms since 1970. */
  readonly nowMs: number;
}

/** A signer with what is known of its delegation. */
export interface LoadedSetSigner extends SetSigner {
  readonly details: Delegation;
  /** Whether the root's private half is here, so that the delegation is renewed in time by itself. */
  readonly rootAtHand: boolean;
}

/**
 * Loads the set-signing key and its delegation; delegates anew when the root is at hand and the delegation is missing,
 * not valid, or near its end.
 *
 * @throws SealwireError `KEY_FILE_MISSING`, `KEY_FILE_MODE`, `KEY_FILE_INVALID`, or what is wrong with the delegation
 */
export async function loadSetSigner(paths: SetSignerPaths, options: LoadSetSignerOptions): Promise<LoadedSetSigner> {
  const key = await ensureSetSigningKey(paths);
  const found = await readDelegation(paths, key, options).catch((error: unknown) => asError(error));
  const root = await loadIfThere(paths.root);
  const nowSeconds = options.nowMs / 1000;
  if (!(found instanceof SealwireError)) {
    const isLong = found.details.expiresAt - nowSeconds > RENEW_BELOW_DAYS * DAY_SECONDS;
    if (root === undefined || isLong) return { key, ...found, rootAtHand: root !== undefined };
  } else if (root === undefined) {
    throw found;
  }
  await delegate(paths, root, { ...options, signer: key.publicJwk });
  return { key, ...(await readDelegation(paths, key, options)), rootAtHand: true };
}

/** Signs a delegation for a set-signing key and puts it and the root's public half in place. */
export async function delegate(
  paths: Pick<SetSignerPaths, 'rootPublic' | 'delegation'>,
  root: SigningKey,
  options: Parameters<typeof signDelegation>[1],
): Promise<void> {
  const text = await signDelegation(root, options);
  await root.savePublic(paths.rootPublic);
  await writeKeyFile(paths.delegation, `${text}\n`, 0o644);
}

/** Reads the delegation file and checks that it is good for this key, root and recipient. */
async function readDelegation(paths: SetSignerPaths, key: SigningKey, { recipient, nowMs }: LoadSetSignerOptions) {
  const text = (await readKeyFile(paths.delegation, { secret: false })).trim();
  const root = await loadVerificationKey(paths.rootPublic);
  const details = await verifyDelegation(text, { roots: [root.kid], recipient, nowMs });
  if (details.signer.kid !== key.kid) {
    throw new SealwireError('KEY_SET_SIGNER', `${paths.delegation}: it is for another key than ${paths.signer}`);
  }
  return { delegation: text, delegationExpiresAt: details.expiresAt, details };
}

/** @returns the key, or undefined when there is no such file */
export async function loadIfThere(path: string): Promise<SigningKey | undefined> {
  return SigningKey.load(path).catch((error: unknown) => {
    if (error instanceof SealwireError && error.code === 'KEY_FILE_MISSING') return undefined;
    throw error;
  });
}

/** Anything but an error of ours is a mistake, and not a reason to delegate anew. */
function asError(error: unknown): SealwireError {
  if (error instanceof SealwireError) return error;
  throw error;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
