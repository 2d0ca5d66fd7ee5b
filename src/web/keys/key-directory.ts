/** The key directory of a page: a source of keys that trusts a pinned signing root and nobody in between. */
import type { Transport } from '@connectrpc/connect';
import type { SealwireError } from '../../errors.js';
import type { WebKeySource, WebRecipientKey } from '../crypto/recipient.js';

/** What is remembered of one recipient. */
export interface RememberedSet {
  /** The highest version seen. */
  readonly version: number;
  /** The set that had it, as it came; verified anew before it is used. */
  readonly text: string;
}

/** Keeps the highest version of each recipient over reloads of the page. */
export interface KeySetMemory {
  /** @throws SealwireError when it cannot be read: that must not pass for an empty one */
  recall(issuer: string): Promise<RememberedSet | undefined>;
  /** Never replaces a higher version. */
  remember(issuer: string, set: RememberedSet): Promise<void>;
}

/** Options of {@link WebKeyDirectory}. */
export interface WebKeyDirectoryOptions {
  /** Connect transport to a service that serves the key sets. */
  readonly transport: Transport;
  /** RFC 7638 thumbprints of the signing roots to trust: one, or two while the root changes; 1 to 4. */
  readonly roots: readonly string[];
  /** The service's name (`origin` in its configuration): whose set is meant by recipient ''. */
  readonly issuer: string;
  /** Remembers the newest set over reloads, e.g. `createIndexedDbMemory()`. Default: none, each page load begins anew. */
  readonly memory?: KeySetMemory;
  /** How long to wait for the key service, in ms. Default 5,000; 100 to 60,000. */
  readonly deadlineMs?: number;
  /** Told when a set could not be fetched or was refused. Default: `console.warn`, once an hour per code. */
  readonly onProblem?: (problem: { readonly recipient: string; readonly error: SealwireError }) => void;
}

/** Gives recipients' keys out of signed key sets; one for all clients of a page. */
export class WebKeyDirectory implements WebKeySource {
  /** @throws SealwireError `OPTIONS_INVALID` */
  constructor(_options: WebKeyDirectoryOptions) {}

  current(_recipient: string): Promise<WebRecipientKey> {
    throw new Error('not yet');
  }

  refresh(_recipient: string): Promise<void> {
    throw new Error('not yet');
  }

  /** Stops all timers; no key is given out afterwards. */
  close(): void {}
}
