/** What a key directory remembers between runs: per recipient the highest `ver` seen, and the set that had it. */
import { SealwireError } from '../errors.js';
import { readKeyFile, writeKeyFile } from '../keys/files.js';

/** What is remembered of one recipient. */
export interface RememberedSet {
  /** The highest version seen. */
  readonly version: number;
  /** The set that had it, as it came; verified anew before it is used. */
  readonly text: string;
}

/** Keeps the highest version of each recipient. */
export interface KeySetMemory {
  /** @throws SealwireError `KEY_FILE_MODE`, `KEY_FILE_INVALID`: an unreadable memory must not pass for an empty one */
  recall(issuer: string): Promise<RememberedSet | undefined>;
  /** Never replaces a higher version. @throws SealwireError as `recall`, and `KEY_FILE_WRITE` */
  remember(issuer: string, set: RememberedSet): Promise<void>;
}

/** For directories without a file: each run begins anew. */
export const noMemory: KeySetMemory = { recall: async () => undefined, remember: async () => {} };

const FORMAT = 1;

type Remembered = ReadonlyMap<string, RememberedSet>;

/**
 * A memory in one JSON file of mode 0600.
 *
 * @param path made when the first set is remembered; its folder must be there
 */
export function createFileMemory(path: string): KeySetMemory {
  let tail: Promise<unknown> = Promise.resolve();
  return {
    async recall(issuer) {
      return (await read(path)).get(issuer);
    },
    remember(issuer, set) {
      // One at a time, each on the current content: another recipient's entry must not be lost.
      const done = tail.then(async () => {
        const all = await read(path);
        if ((all.get(issuer)?.version ?? -1) > set.version) return;
        await write(path, new Map([...all, [issuer, set]]));
      });
      tail = done.catch(() => {});
      return done;
    },
  };
}

async function read(path: string): Promise<Remembered> {
  let text: string;
  try {
    text = await readKeyFile(path, { secret: true });
  } catch (error) {
    if (error instanceof SealwireError && error.code === 'KEY_FILE_MISSING') return new Map();
    throw error;
  }
  try {
    const { format, sets } = JSON.parse(text) as { format?: unknown; sets?: unknown };
    if (format === FORMAT && typeof sets === 'object' && sets !== null) {
      const entries = Object.entries(sets as Record<string, unknown>);
      if (entries.every((entry): entry is [string, RememberedSet] => isRemembered(entry[1]))) return new Map(entries);
    }
  } catch {
    // Reported below, like any other foreign content.
  }
  throw new SealwireError('KEY_FILE_INVALID', `${path}: not a memory of key sets; remove it to begin anew`);
}

async function write(path: string, all: Remembered): Promise<void> {
  const sets = Object.fromEntries(all);
  await writeKeyFile(path, `${JSON.stringify({ format: FORMAT, sets }, null, 2)}\n`, 0o600);
}

function isRemembered(value: unknown): value is RememberedSet {
  if (typeof value !== 'object' || value === null) return false;
  const { version, text } = value as { version?: unknown; text?: unknown };
  return Number.isSafeInteger(version) && (version as number) >= 0 && typeof text === 'string';
}
