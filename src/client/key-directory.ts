/** The key directory: a sender's source of keys that trusts a pinned signing root and nobody in between. */
import type { ChannelCredentials, ClientOptions } from '@grpc/grpc-js';
import { SealwireError } from '../errors.js';
import type { RecipientKey } from '../jwe/recipient.js';
import type { KeySource } from '../keys/key-source.js';
import { checkRange } from '../profile/check-range.js';
import { CachedKeySet, type CacheSettings, type KeySetProblem } from './cached-key-set.js';
import { checkCredentials } from './call-options.js';
import { createKeySetFetcher, type KeyServiceMetadata, type KeySetFetcher } from './key-set-fetcher.js';
import { createFileMemory, noMemory } from './key-set-memory.js';

export type { KeySetProblem } from './cached-key-set.js';
export type { KeyServiceMetadata } from './key-set-fetcher.js';

/** Options of {@link KeyDirectory}. */
export interface KeyDirectoryOptions {
  /** grpc-js target of the service that serves the key sets, e.g. `localhost:50051`. */
  readonly address: string;
  /** grpc-js channel credentials. */
  readonly credentials: ChannelCredentials;
  /** RFC 7638 thumbprints of the signing roots to trust: one, or two while the root changes; 1 to 4. */
  readonly roots: readonly string[];
  /** The service's name (`name` in its configuration): whose set is meant by recipient ''. */
  readonly issuer: string;
  /**
   * File that remembers the highest version seen, so that an older set is refused after a restart too, and the last
   * set, so that a restart survives an outage. One per process. Default: none, each run begins anew.
   */
  readonly stateFile?: string;
  /** grpc-js channel options, e.g. keep-alive. */
  readonly channelOptions?: ClientOptions;
  /** Sent with each question to the key service, such as an `authorization`. Default: none. */
  readonly metadata?: KeyServiceMetadata;
  /** How long to wait for the key service, in ms. Default 5,000; 100 to 60,000. */
  readonly deadlineMs?: number;
  /**
   * Shortest use of a set before the next is fetched, whatever the service says, in ms. Default 10,000; 100 to
   * 3,600,000.
   */
  readonly minAgeMs?: number;
  /**
   * Longest use of a set before the next is fetched, whatever the service says, in ms. Default 21,600,000 (6 h); 1,000
   * to 86,400,000.
   */
  readonly maxAgeMs?: number;
  /** First wait after a failed fetch, doubled with each failure, with jitter, in ms. Default 1,000; 10 to 60,000. */
  readonly retryMs?: number;
  /** Longest wait after failed fetches, in ms. Default 60,000; 10 to 3,600,000. */
  readonly maxRetryMs?: number;
  /** Told when a set could not be fetched or was refused. Default: `process.emitWarning`, once an hour per code. */
  readonly onProblem?: (problem: KeySetProblem) => void;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
  /** Monotonic clock in ms. Default `performance.now`. */
  readonly monotonicNow?: () => number;
  /** Random number from 0 to 1, for jitter. Default `Math.random`. */
  readonly random?: () => number;
}

const THUMBPRINT = /^[A-Za-z0-9_-]{43}$/;

/**
 * Gives recipients' keys out of signed key sets. Give one to every client of a process: `keys: directory`.
 * Which key is used follows from its dates, without a fetch. Timers of a directory do not keep a process alive.
 *
 * @example
 * ```ts
 * import { credentials } from '@grpc/grpc-js';
 * import { KeyDirectory } from 'sealwire';
 * import { SealedPaymentServiceClient } from './gen/payments/v1/payments_sealed.js';
 *
 * const channel = credentials.createSsl();
 * const keys = new KeyDirectory({
 *   address: 'payments.example:443',
 *   credentials: channel,
 *   roots: ['PtlKbMAjCZDbCpMA4mVnV0ZwTGGyAJu0NUj8SpYLp0s'],
 *   issuer: 'payments',
 * });
 * const client = new SealedPaymentServiceClient('payments.example:443', channel, { keys });
 * ```
 */
export class KeyDirectory implements KeySource {
  readonly #issuer: string;
  readonly #settings: CacheSettings;
  readonly #fetcher: KeySetFetcher;
  readonly #sets = new Map<string, CachedKeySet>();
  #closed = false;

