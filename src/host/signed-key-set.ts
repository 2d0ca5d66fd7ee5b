/** The service's own signed key set: from its files to the key service and the log. */
import type { Logger } from 'winston';
import { SealwireError } from '../errors.js';
import { type ServicePaths, servicePaths } from '../files/service-paths.js';
import { ABANDONED_MS, fileVersion, removeLeftovers, UNFINISHED } from '../keys/files.js';
import type { PassphraseSource } from '../keys/protected-file.js';
import { KeySetPublisher, type PublishedKeys, type SetSigner } from '../keys/signed-set/key-set-publisher.js';
import {
  ensureRoot,
  findSetPaths,
  type LoadedSetSigner,
  loadSetSigner,
  type SetSignerPaths,
} from '../keys/signed-set/set-signer.js';
import { DailyLines } from './log/daily-lines.js';

const DAY_SECONDS = 86_400;
const DAY_MS = DAY_SECONDS * 1000;
/** Time before the end from which the log warns, once a day. */
const WARN_BELOW_DAYS = 14;

/** What {@link startKeySet} needs. */
export interface KeySetOptions {
  /** The service's folder. */
  readonly dir: string;
  /** Folder of key files that were made elsewhere, which are only read. Default: there is none. */
  readonly folder?: string | undefined;
  /** The service's name: `iss` of the set. */
  readonly name: string;
  readonly keys: PublishedKeys;
  /** Gives the keys a version, see `loadKeys`. */
  readonly stamp: () => Promise<unknown>;
  readonly logger: Logger;
  /** Passphrase of the set-signing key and root; new ones are encrypted with it. Default: none. */
  readonly passphrase?: PassphraseSource | undefined;
  /** What the service has sealed, see `SealingStatements`. */
  readonly statement?: string | undefined;
  /** Life of a set and of its use by clients, in s. */
  readonly lifeSeconds: number;
  readonly maxAgeSeconds: number;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
}

/** A publisher with the root that clients pin. */
export interface StartedKeySet {
  readonly publisher: KeySetPublisher;
  /** Thumbprint of the signing root. */
  readonly root: string;
}

/**
 * Makes what is missing, signs the first set and keeps it fresh. Without a valid delegation and without the root the
 * service still runs: its key service is unavailable until it gets a delegation, and the log says so.
 *
 * @throws SealwireError `KEY_FILE_MODE`, `KEY_FILE_INVALID`, `KEY_FILE_WRITE` for the key files
 */
export async function startKeySet(options: KeySetOptions): Promise<StartedKeySet> {
  const { dir, folder, name, keys, stamp, logger, passphrase, now = Date.now } = options;
  const { statement, lifeSeconds, maxAgeSeconds } = options;
  const paths = servicePaths(dir);
  for (const path of Object.values(paths)) await removeLeftovers(path, UNFINISHED, ABANDONED_MS);
  const root = await ensureRoot(await findSetPaths(paths, folder), passphrase, folder === undefined);
  const complain = createComplaints(logger, now);
  const publisher = new KeySetPublisher({
    issuer: name,
    keys,
    statement,
    lifeSeconds,
    maxAgeSeconds,
    now,
    file: paths.keySet,
    signer: createSignerSource(paths, folder, { recipient: name, passphrase }, complain, now, logger),
    onUnversioned: async () => void (await stamp()),
    onOlder: () => complain.older(),
    onError: (error) => complain.failed(error, paths.delegation),
    onLeftOut: (kids) =>
      logger.warn('keys are left out of the key set: it has one curve, that of the active key, and at most 32 keys', {
        kids,
      }),
  });
  await publisher.update();
  return { publisher, root };
}

/** Loads the signer again when one of its files has changed, or its delegation nears its end. */
function createSignerSource(
  own: ServicePaths,
  folder: string | undefined,
  load: { readonly recipient: string; readonly passphrase: PassphraseSource | undefined },
  complain: Complaints,
  now: () => number,
  logger: Logger,
): () => Promise<SetSigner> {
  let loaded: LoadedSetSigner | undefined;
  let before: LoadedSetSigner | undefined;
  let loadedFrom = '';
  let checkedAtMs = 0;
  return async () => {
    const paths = await findSetPaths(own, folder);
    const files = await fileVersions(paths);
    // Renewal and expiry depend on the day, not on the moment.
    const isRecent = Math.abs(now() - checkedAtMs) < DAY_MS / 24;
    if (loaded === undefined || files !== loadedFrom || !isRecent || now() / 1000 >= loaded.delegationExpiresAt) {
      loaded = undefined;
      loaded = await loadSetSigner(paths, { ...load, nowMs: now() });
      loadedFrom = await fileVersions(paths);
      checkedAtMs = now();
      tellChanges(before ?? loaded, loaded, logger);
      before = loaded;
    }
    complain.ifShort(loaded);
    return loaded;
  };
}

/** Whoever changes these decides which keys clients accept: the log keeps a trace of it. */
function tellChanges(before: LoadedSetSigner, after: LoadedSetSigner, logger: Logger): void {
  const untilOf = ({ delegationExpiresAt }: SetSigner) => new Date(delegationExpiresAt * 1_000).toISOString();
  for (const [what, one, other] of [
    ['signing root', before.details.root, after.details.root],
    ['set-signing key', before.key.kid, after.key.kid],
    ['delegation', untilOf(before), untilOf(after)],
  ] as const) {
    if (one !== other) logger.info(`the ${what} is another one`, { before: one, after: other });
  }
}

async function fileVersions(paths: SetSignerPaths): Promise<string> {
  return (await Promise.all(Object.values(paths).flat().map(fileVersion))).join();
}

interface Complaints {
  older(): void;
  ifShort(signer: SetSigner): void;
  failed(error: unknown, delegationFile: string): void;
}

function createComplaints(logger: Logger, now: () => number): Complaints {
  // Not at every look.
  const daily = new DailyLines(logger, now);
  return {
    older() {
      const why = 'clients that have seen that one refuse it until the ring is changed; run sealwire keys stamp';
      daily.say('error', `the key ring is older than the last key set that was signed here: ${why}`);
    },
    ifShort({ delegationExpiresAt }) {
      // With the root here it would have been renewed by now.
      const days = Math.floor((delegationExpiresAt - now() / 1000) / DAY_SECONDS);
      if (days >= WARN_BELOW_DAYS) return;
      daily.say(
        'warn',
        `the delegation of the set-signing key ends in ${days} days: renew it with sealwire keys root delegate`,
      );
    },
    failed(error, delegationFile) {
      const why = error instanceof SealwireError ? `${error.code}: ${error.message}` : 'unexpected';
      daily.say('error', `no key set can be signed: ${why}; see ${delegationFile} and sealwire keys verify`);
    },
  };
}
