/** Calls any method of a schema. Messages are opened on this side and carry tokens on the wire. */
import type { ChannelCredentials } from '@grpc/grpc-js';
import { type SealedCallOptions, SealedClient, type SealedClientOptions } from '../../client/client.js';
import type { JsonMethod } from '../json/json-messages.js';

const KEY = 'call';

/** A client of one method. */
export class MethodClient extends SealedClient {
  readonly #plan: JsonMethod['plan'];

  /** @param method of a `JsonSchema`; the other parameters are those of `SealedClient` */
  constructor(address: string, credentials: ChannelCredentials, method: JsonMethod, options: SealedClientOptions) {
    const { path, plan, request, response, service } = method;
    const { requestStream, responseStream } = plan;
    const definition = {
      [KEY]: {
        path,
        requestStream,
        responseStream,
        requestSerialize: (message: object) => Buffer.from(request.encode(message)),
        requestDeserialize: (bytes: Buffer) => request.decode(bytes),
        responseSerialize: (message: object) => Buffer.from(response.encode(message)),
        responseDeserialize: (bytes: Buffer) => response.decode(bytes),
      },
    };
    super(address, credentials, { definition, plan: { typeName: service, methods: { [path]: plan } } }, options);
    this.#plan = plan;
  }

  /**
   * @param requests a method without a request stream sends the first alone, or an empty message
   * @returns responses as they come
   */
  async *exchange(
    requests: AsyncIterable<object> | Iterable<object>,
    options: SealedCallOptions = {},
  ): AsyncGenerator<object> {
    const { requestStream, responseStream } = this.#plan;
    if (requestStream && responseStream) yield* this.bidiStream<object, object>(KEY, requests, options);
    else if (requestStream) yield await this.clientStream<object, object>(KEY, requests, options);
    else {
      const request = (await firstOf(requests)) ?? {};
      if (responseStream) yield* this.serverStream<object, object>(KEY, request, options);
      else yield await this.unary<object, object>(KEY, request, options);
    }
  }
}

async function firstOf<T>(items: AsyncIterable<T> | Iterable<T>): Promise<T | undefined> {
  for await (const item of items) return item;
  return undefined;
}
