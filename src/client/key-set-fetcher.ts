/** Asks a key service for signed sets. The answer is untrusted; only its size is checked here. */
import { type ChannelCredentials, type ClientOptions, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { SealwireError } from '../errors.js';
import { type GetKeySetResponse, KeyServiceClient } from '../gen/sealwire/v1/keys.js';
import type { FetchedSet } from '../profile/key-sets/cached-key-set.js';

/** What a key service answered. */
export interface FetchedKeySet extends FetchedSet {
  /** Claims to be a compact JWS; empty when the service states nothing. */
  readonly statement: string;
}

/** Fetches sets by recipient. */
export interface KeySetFetcher {
  /** @param recipient '' is the service itself. @throws SealwireError `KEY_SET_UNAVAILABLE` */
  fetch(recipient: string): Promise<FetchedKeySet>;
  close(): void;
}

/** Metadata of each question to a key service; a function is asked every time, for credentials that expire. */
export type KeyServiceMetadata = Metadata | (() => Metadata | Promise<Metadata>);

/** Options of {@link createKeySetFetcher}. */
export interface KeySetFetcherOptions {
  /** grpc-js target of a service that serves the sets, e.g. `localhost:50051`. */
  readonly address: string;
  /** grpc-js channel credentials. */
  readonly credentials: ChannelCredentials;
  /** grpc-js channel options, e.g. keep-alive. */
  readonly channelOptions?: ClientOptions;
  /** Default: none. */
  readonly metadata?: KeyServiceMetadata | undefined;
  /** How long to wait for an answer, in ms. */
  readonly deadlineMs: number;
}

/** Enough for the longest set and the longest sealing statement that are accepted. */
const RECEIVE_LIMIT_BYTES = 1_048_576;

/** A fetcher with a channel of its own. */
export function createKeySetFetcher(options: KeySetFetcherOptions): KeySetFetcher {
  const { address, credentials, channelOptions, metadata = new Metadata(), deadlineMs } = options;
  const client = new KeyServiceClient(address, credentials, {
    'grpc.max_receive_message_length': RECEIVE_LIMIT_BYTES,
    ...channelOptions,
  });
  return {
    async fetch(recipient) {
      const own = typeof metadata === 'function' ? await ask(metadata) : metadata;
      const { keySetJws, maxAge, sealingStatement } = await new Promise<GetKeySetResponse>((resolve, reject) => {
        const deadline = Date.now() + deadlineMs;
        client.getKeySet({ recipient }, own, { deadline }, (error, value) =>
          error ? reject(unavailable(error)) : resolve(value),
        );
      });
      return { text: keySetJws, maxAgeMs: Number(maxAge?.seconds ?? 0) * 1000, statement: sealingStatement };
    },
    close: () => client.close(),
  };
}

async function ask(metadata: () => Metadata | Promise<Metadata>): Promise<Metadata> {
  try {
    return await metadata();
  } catch (cause) {
    throw new SealwireError('KEY_SET_UNAVAILABLE', 'the function that gives metadata for the key service failed', {
      cause,
    });
  }
}

/** The code alone: the text, which is in the cause, is untrusted. */
function unavailable(cause: ServiceError): SealwireError {
  const { code } = cause;
  return new SealwireError('KEY_SET_UNAVAILABLE', `the key service answered ${status[code] ?? code}`, { cause });
}
