/** Base class of generated clients: promises for single replies, async iterables for streams. */
import {
  type CallOptions,
  type ChannelCredentials,
  Client,
  type ClientOptions,
  type ClientReadableStream,
  type Interceptor,
  Metadata,
  type ServiceDefinition,
  type ServiceError,
} from '@grpc/grpc-js';
import type { MeterProvider } from '@opentelemetry/api';
import { SealwireError } from '../errors.js';
import type { SealingSessions } from '../jwe/sender.js';
import type { KeySource } from '../keys/key-source.js';
import { describeFailure, type ErrorDetails } from '../profile/error-details.js';
import { readErrorDetails, STATUS_DETAILS_KEY } from '../schema/error-status.js';
import type { SealedServiceDefinition, ServicePlan } from '../schema/plan.js';
import { cancelOnAbort, cancelSoon, checkCredentials, type SealedCallOptions } from './call-options.js';
import type { CallSealer, CredentialFunction } from './call-sealer.js';
import { DirectCalls, type Settle } from './direct-call.js';
import { refreshKeys } from './refresh-keys.js';
import { createCallSealer, interceptWith } from './seal-interceptor.js';
import { readAll, writeAll } from './stream-messages.js';

export type { SealedCallOptions } from './call-options.js';

/** Options of a generated client. */
export interface SealedClientOptions {
  /** Where the recipients' public keys come from. */
  readonly keys: KeySource;
  /** Agreement sessions to share with other clients of this process. Default: the client's own. */
  readonly sessions?: SealingSessions;
  /** The caller's credential, sealed into reply tokens for the service's `authenticateCaller`. Default: none. */
  readonly credential?: CredentialFunction;
  /** Interceptors between the application and sealing: they see opened messages. */
  readonly interceptors?: readonly Interceptor[];
  /** Interceptors between sealing and the wire: they see tokens. */
  readonly wireInterceptors?: readonly Interceptor[];
  /** grpc-js channel options, e.g. keep-alive. */
  readonly channelOptions?: Omit<ClientOptions, 'interceptors' | 'interceptor_providers'>;
  /** Where metrics go. Default: OpenTelemetry's global meter provider. */
  readonly meterProvider?: MeterProvider;
  /** Whether what looks like a token goes out as it is in fields of the service too. Default false. */
  readonly forwardTokens?: boolean;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
}

type Method = ServiceDefinition[string];

/** Calls a service whose messages have sealed fields; generated subclasses give each method its types. */
export class SealedClient {
  readonly #client: Client;
  readonly #definition: ServiceDefinition;
  readonly #plan: ServicePlan;
  readonly #keys: KeySource;
  readonly #sealing: CallSealer;
  readonly #interceptors: Interceptor[];
  /** Undefined if an interceptor wants to see each call's messages. */
  readonly #direct: DirectCalls | undefined;

  /**
   * @param address grpc-js target, e.g. `localhost:50051`
   * @param credentials grpc-js channel credentials
   * @param service the generated service
   * @param options keys, interceptors, channel options
   */
  constructor(
    address: string,
    credentials: ChannelCredentials,
    service: SealedServiceDefinition<ServiceDefinition>,
    options: SealedClientOptions,
  ) {
    checkCredentials(credentials);
    const { keys, sessions, credential, meterProvider, forwardTokens, now } = options;
    const sealing = createCallSealer({
      keys,
      ...(sessions && { sessions }),
      ...(credential && { credential }),
      ...(meterProvider && { meterProvider }),
      ...(forwardTokens && { forwardTokens }),
      ...(now && { now }),
    });
    this.#definition = takeEncoded(service.definition);
    this.#plan = service.plan;
    this.#keys = keys;
    this.#sealing = sealing;
    const { interceptors = [], wireInterceptors = [], channelOptions = {} } = options;
    this.#client = new Client(address, credentials, channelOptions);
    // What comes after it may change what the service gets.
    const isLast = wireInterceptors.length === 0 && channelOptions.callInvocationTransformer === undefined;
    this.#interceptors = [...interceptors, interceptWith([service], sealing, isLast), ...wireInterceptors];
    this.#direct = isLast && interceptors.length === 0 ? new DirectCalls(this.#client, sealing) : undefined;
  }

  /** Closes the channel; calls under way end as cancelled. */
  close(): void {
    this.#direct?.flush();
    this.#client.close();
  }

  protected async unary<I, O>(method: string, request: I, options: SealedCallOptions = {}): Promise<O> {
    const definition = this.#method(method);
    try {
      return (await this.#unaryOnce(definition, request, options)) as O;
    } catch (error) {
      if (await this.#hasNewKey(error, definition.path, options)) {
        return (await this.#unaryOnce(definition, request, options)) as O;
      }
      if (error instanceof Error) addCaller(error);
      throw error;
    }
  }

  #unaryOnce(definition: Method, request: unknown, options: SealedCallOptions): Promise<unknown> {
    return new Promise((resolve, reject) => {
      options.signal?.throwIfAborted();
      const settle: Settle = (error, response) => {
        if (error === null) resolve(response);
        else reject(error);
      };
      const plan = this.#plan.methods[definition.path];
      if (plan && this.#direct?.tryCall(plan, definition, request as object, options, settle)) return;
      const { path, requestSerialize, responseDeserialize } = definition;
      const call = this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        options.metadata ?? new Metadata(),
        this.#callOptions(options),
        (error, response) => {
          release();
          settle(error, response);
        },
      );
      const release = cancelOnAbort(call, options.signal);
    });
  }

  protected async clientStream<I, O>(
    method: string,
    requests: AsyncIterable<I> | Iterable<I>,
    options: SealedCallOptions = {},
  ): Promise<O> {
    const { path, requestSerialize, responseDeserialize } = this.#method(method);
    options.signal?.throwIfAborted();
    let writing: Promise<void> = Promise.resolve();
    const reply = new Promise<O>((resolve, reject) => {
      const call = this.#client.makeClientStreamRequest<I, O>(
        path,
        requestSerialize,
        responseDeserialize,
        options.metadata ?? new Metadata(),
        this.#callOptions(options),
        (error, value) => {
          release();
          if (error) reject(error);
          else resolve(value as O);
        },
      );
      const release = cancelOnAbort(call, options.signal);
      writing = writeAll(call, requests);
      writing.catch((error: unknown) => {
        cancelSoon(call);
        reject(error);
      });
    });
    return await reply;
  }

