/** The key directory: a sender's source of keys that trusts a pinned signing root and nobody in between. */
import type { ChannelCredentials, ClientOptions } from '@grpc/grpc-js';
import type { RecipientKey } from '../jwe/recipient.js';
import type { KeySource } from '../keys/key-source.js';
import { verifyKeySet } from '../keys/signed-set/key-set.js';
import { type KeySetOptions, noMemory, resolveCacheSettings } from '../profile/key-sets/cache-settings.js';
import { KeySets } from '../profile/key-sets/key-sets.js';
import type { KeySetVersion } from '../profile/key-sets/version.js';
import { checkCredentials } from './call-options.js';
import { createKeySetFetcher, type KeyServiceMetadata, type KeySetFetcher } from './key-set-fetcher.js';
import { createFileMemory } from './key-set-memory.js';

export type { KeySetOptions, KeySetProblem } from '../profile/key-sets/cache-settings.js';
export type { KeySetVersion } from '../profile/key-sets/version.js';
export type { KeyServiceMetadata } from './key-set-fetcher.js';

/** Options of {@link KeyDirectory}. */
export interface KeyDirectoryOptions extends KeySetOptions {
  /** grpc-js target of the service that serves the key sets, e.g. `localhost:50051`. */
  readonly address: string;
  /** grpc-js channel credentials. */
  readonly credentials: ChannelCredentials;
  /**
   * File that remembers the highest version seen, so that an older set is refused after a restart too, and the last
   * set, so that a restart survives an outage. One per process. Default: none, each run begins anew.
   */
  readonly stateFile?: string;
  /** grpc-js channel options, e.g. keep-alive. */
  readonly channelOptions?: ClientOptions;
  /** Sent with each question to the key service, such as an `authorization`. Default: none. */
  readonly metadata?: KeyServiceMetadata;
}

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
  readonly #fetcher: KeySetFetcher;
  readonly #sets: KeySets<RecipientKey>;

  /** @throws SealwireError `OPTIONS_INVALID` */
  constructor(options: KeyDirectoryOptions) {
    const { address, credentials, channelOptions, metadata, stateFile } = options;
    const settings = resolveCacheSettings<RecipientKey>(options, {
      memory: stateFile === undefined ? noMemory : createFileMemory(stateFile),
      verify: verifyKeySet,
      warn: (text) => process.emitWarning(text, 'SealwireKeySetWarning'),
    });
    checkCredentials(credentials);
    this.#fetcher = createKeySetFetcher({
      address,
      credentials,
      metadata,
      deadlineMs: settings.deadlineMs,
      ...(channelOptions && { channelOptions }),
    });
    this.#sets = new KeySets(options.issuer, (recipient) => this.#fetcher.fetch(recipient), settings);
  }

  /**
   * @param recipient name in the schema; '' is the service itself
   * @returns the key to seal to now: at once when the set is at hand, else after a fetch that all callers share
   * @throws SealwireError one of `KEY_SET_CODES`: fails closed; `KEY_FILE_MODE`, `KEY_FILE_INVALID` for the state file;
   *   `CLOSED`
   */
  current(recipient: string): RecipientKey | Promise<RecipientKey> {
    return this.#sets.find(recipient).current();
  }

  /** Fetches the recipient's set now, at most once a second. @throws SealwireError as {@link current} */
  refresh(recipient: string): Promise<void> {
    return this.#sets.find(recipient).refresh();
  }

  /**
   * The current state of a recipient's set.
   *
   * @returns version and end (seconds since 1970) of the set at hand; undefined when there is none that may be used
   */
  describe(recipient: string): { readonly version: KeySetVersion; readonly expiresAt: number } | undefined {
    return this.#sets.describe(recipient);
  }

  /** Stops all timers and closes the channel; no key is given out afterwards. */
  close(): void {
    this.#sets.close();
    this.#fetcher.close();
  }
}