  /** @throws SealwireError `OPTIONS_INVALID` */
  constructor(options: KeyDirectoryOptions) {
    this.#issuer = options.issuer;
    this.#settings = resolveSettings(options);
    const { address, credentials, channelOptions, metadata, deadlineMs = 5_000 } = options;
    checkRange('deadlineMs', deadlineMs, [100, 60_000]);
    checkCredentials(credentials);
    this.#fetcher = createKeySetFetcher({
      address,
      credentials,
      metadata,
      deadlineMs,
      ...(channelOptions && { channelOptions }),
    });
  }

  /**
   * @param recipient name in the schema; '' is the service itself
   * @returns the key to seal to now: at once when the set is at hand, else after a fetch that all callers share
   * @throws SealwireError one of `KEY_SET_CODES`: fails closed; `KEY_FILE_MODE`, `KEY_FILE_INVALID` for the state file;
   *   `CLOSED`
   */
  current(recipient: string): RecipientKey | Promise<RecipientKey> {
    return this.#find(recipient).current();
  }

  /** Fetches the recipient's set now, at most once a second. @throws SealwireError as {@link current} */
  refresh(recipient: string): Promise<void> {
    return this.#find(recipient).refresh();
  }

  /**
   * The current state of a recipient's set.
   *
   * @returns version and end (seconds since 1970) of the set at hand; undefined when there is none that may be used
   */
  describe(recipient: string): { readonly version: number; readonly expiresAt: number } | undefined {
    const set = this.#sets.get(recipient || this.#issuer)?.set;
    return set && { version: set.version, expiresAt: set.expiresAt };
  }

  /** Stops all timers and closes the channel; no key is given out afterwards. */
  close(): void {
    this.#closed = true;
    for (const set of this.#sets.values()) set.close();
    this.#fetcher.close();
  }

  #find(recipient: string): CachedKeySet {
    if (this.#closed) throw new SealwireError('CLOSED', 'the key directory is closed');
    const issuer = recipient || this.#issuer;
    let set = this.#sets.get(issuer);
    if (set === undefined) {
      // Asked for as the service itself, which need not know its name; what comes back must have it.
      const asked = issuer === this.#issuer ? '' : issuer;
      set = new CachedKeySet(issuer, () => this.#fetcher.fetch(asked), this.#settings);
      this.#sets.set(issuer, set);
    }
    return set;
  }
}

function resolveSettings(options: KeyDirectoryOptions): CacheSettings {
  const { roots, issuer, stateFile, minAgeMs = 10_000, maxAgeMs = 21_600_000, retryMs = 1_000 } = options;
  const { maxRetryMs = 60_000 } = options;
  if (issuer === '') throw new SealwireError('OPTIONS_INVALID', 'issuer must be the name of the service');
  checkRange('the number of roots', roots.length, [1, 4]);
  const wrong = roots.find((root) => !THUMBPRINT.test(root));
  if (wrong !== undefined) throw new SealwireError('OPTIONS_INVALID', 'a root must be a thumbprint of 43 characters');
  checkRange('minAgeMs', minAgeMs, [100, 3_600_000]);
  checkRange('maxAgeMs', maxAgeMs, [1_000, 86_400_000]);
  checkRange('retryMs', retryMs, [10, 60_000]);
  checkRange('maxRetryMs', maxRetryMs, [10, 3_600_000]);
  return {
    roots: [...roots],
    memory: stateFile === undefined ? noMemory : createFileMemory(stateFile),
    minAgeMs,
    maxAgeMs,
    retryMs,
    maxRetryMs,
    now: options.now ?? Date.now,
    monotonicNow: options.monotonicNow ?? (() => performance.now()),
    random: options.random ?? Math.random,
    onProblem: options.onProblem ?? createWarner(),
  };
}

/** The same code is reported again only after an hour: an outage must not fill a log. */
function createWarner(): (problem: KeySetProblem) => void {
  const toldAt = new Map<string, number>();
  return ({ recipient, error }) => {
    const now = performance.now();
    const last = toldAt.get(error.code);
    if (last !== undefined && now - last < 3_600_000) return;
    toldAt.set(error.code, now);
    process.emitWarning(`key set of '${recipient}': ${error.code}: ${error.message}`, 'SealwireKeySetWarning');
  };
}
