/**
 * A gRPC proxy that knows no key and changes whatever it likes: metadata, messages, statuses, their order and number.
 */
import {
  Client,
  type ClientDuplexStream,
  credentials,
  type Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceDefinition,
  type StatusObject,
  status,
} from '@grpc/grpc-js';

/** @returns what is sent in place of a message */
export type Rewrite = (
  bytes: Buffer,
  call: RelayedCall,
  index: number,
) => Buffer | readonly Buffer[] | Promise<Buffer | readonly Buffer[]>;

/** What a relay does to the calls that pass; everything that is left out passes unchanged. */
export interface RelayHooks {
  metadata?: (metadata: Metadata, call: RelayedCall) => void;
  request?: Rewrite;
  response?: Rewrite;
  /** `refuse`: never reaches the service. `lose`: what the service answers is thrown away. Both look UNAVAILABLE. */
  fate?: (call: RelayedCall) => 'pass' | 'refuse' | 'lose';
}

/** A call as the relay saw it, before its changes. */
export interface RelayedCall {
  readonly path: string;
  /** Position among all calls since the start. */
  readonly number: number;
  readonly metadata: Metadata;
  readonly requests: Buffer[];
  readonly responses: Buffer[];
}

/** A relay in front of a service. */
export interface RewritingRelay {
  readonly address: string;
  /** To be set by a test; the default changes nothing. */
  hooks: RelayHooks;
  readonly calls: RelayedCall[];
  close(): void;
}

/** A message type as far as rewriting needs it. */
export interface Codec<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

/** A rewrite of decoded messages; an empty list drops the message. */
export function rewriteAs<T>(
  codec: Codec<T>,
  change: (message: T, call: RelayedCall, index: number) => T | T[],
): Rewrite {
  return (bytes, call, index) => {
    const changed = change(codec.decode(bytes), call, index);
    return (Array.isArray(changed) ? changed : [changed]).map((message) => Buffer.from(codec.encode(message).finish()));
  };
}

type Bytes = Buffer;
const identity = (bytes: Bytes) => bytes;
/** Of one hop only; grpc-js sets them anew. */
const HOP = ['user-agent', 'content-type', 'date', 'te'];
const LOST: Partial<StatusObject> = { code: status.UNAVAILABLE, details: 'the relay lost it' };

/**
 * @param target `HOST:PORT` of the service
 * @param definitions which methods pass; to the relay all of them are streams of bytes
 */
export async function startRewritingRelay(
  target: string,
  definitions: readonly ServiceDefinition[],
): Promise<RewritingRelay> {
  const client = new Client(target, credentials.createInsecure());
  const server = new Server();
  const relay: RewritingRelay = {
    address: '',
    hooks: {},
    calls: [],
    close() {
      client.close();
      server.forceShutdown();
    },
  };
  const handle = (path: string) => (near: ServerDuplexStream<Bytes, Bytes>) => {
    const call: RelayedCall = {
      path,
      number: relay.calls.length,
      metadata: near.metadata.clone(),
      requests: [],
      responses: [],
    };
    relay.calls.push(call);
    const fate = relay.hooks.fate?.(call) ?? 'pass';
    if (fate === 'refuse') refuse(near, call);
    else forward(near, call, relay, client, fate === 'lose');
  };
  for (const definition of definitions) {
    const asBytes = Object.entries(definition).map(([name, { path }]): [string, MethodDefinition<Bytes, Bytes>] => [
      name,
      {
        path,
        requestStream: true,
        responseStream: true,
        requestSerialize: identity,
        requestDeserialize: identity,
        responseSerialize: identity,
        responseDeserialize: identity,
      },
    ]);
    const handlers = asBytes.map(([name, { path }]) => [name, handle(path)]);
    server.addService(Object.fromEntries(asBytes), Object.fromEntries(handlers));
  }
  const port = await new Promise<number>((resolve, reject) => {
    const bound = (error: Error | null, value: number) => (error ? reject(error) : resolve(value));
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), bound);
  });
  return Object.assign(relay, { address: `127.0.0.1:${port}` });
}

/** Reads all requests and forwards none. */
function refuse(near: ServerDuplexStream<Bytes, Bytes>, call: RelayedCall): void {
  near.on('data', (bytes: Bytes) => call.requests.push(bytes));
  near.on('end', () => near.emit('error', LOST));
}

function forward(
  near: ServerDuplexStream<Bytes, Bytes>,
  call: RelayedCall,
  relay: RewritingRelay,
  client: Client,
  lose: boolean,
): void {
  const { hooks } = relay;
  const metadata = withoutHop(near.metadata);
  hooks.metadata?.(metadata, call);
  const far: ClientDuplexStream<Bytes, Bytes> = client.makeBidiStreamRequest(call.path, identity, identity, metadata);
  // A rewrite that throws is a mistake of the test, and must not look like a refusal or hang.
  const fail = ({ message }: Error) => {
    near.emit('error', { code: status.UNKNOWN, details: `the relay failed: ${message}` });
    far.cancel();
  };
  const requests = new Lane(call, call.requests, hooks.request, (bytes) => far.write(bytes), fail);
  const responses = new Lane(call, call.responses, hooks.response, (bytes) => lose || near.write(bytes), fail);
  near.on('data', (bytes: Bytes) => requests.add(bytes));
  near.on('end', () => requests.end(() => far.end()));
  near.on('cancelled', () => far.cancel());
  far.on('metadata', (received: Metadata) => lose || near.sendMetadata(withoutHop(received)));
  far.on('data', (bytes: Bytes) => responses.add(bytes));
  far.on('error', () => {});
  const ended = new Promise<void>((resolve) => far.on('end', resolve));
  far.on('status', (received: StatusObject) => {
    void ended.then(() =>
      responses.end(() => {
        if (lose) near.emit('error', LOST);
        else if (received.code === status.OK) near.end(withoutHop(received.metadata));
        else near.emit('error', { ...received, metadata: withoutHop(received.metadata) });
      }),
    );
  });
}

/** Messages of one direction: changed and sent one after the other. */
class Lane {
  #tail: Promise<void> = Promise.resolve();
  readonly #call: RelayedCall;
  readonly #seen: Buffer[];
  readonly #rewrite: Rewrite | undefined;
  readonly #send: (bytes: Buffer) => unknown;
  readonly #fail: (error: Error) => void;

  constructor(
    call: RelayedCall,
    seen: Buffer[],
    rewrite: Rewrite | undefined,
    send: (bytes: Buffer) => unknown,
    fail: (error: Error) => void,
  ) {
    this.#fail = fail;
    this.#call = call;
    this.#seen = seen;
    this.#rewrite = rewrite;
    this.#send = send;
  }

  add(bytes: Buffer): void {
    const index = this.#seen.push(bytes) - 1;
    this.#tail = this.#tail.then(async () => {
      const changed = (await this.#rewrite?.(bytes, this.#call, index)) ?? bytes;
      for (const one of Buffer.isBuffer(changed) ? [changed] : changed) this.#send(one);
    });
  }

  end(then: () => void): void {
    this.#tail = this.#tail.then(then);
    this.#tail.catch(this.#fail);
  }
}

function withoutHop(metadata: Metadata): Metadata {
  const kept = metadata.clone();
  for (const name of HOP) kept.remove(name);
  return kept;
}
