/** The key directory of a page: a source of keys that trusts a pinned signing root and nobody in between. */
import { Code, ConnectError, type Transport } from '@connectrpc/connect';
import { SealwireError } from '../../errors.js';
import { KeyService } from '../../gen/sealwire/v1/keys_pb.js';
import {
  type KeySetMemory,
  type KeySetOptions,
  noMemory,
  resolveCacheSettings,
} from '../../profile/key-sets/cache-settings.js';
import type { FetchedSet } from '../../profile/key-sets/cached-key-set.js';
import { KeySets } from '../../profile/key-sets/key-sets.js';
import { verifyKeySet } from '../../profile/key-sets/verify-key-set.js';
import type { KeySetVersion } from '../../profile/key-sets/version.js';
import type { WebKeySource, WebRecipientKey } from '../crypto/recipient.js';
import { checkPlatform } from '../crypto/subtle.js';
import { webVerifier } from './verifier.js';

export type {
  KeySetMemory,
  KeySetOptions,
  KeySetProblem,
  RememberedSet,
} from '../../profile/key-sets/cache-settings.js';
export type { KeySetVersion, SeenSet } from '../../profile/key-sets/version.js';

/** Options of {@link WebKeyDirectory}. */
export interface WebKeyDirectoryOptions extends KeySetOptions {
  /** Connect transport to a service that serves the key sets. */
  readonly transport: Transport;
  /**
   * Remembers the highest version seen, so that an older set is refused after a reload too, and the last set, so that a
   * reload survives an outage: `createIndexedDbMemory()`. Default: none, each page load begins anew.
   */
  readonly memory?: KeySetMemory;
}

/**
 * Gives recipients' keys out of signed key sets; one for all clients of a page. Which key is used follows from its
 * dates, without a fetch.
 */
export class WebKeyDirectory implements WebKeySource {
  readonly #sets: KeySets<WebRecipientKey>;

  /** @throws SealwireError `OPTIONS_INVALID`, also where there is no WebCrypto */
  constructor(options: WebKeyDirectoryOptions) {
    checkPlatform();
    const { transport, issuer, memory = noMemory } = options;
    const settings = resolveCacheSettings<WebRecipientKey>(options, {
      memory,
      verify: (text, checks) => verifyKeySet(text, checks, webVerifier),
      warn: (text) => console.warn(text),
    });
    this.#sets = new KeySets(issuer, (recipient) => fetchSet(transport, recipient, settings.deadlineMs), settings);
  }

  /**
   * @param recipient name in the schema; '' is the service itself
   * @returns the key to seal to now, after a fetch that all callers share where the set is not at hand
   * @throws SealwireError one of `KEY_SET_CODES`: fails closed; `KEY_MEMORY_FAILED`, `CLOSED`
   */
  async current(recipient: string): Promise<WebRecipientKey> {
    return this.#sets.find(recipient).current();
  }

  /** Fetches the recipient's set now, at most once a second. @throws SealwireError as {@link current} */
  async refresh(recipient: string): Promise<void> {
    await this.#sets.find(recipient).refresh();
  }

  /**
   * The current state of a recipient's set.
   *
   * @returns version and end (seconds since 1970) of the set at hand; undefined when there is none that may be used
   */
  describe(recipient: string): { readonly version: KeySetVersion; readonly expiresAt: number } | undefined {
    return this.#sets.describe(recipient);
  }

  /** Stops all timers; no key is given out afterwards. */
  close(): void {
    this.#sets.close();
  }
}

/** The answer is untrusted: it is verified by whoever asked. */
async function fetchSet(transport: Transport, recipient: string, deadlineMs: number): Promise<FetchedSet> {
  try {
    const { getKeySet } = KeyService.method;
    const { message } = await transport.unary(getKeySet, undefined, deadlineMs, undefined, { recipient });
    return { text: message.keySetJws, maxAgeMs: Number(message.maxAge?.seconds ?? 0) * 1000 };
  } catch (error) {
    // The code alone: the text is untrusted.
    const { code } = ConnectError.from(error);
    throw new SealwireError('KEY_SET_UNAVAILABLE', `the key service answered ${Code[code]}`);
  }
}