  protected serverStream<I, O>(method: string, request: I, options: SealedCallOptions = {}): AsyncIterable<O> {
    const { path, requestSerialize, responseDeserialize } = this.#method(method);
    const open = () =>
      this.#client.makeServerStreamRequest<I, O>(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        options.metadata ?? new Metadata(),
        this.#callOptions(options),
      );
    return this.#readWithRetry<O>(path, options, open);
  }

  async *#readWithRetry<O>(
    path: string,
    options: SealedCallOptions,
    open: () => ClientReadableStream<O>,
  ): AsyncGenerator<O, void, undefined> {
    const { signal } = options;
    let received = false;
    try {
      for await (const message of readAll<O>(signal, open)) {
        received = true;
        yield message;
      }
      return;
    } catch (error) {
      if (received || !(await this.#hasNewKey(error, path, options))) throw error;
    }
    yield* readAll<O>(signal, open);
  }

  /** After the service refused a key: looks for a newer one. A call is made again once, never more. */
  async #hasNewKey(error: unknown, path: string, options: SealedCallOptions): Promise<boolean> {
    const keys = this.#keys;
    const plan = this.#plan.methods[path];
    if (keys.refresh === undefined || plan === undefined) return false;
    if (errorDetails(error)?.reason !== 'SEALED_FIELD_UNKNOWN_KEY') return false;
    const refreshed = await refreshKeys(keys, this.#sealing.recipientsOf(plan), options);
    options.signal?.throwIfAborted();
    return refreshed;
  }

  protected bidiStream<I, O>(
    method: string,
    requests: AsyncIterable<I> | Iterable<I>,
    options: SealedCallOptions = {},
  ): AsyncIterable<O> {
    const { path, requestSerialize, responseDeserialize } = this.#method(method);
    return readAll<O>(options.signal, () => {
      const call = this.#client.makeBidiStreamRequest<I, O>(
        path,
        requestSerialize,
        responseDeserialize,
        options.metadata ?? new Metadata(),
        this.#callOptions(options),
      );
      writeAll(call, requests).catch((error: unknown) => call.destroy(error as Error));
      return call;
    });
  }

  #callOptions({ deadline }: SealedCallOptions): CallOptions {
    return { interceptors: this.#interceptors, ...(deadline !== undefined && { deadline }) };
  }

  #method(name: string): Method {
    const method = this.#definition[name];
    if (method === undefined) throw new SealwireError('OPTIONS_INVALID', `the service has no method '${name}'`);
    return method;
  }
}

/** The same methods, which send a message that is encoded already as it is. */
function takeEncoded(definition: ServiceDefinition): ServiceDefinition {
  const methods = Object.entries(definition).map(([name, method]): [string, Method] => {
    const requestSerialize = (message: unknown) =>
      Buffer.isBuffer(message) ? message : method.requestSerialize(message);
    return [name, { ...method, requestSerialize }];
  });
  return Object.fromEntries(methods);
}

/**
 * What is known of a failed call: what the service said, or what was found on this side before the call was sent or
 * in what came back (`code`; the error's `cause` is then a {@link SealwireError}).
 *
 * @param error a rejection of a call, or a {@link SealwireError}
 * @returns reason or code, field path and metadata, or undefined when the failure is not one of sealed fields
 *
 * @example
 * ```ts
 * import { errorDetails } from 'sealwire';
 *
 * export function describe(error: unknown): string {
 *   const details = errorDetails(error);
 *   if (details === undefined) return 'not an error of sealed fields';
 *   return `${details.code ?? details.reason} at ${details.field ?? 'no field'}`;
 * }
 * ```
 */
export function errorDetails(error: unknown): ErrorDetails | undefined {
  const { metadata } = (error ?? {}) as Partial<ServiceError>;
  // Not `instanceof`: a wrapper may have made the error with another copy of grpc-js.
  const [details] = typeof metadata?.get === 'function' ? metadata.get(STATUS_DETAILS_KEY) : [];
  return describeFailure(error, Buffer.isBuffer(details) ? readErrorDetails(details) : undefined);
}

/**
 * Shows where the application made a failed call. Taken after the failure, which costs calls that succeed nothing: V8
 * knows
 * who awaits this one.
 */
function addCaller(error: Error): void {
  // For a call that was started at once, grpc-js has said so already.
  if (error.stack?.includes('\nfor call at\n')) return;
  const caller: { readonly stack?: string } = {};
  Error.captureStackTrace(caller, addCaller);
  error.stack = `${error.stack}\nfor call at\n${caller.stack?.split('\n').slice(1).join('\n')}`;
}
