/** The ring file for those who change it: one writer at a time, and the old file or the new one after any crash. */
import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SealwireError } from '../errors.js';
import { type FileLock, FileLockBusy, takeFileLock } from '../files/file-lock.js';
import { ABANDONED_MS, isTaken, removeLeftovers, TOO_LARGE, UNFINISHED } from './files.js';
import { isTime } from './lifecycle.js';
import { type PassphraseSource, readProtectedFile, writeProtectedFile } from './protected-file.js';
import { KeyRing, type KeyRingOptions } from './ring.js';
import { formatRingFile, parseRingFile, type RingFile, type RingKey } from './ring-file.js';
import { readSignedSet } from './signed-set/key-set.js';

/** Options of {@link RingStore}. */
export interface RingStoreOptions {
  /** The ring file. */
  readonly path: string;
  /** Public key set that is written with each change, beside the ring. Default: none. */
  readonly publicPath?: string;
  /** The last signed set of these keys, whose version a change must exceed. Default: there is none. */
  readonly signedPath?: string;
  /** Passphrase of an encrypted file; also of one that {@link RingStore.create} makes. Default: plain. */
  readonly passphrase?: PassphraseSource;
  /** How long to wait for another writer, in ms. Default 10,000; 0 and more. */
  readonly waitMs?: number;
  /** Options of the rings that come out. */
  readonly ring?: Omit<KeyRingOptions, 'passphrase'>;
}

/** Makes the next keys of the present ones; a key may be the very same object. */
export type ChangeKeys = (keys: readonly RingKey[]) => readonly RingKey[] | Promise<readonly RingKey[]>;

/** A writer's turn: the file that it writes, and the lock on it. */
interface Turn {
  readonly target: string;
  readonly lock: FileLock;
  /** Whether there must be no file yet. */
  readonly isNew?: boolean;
}

const TYPE = 'jwk-set+json';
const RETRY_MS = 20;
const UNFINISHED_LOCK = /^\.lock\.[0-9a-f]{12}$/;

/** Changes a ring file. All writers of one file take turns by a lock file beside it, `<ring>.lock`. */
export class RingStore {
  readonly #options: RingStoreOptions;

  constructor(options: RingStoreOptions) {
    this.#options = options;
  }

  /** The ring as it is in the file. @throws SealwireError as {@link KeyRing.load} */
  load(): Promise<KeyRing> {
    const { path, passphrase, ring } = this.#options;
    return KeyRing.load(path, { ...ring, ...(passphrase && { passphrase }) });
  }

