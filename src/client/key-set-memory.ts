/** What a key directory remembers between runs, in a file. */
import { SealwireError } from '../errors.js';
import { readKeyFile, writeKeyFile } from '../keys/files.js';
import { isRemembered, type KeySetMemory, type RememberedSet } from '../profile/key-sets/cache-settings.js';
import { compareVersions } from '../profile/key-sets/version.js';

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
        const known = all.get(issuer);
        if (known !== undefined && compareVersions(known.version, set.version) > 0) return;
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
