/** Keeps a ring as its file is: a running service follows what operators and editors do, without restart. */
import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SealwireError } from '../errors.js';
import { checkRange } from '../profile/check-range.js';
import { fileVersion } from './files.js';
import { KeyRing, type KeyRingOptions } from './ring.js';

/** Options of {@link RingFollower}. */
export interface RingFollowerOptions {
  /** The ring file. */
  readonly path: string;
  /** Gets the keys of the file whenever that is another one. */
  readonly ring: KeyRing;
  /** How the file is read: passphrase, hardware, the clock by which its dates are judged. */
  readonly load?: KeyRingOptions;
  /** Told once of each file that cannot be used; the ring then stays as it is. */
  readonly onError: (error: SealwireError) => void;
  /** Told of each file that was taken. Default: nobody is. */
  readonly onLoad?: () => void;
  /** How often the file is looked at where its folder cannot be watched, in ms. Default 500; 10 to 60,000. */
  readonly pollMs?: number;
}

/** Editors and copying programs touch a file several times: it is read when it has been quiet for so long, in ms. */
const QUIET_MS = 20;
/** Between two looks for unknown keys. */
const LOOK_MS = 20;
/** A file that could not be used is tried again without having changed: a date may have come, or a passphrase. */
const RETRY_MS = 5_000;

/**
 * Follows a ring file by watching its folder, since files are replaced by renaming, and by looking at it now and
 * then, since not every file system tells of changes. Neither keeps the process alive.
 *
 * @example
 * ```ts
 * import { KeyRing, RingFollower } from 'sealwire';
 *
 * const ring = await KeyRing.load('keys/ring.json');
 * const follower = new RingFollower({ path: 'keys/ring.json', ring, onError: ({ code }) => console.error(code) });
 * process.once('SIGTERM', () => follower.close());
 * ```
 */
export class RingFollower {
  readonly #options: RingFollowerOptions;
  readonly #poll: NodeJS.Timeout;
  #watcher: FSWatcher | undefined;
  #quiet: NodeJS.Timeout | undefined;
  /** Which file was read last, and what was wrong with it. */
  #seen: string | undefined;
  #fault: string | undefined;
  #retryAt = 0;
  #checking: Promise<void> | undefined;
  #again = false;
  #closed = false;
  /** A look that has not begun: all who ask until then share it. */
  #looking: Promise<void> | undefined;
  #lookedAt = Number.NEGATIVE_INFINITY;

  /** @throws SealwireError `OPTIONS_INVALID` */
  constructor(options: RingFollowerOptions) {
    const { pollMs = 500 } = options;
    checkRange('pollMs', pollMs, [10, 60_000]);
    this.#options = options;
    this.#watcher = this.#watch();
    this.#poll = setInterval(() => void this.check(), pollMs);
    this.#poll.unref();
    options.ring.followWith(() => this.#lookSoon());
    void this.check();
  }

  /** Whether the file, as it was last read, could not be used: the ring has the keys before it. */
  get isStale(): boolean {
    return this.#fault !== undefined;
  }

  /** Looks at the file now. @returns when the ring is as the file was at this call, or a fault was told */
  check(): Promise<void> {
    if (this.#checking !== undefined) {
      // What is under way may have read the file before it was changed.
      this.#again = true;
      return this.#checking;
    }
    const checking = this.#checkAll().finally(() => {
      this.#checking = undefined;
    });
    this.#checking = checking;
    return checking;
  }

  /** Stops following; a file that is being read is not taken any more. */
  close(): void {
    this.#closed = true;
    this.#options.ring.followWith(undefined);
    clearInterval(this.#poll);
    clearTimeout(this.#quiet);
    this.#watcher?.close();
  }

  /** Asked for by tokens of anybody's making: a look now and then, however many there are. */
  #lookSoon(): Promise<void> {
    this.#looking ??= sleep(Math.max(0, this.#lookedAt + LOOK_MS - performance.now()), undefined, { ref: false }).then(
      () => {
        this.#looking = undefined;
        this.#lookedAt = performance.now();
        return this.check();
      },
    );
    return this.#looking;
  }

  async #checkAll(): Promise<void> {
    do {
      this.#again = false;
      await this.#checkOnce();
    } while (this.#again && !this.#closed);
  }

  async #checkOnce(): Promise<void> {
    const { path, ring, load, onLoad } = this.#options;
    // Before reading: a file that is changed meanwhile looks different the next time.
    const found = await fileVersion(path);
    if (this.#closed || !this.#isDue(found)) return;
    try {
      const loaded = await KeyRing.load(path, load);
      if (this.#closed) return;
      ring.replace(loaded);
      this.#seen = found;
      this.#fault = undefined;
      onLoad?.();
    } catch (error) {
      if (this.#closed) return;
      this.#seen = found;
      this.#retryAt = performance.now() + RETRY_MS;
      this.#tell(error);
    }
  }

  #isDue(found: string | undefined): boolean {
    if (found !== this.#seen || found === undefined) return true;
    return this.#fault !== undefined && performance.now() >= this.#retryAt;
  }

  #tell(error: unknown): void {
    const told = error instanceof SealwireError ? error : new SealwireError('KEY_FILE_INVALID', 'unreadable');
    const fault = `${this.#seen} ${told.message}`;
    if (fault === this.#fault) return;
    this.#fault = fault;
    this.#options.onError(told);
  }

  #watch(): FSWatcher | undefined {
    const { path } = this.#options;
    try {
      const watcher = watch(dirname(path), { persistent: false }, (_event, name) => {
        if (name === null || name === basename(path)) this.#checkSoon();
      });
      // A folder that is gone, or too many watches: looking now and then has to do.
      watcher.on('error', () => watcher.close());
      return watcher;
    } catch {
      return undefined;
    }
  }

  #checkSoon(): void {
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => void this.check(), QUIET_MS);
    this.#quiet.unref();
  }
}