  /** The keys in the file, without a word on their dates: also of a ring that cannot be loaded for these. */
  async readKeys(): Promise<readonly RingKey[]> {
    return (await this.#read()).file.keys;
  }

  /**
   * Writes a new ring file, encrypted when there is a passphrase.
   *
   * @throws SealwireError `KEY_FILE_WRITE` when there is one already, `KEY_FILE_BUSY`, `KEY_DATES_INVALID`
   */
  create(keys: readonly RingKey[]): Promise<KeyRing> {
    return this.#locked(async (turn) => {
      const { path, passphrase } = this.#options;
      if (await isTaken(path)) throw new SealwireError('KEY_FILE_WRITE', `${path}: the file exists already`);
      return this.#write({ keys, others: {} }, passphrase, { ...turn, isNew: true });
    });
  }

  /**
   * The ring of the file, or of a new one if there is none.
   *
   * @param make makes the keys of a new file
   * @throws SealwireError as {@link load} and {@link create}
   */
  async ensure(
    make: () => Promise<readonly RingKey[]>,
  ): Promise<{ readonly ring: KeyRing; readonly created: boolean }> {
    const found = await this.#loadIfThere();
    if (found !== undefined) return { ring: found, created: false };
    return this.#locked(async (turn) => {
      // Somebody else may have made one meanwhile.
      const ring = await this.#loadIfThere();
      if (ring !== undefined) return { ring, created: false };
      const file = { keys: await make(), others: {} };
      return { ring: await this.#write(file, this.#options.passphrase, { ...turn, isNew: true }), created: true };
    });
  }

  async #loadIfThere(): Promise<KeyRing | undefined> {
    try {
      return await this.load();
    } catch (error) {
      const isMissing = error instanceof SealwireError && error.code === 'KEY_FILE_MISSING';
      // A new ring in the place of one that cannot be opened just now would be the end of its keys.
      if (isMissing && !(await isTaken(this.#options.path))) return undefined;
      throw error;
    }
  }

  /**
   * Reads the file, changes its keys and writes it, while no other writer does. A file that cannot be read is not
   * touched, and neither is one whose new keys have dates with which calls would fail. It stays plain or encrypted as
   * it is.
   *
   * @returns the new ring
   * @throws SealwireError as {@link KeyRing.load}; `KEY_FILE_BUSY`, `KEY_FILE_WRITE`, `KEY_DATES_INVALID`, and what
   *   `change` throws
   */
  update(change: ChangeKeys): Promise<KeyRing> {
    return this.#locked(async (turn) => {
      const { file, encrypted } = await this.#read();
      const keys = await change(file.keys);
      return this.#write({ ...file, keys }, encrypted ? this.#options.passphrase : undefined, turn);
    });
  }

  /**
   * Says that the keys were changed, by somebody who did not say so in the file.
   *
   * @throws SealwireError as {@link update}
   */
  stamp(): Promise<KeyRing> {
    return this.update((keys) => keys);
  }

  /**
   * Writes the file again under another passphrase, or without one.
   *
   * @throws SealwireError as {@link update}
   */
  protect(passphrase: PassphraseSource | undefined): Promise<KeyRing> {
    return this.#locked(async (turn) => this.#write((await this.#read()).file, passphrase, turn));
  }

  async #read(): Promise<{ readonly file: RingFile; readonly encrypted: boolean }> {
    const { path, passphrase } = this.#options;
    const { text, encrypted } = await readProtectedFile(path, TYPE, passphrase);
    return { file: await parseRingFile(path, text), encrypted };
  }

  async #write(file: RingFile, passphrase: PassphraseSource | undefined, turn: Turn): Promise<KeyRing> {
    const { path, publicPath, ring: options } = this.#options;
    const changed = await this.#nextChanged(file);
    const ring = KeyRing.fromRingKeys(file.keys, options, changed);
    const { target, lock, isNew = false } = turn;
    if (!(await lock.isHeld())) throw busy(path, 'another process');
    await writeProtectedFile(target, formatRingFile({ ...file, changed }), TYPE, passphrase, { isNew }).catch(
      (error: unknown) => {
        if (!(error instanceof SealwireError && error.message.includes(TOO_LARGE))) throw error;
        const hint = `${file.keys.length} keys are too many; sealwire keys remove --retired takes out the retired ones`;
        throw new SealwireError(error.code, `${error.message}; ${hint}`);
      },
    );
    if (publicPath !== undefined) await ring.savePublic(publicPath).catch(sayThatRingIsChanged);
    return ring;
  }

  /** The present second, and above what was before: a clock may have been set back. */
  async #nextChanged({ changed = -1 }: RingFile): Promise<number> {
    const { ring: { now = Date.now } = {}, signedPath } = this.#options;
    const signed = signedPath === undefined ? undefined : (await readSignedSet(signedPath))?.version.changed;
    return Math.max(Math.floor(now() / 1_000), changed + 1, (isTime(signed) ? signed : -1) + 1);
  }

  async #locked<T>(work: (turn: Turn) => Promise<T>): Promise<T> {
    const { publicPath } = this.#options;
    const target = await this.#findTarget();
    const lock = await this.#takeLock(target);
    try {
      // It may have private keys in it, and only who has the lock makes one.
      await removeLeftovers(target, UNFINISHED, 0);
      await removeLeftovers(target, UNFINISHED_LOCK, ABANDONED_MS);
      if (publicPath !== undefined) await removeLeftovers(publicPath, UNFINISHED, ABANDONED_MS);
      return await work({ target, lock });
    } finally {
      await lock.release();
    }
  }

  /** Behind symbolic links: whoever uses another name of the file must take turns too, and find it changed. */
  async #findTarget(): Promise<string> {
    const { path } = this.#options;
    const target = await realpath(path).catch(() => undefined);
    if (target !== undefined) return target;
    const folder = await realpath(dirname(path)).catch((error: NodeJS.ErrnoException) => {
      throw new SealwireError('KEY_FILE_WRITE', `${dirname(path)}: ${error.code ?? 'cannot be used'}`);
    });
    return join(folder, basename(path));
  }

  async #takeLock(target: string): Promise<FileLock> {
    const { path, waitMs = 10_000 } = this.#options;
    const giveUpAt = performance.now() + waitMs;
    for (;;) {
      try {
        return await takeFileLock(`${target}.lock`);
      } catch (error) {
        if (!(error instanceof FileLockBusy)) {
          throw new SealwireError('KEY_FILE_WRITE', `${path}: ${(error as NodeJS.ErrnoException).code ?? 'no lock'}`);
        }
        if (performance.now() >= giveUpAt) throw busy(path, error.holder);
        await sleep(RETRY_MS * (0.5 + Math.random()));
      }
    }
  }
}

/** Who is told of a failure must not do again what has been done. */
function sayThatRingIsChanged(error: unknown): never {
  if (!(error instanceof SealwireError)) throw error;
  throw new SealwireError(error.code, `${error.message}; the key ring itself was changed`);
}

function busy(path: string, holder: string): SealwireError {
  return new SealwireError('KEY_FILE_BUSY', `${path}: ${holder} is changing it; try again`);
}
