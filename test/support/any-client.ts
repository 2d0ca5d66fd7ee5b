/** Calls and handlers of every call type, with lists of messages in and out. */
import { credentials, type ServiceDefinition } from '@grpc/grpc-js';
import { SealedClient, type SealedClientOptions } from '../../src/client/client.js';
import type { SealedServiceDefinition } from '../../src/schema/plan.js';

type AnyService = SealedServiceDefinition<ServiceDefinition>;

/** Calls any method of a service by its name in the proto. */
export class AnyClient extends SealedClient {
  readonly #definition: ServiceDefinition;

  constructor(address: string, service: AnyService, options: SealedClientOptions) {
    super(address, credentials.createInsecure(), service, options);
    this.#definition = service.definition;
  }

  /** @returns all responses */
  async exchange(method: string, requests: readonly object[]): Promise<object[]> {
    const found = Object.entries(this.#definition).find(([, { path }]) => path.endsWith(`/${method}`));
    if (found === undefined) throw new Error(`no method ${method}`);
    const [key, { requestStream, responseStream }] = found;
    const [first] = requests as readonly [object];
    if (requestStream && responseStream) return collect(this.bidiStream<object, object>(key, requests));
    if (responseStream) return collect(this.serverStream<object, object>(key, first));
    if (requestStream) return [await this.clientStream<object, object>(key, requests)];
    return [await this.unary<object, object>(key, first)];
  }
}

/** What a test's handler gets and gives. */
export interface Conversation {
  readonly receive: (request: object) => void;
  /** Responses, when all requests have come; of a bidirectional stream one is sent after each request. */
  readonly replies: readonly object[];
}

/** The part of grpc-js's server calls that is needed here. */
interface ServerCall extends AsyncIterable<object> {
  readonly request: object;
  write(message: object): void;
  end(): void;
}
type Handler = (call: ServerCall, callback: (error: null, value?: object) => void) => void | Promise<void>;

/** @returns handlers of all methods, by the definition's keys; the conversation is asked for at each call */
export function createHandlers({ definition }: AnyService, conversation: () => Conversation): Record<string, Handler> {
  const handlers = Object.entries(definition).map(([key, { requestStream, responseStream }]): [string, Handler] => [
    key,
    async (call, callback) => {
      const { receive, replies } = conversation();
      const left = [...replies];
      if (!requestStream) receive(call.request);
      else {
        for await (const request of call) {
          receive(request);
          const reply = responseStream ? left.shift() : undefined;
          if (reply !== undefined) call.write(reply);
        }
      }
      if (!responseStream) return callback(null, left[0]);
      for (const reply of left) call.write(reply);
      call.end();
    },
  ]);
  return Object.fromEntries(handlers);
}

/** @returns everything that comes */
export async function collect<T>(messages: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const message of messages) collected.push(message);
  return collected;
}
