/** The server's certificates: read again when their files change, so that new connections get the new ones. */
import { X509Certificate } from 'node:crypto';
import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { dirname } from 'node:path';
import { createSecureContext } from 'node:tls';
import { experimental, type ServerCredentials } from '@grpc/grpc-js';
import { SealwireError } from '../errors.js';
import { decodeText, tidyPem } from '../files/file-text.js';
import { fileVersion } from '../keys/files.js';
import type { HostConfig } from './config.js';
import type { AppLogger } from './host-app.js';

type TlsConfig = NonNullable<HostConfig['tls']>;
type Provider = Parameters<typeof experimental.createCertificateProviderServerCredentials>[0];

/** One reading of all files, whose parts fit each other. */
export interface Loaded {
  readonly certificate: Buffer;
  readonly privateKey: Buffer;
  readonly ca: Buffer | undefined;
}

/** Files are replaced one after the other: they are read when they have been quiet for so long, in ms. */
const QUIET_MS = 20;
/** How often the files are looked at, since not every file system tells of changes, in ms. */
const POLL_MS = 1_000;

/**
 * Follows certificate files. Their folders are watched, because a link may be renamed over a link in the middle of a
 * path. Files that cannot be used, or do not fit each other, leave the certificates before them in use: grpc-js's own
 * `FileWatcherCertificateProvider` would refuse all connections meanwhile.
 */
export class Certificates {
  /** For `server.bindAsync`. */
  readonly credentials: ServerCredentials;
  readonly #config: TlsConfig;
  readonly #logger: AppLogger;
  readonly #listeners = new Set<() => void>();
  readonly #watchers: FSWatcher[];
  readonly #poll: NodeJS.Timeout;
  #loaded: Loaded;
  #quiet: NodeJS.Timeout | undefined;
  #seen: string | undefined;
  /** What was wrong at the last look. Files that do not fit each other yet are told of at the second. */
  #fault: string | undefined;
  #isTold = false;
  #checking: Promise<void> = Promise.resolve();

  /** @throws SealwireError `OPTIONS_INVALID` naming the file */
  constructor(config: TlsConfig, logger: AppLogger) {
    this.#config = config;
    this.#logger = logger;
    this.#loaded = load(config);
    const provider = this.#createProvider();
    this.credentials = experimental.createCertificateProviderServerCredentials(
      // Its own names of the first two are the wrong way round.
      provider,
      config.clientCa === undefined ? null : provider,
      config.clientCa !== undefined,
    );
    this.#watchers = [...new Set(filesOf(config).map((path) => dirname(path)))].flatMap((folder) =>
      this.#watch(folder),
    );
    this.#poll = setInterval(() => void this.check(), POLL_MS).unref();
    void this.check();
  }

  /** @param listener called with what new connections get, at once and whenever that changes */
  follow(listener: (loaded: Loaded) => void): void {
    const tell = () => listener(this.#loaded);
    this.#listeners.add(tell);
    tell();
  }

  /** Looks at the files now. */
  check(): Promise<void> {
    this.#checking = this.#checking.then(() => this.#check());
    return this.#checking;
  }

  close(): void {
    clearInterval(this.#poll);
    clearTimeout(this.#quiet);
    for (const watcher of this.#watchers) watcher.close();
  }

  async #check(): Promise<void> {
    // Before reading: a file that is changed meanwhile looks different the next time.
    const found = (await Promise.all(filesOf(this.#config).map(fileVersion))).join();
    if (found === this.#seen && this.#fault === undefined) return;
    try {
      const loaded = load(this.#config);
      const isNew = !isSame(loaded, this.#loaded);
      this.#loaded = loaded;
      this.#fault = undefined;
      this.#isTold = false;
      if (isNew) {
        for (const tell of this.#listeners) tell();
        const { validTo } = new X509Certificate(loaded.certificate);
        this.#logger.info('new connections get another certificate', { validTo });
      }
    } catch (error) {
      const fault = `${found} ${(error as Error).message}`;
      if (fault === this.#fault && !this.#isTold) {
        this.#isTold = true;
        const facts = { error: (error as Error).message };
        this.#logger.error('the certificates cannot be used; those before them stay in use', facts);
      } else if (fault !== this.#fault) this.#isTold = false;
      this.#fault = fault;
    }
    this.#seen = found;
  }

  #createProvider(): Provider {
    const tellers = new Map<unknown, () => void>();
    const add = <U>(listener: (update: U) => void, update: () => U) => {
      const tell = () => listener(update());
      tellers.set(listener, tell);
      this.#listeners.add(tell);
      // grpc-js adds the server that asks after this call.
      process.nextTick(tell);
    };
    const remove = (listener: unknown) => this.#listeners.delete(tellers.get(listener) as () => void);
    return {
      addIdentityCertificateListener: (listener) => add(listener, () => this.#loaded),
      removeIdentityCertificateListener: remove,
      addCaCertificateListener: (listener) => add(listener, () => ({ caCertificate: this.#loaded.ca as Buffer })),
      removeCaCertificateListener: remove,
    };
  }

  #watch(folder: string): FSWatcher[] {
    try {
      const watcher = watch(folder, { persistent: false }, () => {
        clearTimeout(this.#quiet);
        this.#quiet = setTimeout(() => void this.check(), QUIET_MS).unref();
      });
      // A folder that is gone, or too many watches: looking now and then has to do.
      watcher.on('error', () => watcher.close());
      return [watcher];
    } catch {
      return [];
    }
  }
}

function filesOf({ cert, key, clientCa }: TlsConfig): string[] {
  return [cert, key, ...(clientCa === undefined ? [] : [clientCa])];
}

/** Reads all files, and tries whether a server could use them. */
function load({ cert, key, clientCa }: TlsConfig): Loaded {
  try {
    const read = (path: string) => Buffer.from(tidyPem(decodeText(readFileSync(path))));
    const [certificate, privateKey] = [read(cert), read(key)];
    const ca = clientCa === undefined ? undefined : read(clientCa);
    createSecureContext({ cert: certificate, key: privateKey, ...(ca && { ca }) });
    return { certificate, privateKey, ca };
  } catch (error) {
    const { code, path } = error as NodeJS.ErrnoException;
    throw new SealwireError('OPTIONS_INVALID', `tls: ${path ?? `${cert}, ${key}`}: ${code ?? 'unreadable'}`);
  }
}

function isSame(one: Loaded, other: Loaded): boolean {
  const text = ({ certificate, privateKey, ca }: Loaded) => [certificate, privateKey, ca ?? ''].join('\n');
  return text(one) === text(other);
}
