/** `sealwire keys verify`: a service's key files, or a key set from anywhere, against pinned roots. */
import { resolve } from 'node:path';
import { createKeySetFetcher } from '../../client/key-set-fetcher.js';
import { SealwireError } from '../../errors.js';
import { type ServicePaths, servicePaths } from '../../files/service-paths.js';
import { ExitCode } from '../../host/process/exit.js';
import { findUnreadable, readKeyFile } from '../../keys/files.js';
import { opensOnWire } from '../../keys/lifecycle.js';
import type { KeyRing } from '../../keys/ring.js';
import { type VerifiedKeySet, verifyKeySet } from '../../keys/signed-set/key-set.js';
import { readDelegation } from '../../keys/signed-set/set-signer.js';
import { loadVerificationKey } from '../../keys/signed-set/signing-key.js';
import { formatVersion } from '../../profile/key-sets/version.js';
import { formatTable, paint, print, printJson } from '../output.js';
import { readTarget } from '../target/credentials.js';
import type { ConnectionFlags } from '../target/target-options.js';
import { findPlace } from './place.js';
import { findName } from './signing-root.js';

/** Flags of the command. */
export interface VerifyKeysFlags extends ConnectionFlags {
  readonly dir: string;
  readonly root?: readonly string[];
  readonly name?: string;
  readonly passphraseFile?: string;
  readonly address?: string;
  readonly file?: string;
  readonly json?: boolean;
}

/** One line of the result. */
interface Check {
  readonly check: string;
  /** `ok`, or the code of what is wrong. */
  readonly result: string;
  readonly detail: string;
}

const DEADLINE_MS = 10_000;

/** Prints what was checked; exit code 1 when something does not verify. */
export async function verify(flags: VerifyKeysFlags): Promise<void> {
  const dir = resolve(flags.dir);
  const paths = servicePaths(dir);
  const name = flags.name ?? (await findName(paths.delegation));
  const roots = async () => flags.root ?? [(await loadVerificationKey(paths.rootPublic)).kid];
  const given = await readGivenSet(flags);
  const checks =
    given === undefined
      ? await checkFolder(flags, paths, name, roots)
      : [await check('key set', async () => describeSet(await verifySet(given, await roots(), name)))];
  const ok = checks.every(({ result }) => result === 'ok');
  if (flags.json === true) await printJson({ ok, checks });
  else await print(formatChecks(checks));
  process.exitCode = ok ? ExitCode.DONE : ExitCode.NEGATIVE;
}

/**
 * The set from the service or file that the flags name.
 * @throws SealwireError when it cannot be fetched: that is no verdict
 */
async function readGivenSet(flags: VerifyKeysFlags): Promise<string | undefined> {
  const { address, file } = flags;
  if (file !== undefined) return (await readKeyFile(resolve(file), { secret: false })).trim();
  if (address === undefined) return undefined;
  const fetcher = createKeySetFetcher({ ...readTarget({ ...flags, address }), deadlineMs: DEADLINE_MS });
  try {
    return (await fetcher.fetch('')).text;
  } catch (error) {
    if (!(error instanceof SealwireError)) throw error;
    throw new SealwireError(error.code, `${error.message}; sealwire doctor ${address} with these flags says more`);
  } finally {
    fetcher.close();
  }
}

async function checkFolder(
  flags: VerifyKeysFlags,
  paths: ServicePaths,
  name: string,
  roots: () => Promise<readonly string[]>,
): Promise<Check[]> {
  const nowMs = Date.now();
  let ring: KeyRing | undefined;
  return [
    await check('ring', async () => {
      const { dir, passphraseFile } = flags;
      const { store, ringPath } = findPlace({ dir, ...(passphraseFile !== undefined && { passphraseFile }) });
      ring = await store.load();
      await refuseUnreadable(ringPath);
      return `${count(ring.keys().length, 'key')}, current ${ring.currentKid}`;
    }),
    await check('root', async () => {
      const { kid } = await loadVerificationKey(paths.rootPublic);
      if ((await roots()).includes(kid)) return kid;
      throw new SealwireError('KEY_SET_ROOT_UNKNOWN', `${kid} is not pinned`);
    }),
    await check('delegation', async () => {
      const signer = await loadVerificationKey(paths.signerPublic);
      await refuseUnreadable(paths.signer);
      const { details } = await readDelegation(paths, signer, { recipient: name, nowMs });
      const days = Math.floor((details.expiresAt - nowMs / 1000) / 86_400);
      return `for '${name}', ${count(days, 'day')} left`;
    }),
    await check('key set', async () => {
      const text = (await readKeyFile(paths.keySet, { secret: false })).trim();
      const set = await verifySet(text, await roots(), name);
      if (ring !== undefined) refuseRefused(set, ring);
      return describeSet(set);
    }),
  ];
}

/** A set stays valid when keys are withdrawn while the service is stopped: nobody signs another one. */
function refuseRefused({ keys }: VerifiedKeySet, ring: KeyRing): void {
  const isOpening = ({ kid }: { readonly kid: string }) => {
    const state = ring.stateOf(kid);
    return state !== undefined && opensOnWire(state);
  };
  const refused = keys.find((key) => !isOpening(key));
  if (refused === undefined) return;
  throw new SealwireError(
    'KEY_NOT_FOUND',
    `names key ${refused.kid}, which the ring refuses: start the service, which signs another`,
  );
}

/** Root can read what the service, as another user, cannot. */
async function refuseUnreadable(path: string): Promise<void> {
  const why = await findUnreadable(path);
  if (why !== undefined) throw new SealwireError('KEY_FILE_MODE', why);
}

function verifySet(text: string, roots: readonly string[], issuer: string): Promise<VerifiedKeySet> {
  return verifyKeySet(text, { roots, issuer, nowMs: Date.now() });
}

function describeSet({ issuer, version, keys, expiresAt }: VerifiedKeySet): string {
  const end = new Date(expiresAt * 1000).toISOString().replace('.000Z', 'Z');
  return `of '${issuer}', version ${formatVersion(version)}, ${count(keys.length, 'key')}, until ${end}`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

async function check(name: string, work: () => Promise<string>): Promise<Check> {
  try {
    return { check: name, result: 'ok', detail: await work() };
  } catch (error) {
    if (!(error instanceof SealwireError)) throw error;
    return { check: name, result: error.code, detail: error.message };
  }
}

function formatChecks(checks: readonly Check[]): string {
  return formatTable(checks, [
    { title: 'CHECK', value: ({ check: name }) => name },
    { title: 'RESULT', value: ({ result }) => paint(result, result === 'ok' ? 'green' : 'red') },
    { title: 'DETAIL', value: ({ detail }) => detail },
  ]);
}
