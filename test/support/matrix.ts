/** Every call type × direction × place of a sealed field, between two sources of plans. */
import { Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';
import { expect } from 'chai';
import { staticKeySource } from '../../src/keys/key-source.js';
import { KeyRing } from '../../src/keys/ring.js';
import type { MessagePlan, SealedServiceDefinition } from '../../src/schema/plan.js';
import { addSealedService } from '../../src/server/add-service.js';
import type { CallRecord } from '../../src/server/audit-sink.js';
import { createOpenInterceptor } from '../../src/server/open-interceptor.js';
import { AnyClient, type Conversation, createHandlers } from './any-client.js';
import { canariesIn } from './canary.js';
import { type PlacedMessage, places } from './matrix-cases.js';
import { type RecordingRelay, startRecordingRelay } from './recording-relay.js';
import { asOpened, buildMessage, withoutUndefined } from './sealed-json.js';
import { descriptorRegistry, type Source } from './sources.js';

const SERVICES = ['matrix.v1.RequestService', 'matrix.v1.ResponseService', 'matrix.v1.ExchangeService'] as const;
/** Which of its messages are sealed. */
const directions = {
  request: { service: 'matrix.v1.RequestService', request: true, response: false },
  response: { service: 'matrix.v1.ResponseService', request: false, response: true },
  'request and response': { service: 'matrix.v1.ExchangeService', request: true, response: true },
} as const;
export const callTypes = {
  Unary: { requests: 1, responses: 1 },
  ClientStream: { requests: 3, responses: 1 },
  ServerStream: { requests: 1, responses: 3 },
  BidiStream: { requests: 3, responses: 3 },
} as const;

/** What a clear message says, so that a test knows that it looks at messages at all. */
const LABEL = 'label-in-clear';

/**
 * Declares the matrix for a client of one source and a server of another (or the same).
 *
 * @param client made in a hook, since some sources need descriptors
 * @param ways what differs for clients that are not on grpc-js
 */
export function describeMatrix(
  name: string,
  client: () => Source,
  server: () => Source = client,
  { connect = connectGrpc, methods = callTypes }: Partial<ClientWays> = {},
): void {
  describe(`every call, direction and place with ${name}`, () => {
    let bench: MatrixBench;
    before(async () => {
      bench = await MatrixBench.start(client(), server(), connect);
    });
    after(() => bench.stop());

    for (const [method, { requests, responses }] of Object.entries(methods)) {
      for (const [direction, sealedIn] of Object.entries(directions)) {
        for (const [place, make] of Object.entries(places)) {
          it(`${method}: ${direction}, ${place}`, async () => {
            const sent = series(requests, sealedIn.request ? make : clear);
            const answered = series(responses, sealedIn.response ? make : clear);
            const { received, replies, wire, records } = await bench.exchange(sealedIn.service, method, sent, answered);

            const plan = bench.server.service(sealedIn.service).plan.methods[`/${sealedIn.service}/${method}`]!;
            expect(received, 'the handler').to.deep.equal(bench.expected(bench.server, plan.request, sent));
            expect(replies, 'the caller').to.deep.equal(bench.expected(bench.client, plan.response, answered));
            expect(wire.split(LABEL).length - 1, 'messages on the wire').to.be.at.least(requests + responses);
            expect(canariesIn(wire), 'the wire').to.deep.equal([]);
            expect(canariesIn(JSON.stringify(records)), 'the records').to.deep.equal([]);
            expect(pathsOf(records, 'open', 'opened')).to.deep.equal(sealedPaths(sent));
            expect(pathsOf(records, 'seal', 'sealed')).to.deep.equal(sealedPaths(answered));
          });
        }
      }
    }
  });
}

/** Calls a service's methods by name. */
export interface MatrixClient {
  /** @returns all responses */
  exchange(method: string, requests: readonly object[]): Promise<object[]>;
  close(): void;
}

/** Clients of another kind, and the methods that they can call. */
export interface ClientWays {
  readonly connect: (
    address: string,
    service: SealedServiceDefinition<ServiceDefinition>,
    ring: KeyRing,
  ) => MatrixClient;
  readonly methods: Readonly<Record<string, { readonly requests: number; readonly responses: number }>>;
}

const connectGrpc: ClientWays['connect'] = (address, service, ring) =>
  new AnyClient(address, service, { keys: staticKeySource(ring.current()) });

const clear = (): PlacedMessage => ({ json: {}, paths: [] });

/** Each with the label that shows on the wire. */
function series(count: number, make: (index: number) => PlacedMessage): PlacedMessage[] {
  return Array.from({ length: count }, (_unused, index) => {
    const { json, paths } = make(index);
    return { json: { label: `${LABEL} ${index}`, ...json }, paths };
  });
}

/** Paths of the tokens of each message that has any: the others leave no record. */
function sealedPaths(messages: readonly PlacedMessage[]): (readonly string[])[] {
  return messages.map(({ paths }) => paths).filter((paths) => paths.length > 0);
}

/** The same as recorded, by event. */
function pathsOf(records: readonly CallRecord[], event: CallRecord['event'], outcome: string): string[][] {
  return records
    .filter((record) => record.event === event)
    .map(({ fields }) => fields.map((field) => (field.outcome === outcome ? field.path : field.outcome)));
}

/** What one call showed. */
interface Exchange {
  readonly received: unknown[];
  readonly replies: unknown[];
  /** All bytes, both ways. */
  readonly wire: string;
  readonly records: readonly CallRecord[];
}

/** A server behind a relay, and clients of all services. */
class MatrixBench {
  readonly #registry = descriptorRegistry();
  readonly #server: Server;
  readonly #relay: RecordingRelay;
  readonly #clients: ReadonlyMap<string, MatrixClient>;
  readonly #records: CallRecord[];
  readonly #talk: { now: Conversation };

  private constructor(
    readonly client: Source,
    readonly server: Source,
    parts: {
      grpcServer: Server;
      relay: RecordingRelay;
      clients: Map<string, MatrixClient>;
      records: CallRecord[];
      talk: { now: Conversation };
    },
  ) {
    this.#server = parts.grpcServer;
    this.#relay = parts.relay;
    this.#clients = parts.clients;
    this.#records = parts.records;
    this.#talk = parts.talk;
  }

  static async start(client: Source, server: Source, connect: ClientWays['connect']): Promise<MatrixBench> {
    const ring = await KeyRing.create();
    const records: CallRecord[] = [];
    const talk = { now: { receive: () => {}, replies: [] } as Conversation };
    const note = (record: CallRecord) => void records.push(record);
    const services = SERVICES.map((name) => server.service(name));
    const audit = { commit: async (record: CallRecord) => note(record), note };
    const { interceptor } = createOpenInterceptor({ services, keys: ring, audit });
    const grpcServer = new Server({ interceptors: [interceptor] });
    for (const service of services) {
      addSealedService(
        grpcServer,
        service,
        createHandlers(service, () => talk.now),
      );
    }
    const port = await new Promise<number>((resolve, reject) => {
      const bound = (error: Error | null, value: number) => (error ? reject(error) : resolve(value));
      grpcServer.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), bound);
    });
    const relay = await startRecordingRelay(`127.0.0.1:${port}`);
    const clients = new Map(SERVICES.map((name) => [name, connect(relay.address, client.service(name), ring)]));
    return new MatrixBench(client, server, { grpcServer, relay, clients, records, talk });
  }

  async stop(): Promise<void> {
    for (const client of this.#clients.values()) client.close();
    this.#server.forceShutdown();
    await this.#relay.close();
  }

  async exchange(
    service: (typeof SERVICES)[number],
    method: string,
    sent: readonly PlacedMessage[],
    answered: readonly PlacedMessage[],
  ): Promise<Exchange> {
    const { request, response } = this.#typesOf(service, method);
    const received: object[] = [];
    this.#talk.now = {
      receive: (message) => received.push(message),
      replies: answered.map(({ json }) => deepFreeze(buildMessage(this.#registry, this.server, response, json))),
    };
    this.#records.length = 0;
    const before = this.#relay.seen().length;
    const requests = sent.map(({ json }) => deepFreeze(buildMessage(this.#registry, this.client, request, json)));
    const replies = await this.#clients.get(service)!.exchange(method, requests);
    return {
      received: received.map(withoutUndefined),
      replies: replies.map(withoutUndefined),
      wire: this.#relay.seen().slice(before),
      records: [...this.#records],
    };
  }

  /** Messages as whoever opens them gets them. */
  expected(source: Source, plan: MessagePlan | undefined, messages: readonly PlacedMessage[]): unknown[] {
    const typeName = plan?.typeName ?? 'matrix.v1.Clear';
    return messages.map(({ json }) => {
      const message = buildMessage(this.#registry, source, typeName, json);
      return withoutUndefined(plan === undefined ? message : asOpened(plan, message));
    });
  }

  #typesOf(service: string, method: string): { request: string; response: string } {
    const desc = this.#registry.getService(service)?.methods.find(({ name }) => name === method);
    return { request: desc!.input.typeName, response: desc!.output.typeName };
  }
}

/** Sealing must not write to the caller's or the handler's message. */
function deepFreeze<T extends object>(value: T): T {
  for (const part of Object.values(value)) if (typeof part === 'object' && part !== null) deepFreeze(part as object);
  return Object.freeze(value);
}
