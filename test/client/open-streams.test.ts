/** Whatever ends a call on the caller's side, its HTTP/2 stream ends too: a connection has room for a hundred. */
import type { Http2Server, ServerHttp2Stream } from 'node:http2';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Client, credentials, Metadata, Server, ServerCredentials } from '@grpc/grpc-js';
import type { SealedCallOptions } from '../../src/client/client.js';
import { createSealInterceptor } from '../../src/client/seal-interceptor.js';
import { staticKeySource } from '../../src/keys/key-source.js';
import { KeyRing } from '../../src/keys/ring.js';
import { createOpenInterceptor } from '../../src/server/open-interceptor.js';
import {
  addSealedRequestService,
  type OpenedPlaces,
  SealedRequestService,
  SealedRequestServiceClient,
  type SealedRequestServiceServer,
} from '../gen/matrix/v1/matrix_sealed.js';
import { collect } from '../support/any-client.js';
import { clientWays } from '../support/client-ways.js';
import { failureOf } from '../support/harness.js';

/** The streams of a server that are open, as its HTTP/2 tells. */
class OpenStreams {
  readonly #open = new Set<ServerHttp2Stream>();
  #check = () => {};

  constructor(server: Server) {
    // grpc-js itself tells of calls, which may be over when their streams are not.
    const { http2Servers } = server as unknown as { readonly http2Servers: ReadonlyMap<Http2Server, unknown> };
    for (const http2 of http2Servers.keys()) http2.on('stream', (stream) => this.#add(stream));
  }

  #add(stream: ServerHttp2Stream): void {
    this.#open.add(stream);
    stream.once('close', () => {
      this.#open.delete(stream);
      this.#check();
    });
  }

  /** Resolves when none is open. */
  closed(): Promise<void> {
    return new Promise((resolve) => {
      this.#check = () => this.#open.size === 0 && resolve();
      this.#check();
    });
  }
}

const good = { label: 'good', many: [], named: {}, leaves: [], leafByName: {}, parts: [] } as unknown as OpenedPlaces;
/** No answer comes to it. */
const silent = { ...good, label: 'silent' };
const bad: Record<string, object> = {
  'an inner message that is too large': { singular: { text: 'x'.repeat(70_000), more: [] } },
  'what cannot be sealed': { singular: 'no message' },
  'what cannot be encoded': {
    label: {
      toString() {
        throw new Error('no text');
      },
    },
  },
};

type Call = (client: SealedRequestServiceClient, request: object, options?: SealedCallOptions) => Promise<unknown>;
const calls: Record<string, Call> = {
  unary: (client, request, options) => client.unary_(request as OpenedPlaces, options),
  clientStream: (client, request, options) => client.clientStream_(requestsOf(request), options),
  serverStream: (client, request, options) => collect(client.serverStream_(request as OpenedPlaces, options)),
  bidiStream: (client, request, options) => collect(client.bidiStream_(requestsOf(request), options)),
};

/** The request, and then no end of the requests. */
async function* requestsOf(request: object): AsyncGenerator<OpenedPlaces> {
  if (request instanceof Error) throw request;
  yield request as OpenedPlaces;
  await new Promise(() => {});
}

/** Where a call may come from: grpc-js has promises of its own, which run before or after what follows. */
const beginnings: Record<string, <T>(call: () => Promise<T>) => Promise<T>> = {
  'from a callback': (call) => new Promise((resolve) => setImmediate(() => resolve(call()))),
  'after an await': async (call) => {
    await nextTurn();
    return await call();
  },
};

describe('a call that ends on the side of the caller leaves no stream open', function () {
  this.timeout(3_000);
  let server: Server;
  let streams: OpenStreams;
  let clients: SealedRequestServiceClient[];
  let plain: Client;
  before(async () => {
    const keys = await KeyRing.create();
    const audit = { commit: () => Promise.resolve(), note() {} };
    const { interceptor } = createOpenInterceptor({ services: [SealedRequestService], keys, audit });
    server = new Server({ interceptors: [interceptor] });
    const handlers: Partial<SealedRequestServiceServer> = {
      unary: ({ request }, callback) => void (request.label === 'good' && callback(null, { label: 'answer' })),
      clientStream() {},
      serverStream() {},
      bidiStream() {},
    };
    addSealedRequestService(server, handlers, () => {});
    const port = await new Promise<number>((resolve, reject) => {
      const bound = (error: Error | null, value: number) => (error ? reject(error) : resolve(value));
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), bound);
    });
    streams = new OpenStreams(server);
    const source = staticKeySource(keys.current());
    const insecure = credentials.createInsecure();
    clients = await Promise.all(
      Object.values(clientWays).map(async (optionsFor) => {
        const options = { keys: source, ...(await optionsFor(keys.current())) };
        return new SealedRequestServiceClient(`127.0.0.1:${port}`, insecure, options);
      }),
    );
    const seal = createSealInterceptor({ services: [SealedRequestService], keys: source });
    plain = new Client(`127.0.0.1:${port}`, insecure, { interceptors: [seal] });
  });
  after(() => {
    for (const client of [...clients, plain]) client.close();
    server.forceShutdown();
  });

  /** Makes a call that fails, in every way, and waits for the end of all streams. */
  async function fail(make: (client: SealedRequestServiceClient) => Promise<unknown>): Promise<void> {
    for (const client of clients) {
      // With the connection and an agreement at hand.
      await client.unary_({ ...good, singular: { text: 'text', more: [] } });
      for (const begin of Object.values(beginnings)) await begin(() => failureOf(make(client)));
      await client.unary_(good);
      await streams.closed();
    }
  }

  for (const [type, call] of Object.entries(calls)) {
    for (const [what, change] of Object.entries(bad)) {
      it(`${type}: ${what}`, () => fail((client) => call(client, { ...good, ...change })));
    }

    it(`${type}: aborted in the turn of its start`, () =>
      fail((client) => {
        const abort = new AbortController();
        const calling = call(client, { ...silent, singular: { text: 'text', more: [] } }, { signal: abort.signal });
        abort.abort();
        return calling;
      }));
  }

  for (const type of ['clientStream', 'bidiStream'] as const) {
    it(`${type}: requests that throw`, () => fail((client) => calls[type]!(client, new Error('no requests'))));
  }

  it("a call of grpc-js's own client", async () => {
    const { path, requestSerialize, responseDeserialize } = SealedRequestService.definition.clientStream;
    const codec = [path, requestSerialize as (value: object) => Buffer, responseDeserialize] as const;
    const ends: (() => unknown)[] = Object.values(bad).map((change) => () => open().write({ ...good, ...change }));
    ends.push(() => open().cancel());
    let settle = () => {};
    const open = () => plain.makeClientStreamRequest(...codec, new Metadata(), {}, () => settle());
    for (const end of ends) {
      for (const begin of Object.values(beginnings)) {
        await begin(() => {
          end();
          return new Promise<void>((resolve) => {
            settle = resolve;
          });
        });
      }
    }
    await clients[0]?.unary_(good);
    await streams.closed();
  });
});
