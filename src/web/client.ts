/** Base class of generated clients for browsers: promises for single replies, async iterables for streams. */
import {
  type DescExtension,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  toBinary,
} from '@bufbuild/protobuf';
import { type CallOptions, Code, ConnectError, type Transport } from '@connectrpc/connect';
import { REPLY_METADATA } from '../profile/replies.js';
import { hasOwnFields, recipientsOf } from '../schema/walk.js';
import { errorDetails, replyRefusal, toConnectError } from './call-errors.js';
import { CallTime } from './call-time.js';
import type { WebSealer, WebSealingCall } from './crypto/sealer.js';
import { type DescribedMethod, DescribedPlans, type SealedExtension } from './messages/described-plans.js';
import { openResponse } from './messages/open-response.js';
import { SealedRequest } from './messages/sealed-request.js';

/** Options of a generated client. */
export interface SealedWebClientOptions {
  /** Seals the client's calls; clients of one page share it, and so its agreements. */
  readonly sealer: WebSealer;
  /**
   * Whether the transport writes binary protobuf and none of its interceptors changes a request: with Connect, `true`
   * goes with `useBinaryFormat: true`. A copied reply token is then good for the same request only. Default false.
   */
  readonly binary?: boolean;
}

/** Ms that a key source may take to find a newer key. */
const MAX_REFRESH_MS = 30_000;

type Method = DescMethodUnary | DescMethodServerStreaming;
const SINGLE_REQUEST: readonly string[] = ['unary', 'server_streaming'];

/** A call that is made once, or twice if the service asks for a newer key. */
interface PreparedCall {
  readonly method: Method;
  readonly plan: DescribedMethod;
  readonly request: SealedRequest;
  readonly options: CallOptions;
  readonly time: CallTime;
}

/** What the transport gets. */
interface SealedCall {
  /** Opens the replies; undefined where none is sealed for this caller. */
  readonly sealing: WebSealingCall | undefined;
  readonly message: object;
  readonly headers: Headers;
}

/**
 * Calls a service whose messages have sealed fields; generated subclasses give each method its types.
 *
 * A call fails with a `ConnectError`; `errorDetails` says what is known of it beyond Connect's own code. When the
 * service asks for a newer key, the key source is refreshed and the call made once more.
 *
 * @example
 * ```ts
 * import { createConnectTransport } from '@connectrpc/connect-web';
 * import { createIndexedDbMemory, WebKeyDirectory, WebSealer } from 'sealwire/web';
 * import { SealedPaymentServiceClient } from './gen/payments/v1/payments_sealed_web.js';
 *
 * const transport = createConnectTransport({ baseUrl: 'https://shop.example', useBinaryFormat: true });
 * const keys = new WebKeyDirectory({
 *   transport,
 *   issuer: 'payments',
 *   roots: ['PtlKbMAjCZDbCpMA4mVnV0ZwTGGyAJu0NUj8SpYLp0s'],
 *   memory: createIndexedDbMemory(),
 * });
 * const client = new SealedPaymentServiceClient(transport, { sealer: new WebSealer({ keys }), binary: true });
 * ```
 */
export class SealedWebClient {
  readonly #transport: Transport;
  readonly #plans: DescribedPlans;
  readonly #sealer: WebSealer;
  readonly #binary: boolean;

  /**
   * @param service the generated descriptor
   * @param option the field option `sealwire.v1.sealed`
   * @param inner types of the inner messages of all methods with a single request
   * @param transport any of Connect's: its interceptors see tokens
   * @throws SealwireError `PLAN_INVALID` when the descriptor is not the one that the client was generated for
   */
  constructor(
    service: DescService,
    option: DescExtension,
    inner: readonly DescMessage[],
    transport: Transport,
    options: SealedWebClientOptions,
  ) {
    const { sealer, binary = false } = options;
    const methods = service.methods.filter(({ methodKind }) => SINGLE_REQUEST.includes(methodKind));
    this.#plans = new DescribedPlans(methods, option as SealedExtension, inner);
    this.#transport = transport;
    this.#sealer = sealer;
    this.#binary = binary;
  }

