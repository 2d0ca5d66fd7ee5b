/** Services with handlers of a test's own behind a rewriting relay, and clients in front of it. */

import type { ServiceDefinition } from '@grpc/grpc-js';
import { type ChannelCredentials, credentials, Metadata, Server, ServerCredentials } from '@grpc/grpc-js';
import { type SealedCallOptions, SealedClient, type SealedClientOptions } from '../../src/client/client.js';
import { SealwireError } from '../../src/errors.js';
import { SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import { staticKeySource } from '../../src/keys/key-source.js';
import { KeyRing } from '../../src/keys/ring.js';
import type { SealedServiceDefinition } from '../../src/schema/plan.js';
import { addSealedService } from '../../src/server/add-service.js';
import type { AuditSink, CallRecord } from '../../src/server/audit-sink.js';
import {
  createOpenInterceptor,
  type OpenInterceptor,
  type OpenInterceptorOptions,
} from '../../src/server/open-interceptor.js';
import { type RewritingRelay, startRewritingRelay } from './rewriting-relay.js';

/** A service with its handlers, which may be looser than the generated types. */
export interface BenchService {
  readonly service: SealedServiceDefinition<ServiceDefinition>;
  readonly handlers: object;
}

/** Options of {@link startBench}. */
export interface BenchOptions {
  readonly services: readonly BenchService[];
  readonly open?: Partial<OpenInterceptorOptions>;
  readonly client?: Partial<SealedClientOptions>;
  /** Server interceptors nearer to the wire than ours, and nearer to the handler. */
  readonly around?: readonly [outer: OpenInterceptor['interceptor'][], inner: OpenInterceptor['interceptor'][]];
}

/** An audit sink in memory. */
export class MemorySink implements AuditSink {
  readonly records: CallRecord[] = [];
  readonly notes: CallRecord[] = [];
  /** How many of the next records cannot be written. */
  failures = 0;

  async commit(input: CallRecord): Promise<void> {
    if (this.failures > 0) {
      this.failures--;
      throw new SealwireError('AUDIT_FAILED', 'no disk');
    }
    this.records.push(input);
  }

  note(input: CallRecord): void {
    this.notes.push(input);
  }
}

/** A running server, a relay before it and a client of payments. */
export interface Bench {
  readonly relay: RewritingRelay;
  /** Of the server itself, past the relay. */
  readonly address: string;
  readonly ring: KeyRing;
  readonly audit: MemorySink;
  readonly opener: OpenInterceptor;
  /** Goes through the relay. */
  readonly client: SealedPaymentServiceClient;
  /** A client of any of the services through the relay. */
  connect(service: SealedServiceDefinition<ServiceDefinition>, options?: Partial<SealedClientOptions>): AnyClient;
  stop(): void;
}

/** Any method of any service. */
export class AnyClient extends SealedClient {
  call(method: string, request: object, options?: SealedCallOptions): Promise<object> {
    return this.unary(method, request, options);
  }

  read(method: string, request: object, options?: SealedCallOptions): AsyncIterable<object> {
    return this.serverStream(method, request, options);
  }

  talk(method: string, requests: Iterable<object>, options?: SealedCallOptions): AsyncIterable<object> {
    return this.bidiStream(method, requests, options);
  }
}

const insecure = (): ChannelCredentials => credentials.createInsecure();

/** Starts services, a relay and a client. */
export async function startBench(options: BenchOptions): Promise<Bench> {
  const ring = await KeyRing.create();
  const audit = new MemorySink();
  const services = options.services.map(({ service }) => service);
  const opener = createOpenInterceptor({ services, keys: ring, audit, ...options.open });
  const [outer, inner] = options.around ?? [[], []];
  const server = new Server({ interceptors: [...outer, opener.interceptor, ...inner] });
  for (const { service, handlers } of options.services) addSealedService(server, service, handlers, () => {});
  const port = await new Promise<number>((resolve, reject) => {
    const bound = (error: Error | null, value: number) => (error ? reject(error) : resolve(value));
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), bound);
  });
  const definitions = services.map(({ definition }) => definition);
  const address = `127.0.0.1:${port}`;
  const relay = await startRewritingRelay(address, definitions);
  const clientOptions: SealedClientOptions = { keys: staticKeySource(ring.current()), ...options.client };
  const client = new SealedPaymentServiceClient(relay.address, insecure(), clientOptions);
  const clients: SealedClient[] = [client];
  return {
    relay,
    address,
    ring,
    audit,
    opener,
    client,
    connect(service, own) {
      const one = new AnyClient(relay.address, insecure(), service, { ...clientOptions, ...own });
      clients.push(one);
      return one;
    },
    stop() {
      for (const one of clients) one.close();
      relay.close();
      server.forceShutdown();
    },
  };
}

/** Metadata with one value. */
export function metadataOf(name: string, value: string): Metadata {
  const metadata = new Metadata();
  metadata.set(name, value);
  return metadata;
}

/** All messages of a stream, as far as they came, and how it ended. */
export async function readToEnd<T>(stream: AsyncIterable<T>): Promise<{ messages: T[]; error: unknown }> {
  const messages: T[] = [];
  try {
    for await (const message of stream) messages.push(message);
  } catch (error) {
    return { messages, error };
  }
  return { messages, error: undefined };
}