  protected async unary<O>(method: DescMethodUnary, request: object, options: CallOptions = {}): Promise<O> {
    try {
      const call = await this.#prepare(method, request, options);
      try {
        return (await this.#unaryOnce(method, call)) as O;
      } catch (error) {
        if (!(await this.#hasNewKey(error, call))) throw error;
        return (await this.#unaryOnce(method, call)) as O;
      }
    } catch (error) {
      throw toConnectError(error);
    }
  }

  async #unaryOnce(method: DescMethodUnary, call: PreparedCall): Promise<object> {
    const { options, time } = call;
    const { sealing, message, headers } = await time.within(this.#seal(call));
    const { signal, contextValues } = options;
    const sent = this.#transport.unary(method, signal, time.timeoutMs, headers, message as never, contextValues);
    const response = await sent;
    options.onHeader?.(response.header);
    options.onTrailer?.(response.trailer);
    return open(call, response.message, sealing);
  }

  protected serverStream<O>(
    method: DescMethodServerStreaming,
    request: object,
    options: CallOptions = {},
  ): AsyncIterable<O> {
    const prepared = this.#prepare(method, request, options);
    // Whoever reads the stream gets the error.
    prepared.catch(() => {});
    return this.#readStream(method, prepared) as AsyncIterable<O>;
  }

  async *#readStream(method: DescMethodServerStreaming, prepared: Promise<PreparedCall>): AsyncGenerator<object> {
    let received = false;
    try {
      const call = await prepared;
      try {
        for await (const message of this.#streamOnce(method, call)) {
          received = true;
          yield message;
        }
        return;
      } catch (error) {
        if (received || !(await this.#hasNewKey(error, call))) throw error;
      }
      yield* this.#streamOnce(method, call);
    } catch (error) {
      throw toConnectError(error);
    }
  }

  async *#streamOnce(method: DescMethodServerStreaming, call: PreparedCall): AsyncGenerator<object> {
    const { options, time } = call;
    const { sealing, message, headers } = await time.within(this.#seal(call));
    const { signal, contextValues } = options;
    const sent = this.#transport.stream(method, signal, time.timeoutMs, headers, once(message as never), contextValues);
    const response = await sent;
    options.onHeader?.(response.header);
    // One after the other: replies are numbered.
    for await (const received of response.message) yield await open(call, received, sealing);
    options.onTrailer?.(response.trailer);
  }

  /** Inner messages and what is bound to them are read at once, and not again for a second attempt. */
  async #prepare(method: Method, request: object, options: CallOptions): Promise<PreparedCall> {
    const plan = this.#plans.method(method);
    const time = new CallTime(options);
    return { method, plan, request: new SealedRequest(method.input, plan.request, request), options, time };
  }

  async #seal({ method, plan, request, options }: PreparedCall): Promise<SealedCall> {
    const headers = new Headers(options.headers);
    const needsReplies = this.#needsReplies(plan);
    // A message may lack all that can be sealed: then nobody's key is needed.
    if (!needsReplies && !request.needsSealing) return { sealing: undefined, message: await request.seal(), headers };
    const recipients = this.#recipientsOf(plan);
    const recipient = recipients.includes('') ? '' : (recipients[0] as string);
    const sealing = await this.#sealer.startCall({ recipient, method: plan.path });
    const message = await request.seal(sealing);
    if (!needsReplies) return { sealing: undefined, message, headers };
    const bytes = this.#binary ? toBinary(method.input, message as never) : undefined;
    headers.set(REPLY_METADATA, await sealing.replyToken(bytes));
    return { sealing, message, headers };
  }

  /** For sealed responses, and for the credential wherever something is sealed. */
  #needsReplies({ request, response }: DescribedMethod): boolean {
    return hasOwnFields(response) || (this.#sealer.hasCredential && (request ?? response) !== undefined);
  }

  /** All to whom something is sealed in a method's calls. */
  #recipientsOf(plan: DescribedMethod): readonly string[] {
    const named = plan.request === undefined ? [] : recipientsOf(plan.request);
    return this.#needsReplies(plan) && !named.includes('') ? ['', ...named] : named;
  }

  /** After the service refused a key: looks for a newer one. A call is made again once, never more. */
  async #hasNewKey(error: unknown, { plan, time }: PreparedCall): Promise<boolean> {
    if (errorDetails(error)?.reason !== 'SEALED_FIELD_UNKNOWN_KEY') return false;
    const refreshed = this.#recipientsOf(plan).map(async (recipient) => this.#sealer.refresh(recipient));
    try {
      const all = await time.within(Promise.allSettled(refreshed), MAX_REFRESH_MS);
      return all.some(({ status }) => status === 'fulfilled');
    } catch (failure) {
      // When no time is left, the service's own error says more than that.
      if (ConnectError.from(failure).code === Code.Canceled) throw failure;
      return false;
    }
  }
}

/** @throws ConnectError `DataLoss` for a reply that is not what the service sealed for this call */
async function open({ plan }: PreparedCall, message: object, sealing: WebSealingCall | undefined): Promise<object> {
  if (plan.response === undefined) return message;
  try {
    return await openResponse(plan.response, message, sealing);
  } catch (error) {
    throw replyRefusal(error);
  }
}

async function* once<T>(value: T): AsyncGenerator<T, void, undefined> {
  yield value;
}
