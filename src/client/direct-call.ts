/**
 * Unary calls without interceptors. Where keys and agreements are at hand, the request is sealed and encoded when the
 * call is
 * made, and the calls of one turn of the event loop are started together. Anything else is left to the seal
 * interceptor, which
 * can wait and says what is wrong.
 */
import {
  type Client,
  Metadata,
  type MethodDefinition,
  type ServiceError,
  type StatusObject,
  status,
} from '@grpc/grpc-js';
import { REPLY_METADATA } from '../profile/replies.js';
import type { MethodPlan } from '../schema/plan.js';
import { TurnQueue } from '../turn-queue.js';
import type { SealedCallOptions } from './call-options.js';
import { cancelOnAbort } from './call-options.js';
import { type CallSealer, replyRefusal, type SealedNow } from './call-sealer.js';

type Definition = MethodDefinition<unknown, unknown>;
/** Receives the outcome of a call. */
export type Settle = (error: Error | null, response?: unknown) => void;

/** A sealed call that waits for its turn. */
interface WaitingCall {
  readonly method: MethodPlan;
  readonly definition: Definition;
  readonly ready: SealedNow;
  readonly metadata: Metadata;
  readonly options: SealedCallOptions;
  readonly settle: Settle;
}

/** Makes unary calls of one client. */
export class DirectCalls {
  readonly #client: Client;
  readonly #callSealer: CallSealer;
  readonly #starts = new TurnQueue();

  /** @param client has no interceptors */
  constructor(client: Client, callSealer: CallSealer) {
    this.#client = client;
    this.#callSealer = callSealer;
  }

  /**
   * Makes a call, if that needs no waiting.
   *
   * @param settle told once how the call ended
   * @returns false: nothing was done, and the call has to go through the interceptor
   */
  tryCall(
    method: MethodPlan,
    definition: Definition,
    request: object,
    options: SealedCallOptions,
    settle: Settle,
  ): boolean {
    const ready = this.#sealNow(method, definition, request);
    if (ready === undefined) return false;
    // A copy, as of the request: neither has to stay as it is until the call starts.
    const metadata = options.metadata?.clone() ?? new Metadata();
    if (ready.replies !== undefined) metadata.set(REPLY_METADATA, ready.replies.token);
    this.#starts.add(() => this.#start({ method, definition, ready, metadata, options, settle }));
    return true;
  }

  /** Starts the calls that wait for their turn. */
  flush(): void {
    this.#starts.flush();
  }

  #sealNow(method: MethodPlan, { requestSerialize }: Definition, request: object): SealedNow | undefined {
    try {
      return this.#callSealer.sealNow(method, request, requestSerialize);
    } catch {
      // The interceptor meets the same error, and has a status for it.
      return undefined;
    }
  }

  #start({ method, definition, ready, metadata, options, settle }: WaitingCall): void {
    const { deadline, signal } = options;
    const { request, replies } = ready;
    // Nothing is sent for a call that is no longer wanted.
    if (signal?.aborted) {
      // As grpc-js has it for a call that was started.
      const cancelled = { code: status.CANCELLED, details: 'Cancelled on client', metadata: new Metadata() };
      this.#callSealer.count(method, cancelled);
      settle(toServiceError(cancelled));
      return;
    }
    const finish = (failure: ServiceError | null, received?: unknown) => {
      release();
      let error: ServiceError | null = failure;
      let response = received;
      if (error === null) {
        try {
          response = this.#callSealer.open(method, received as object, replies);
        } catch (reason) {
          error = toServiceError(replyRefusal(reason));
        }
      }
      this.#callSealer.count(method, error ?? OK);
      if (error !== null) dropStarter(error);
      settle(error, response);
    };
    const callOptions = deadline === undefined ? {} : { deadline };
    let release = () => {};
    try {
      const call = this.#client.makeUnaryRequest(
        definition.path,
        passEncoded,
        definition.responseDeserialize,
        request,
        metadata,
        callOptions,
        finish,
      );
      release = cancelOnAbort(call, signal);
    } catch (error) {
      // The channel is closed. Thrown in a later turn, this error would reach nobody.
      settle(error as Error);
    }
  }
}

const OK = { code: status.OK, metadata: new Metadata() };
const passEncoded = (encoded: Buffer) => encoded;

function toServiceError(ended: StatusObject): ServiceError {
  return Object.assign(new Error(`${ended.code} ${status[ended.code]}: ${ended.details}`), ended);
}

/** grpc-js shows who started a call, which here is nobody that the application knows. */
function dropStarter(error: Error): void {
  const [own] = (error.stack ?? '').split('\nfor call at\n', 1);
  if (own !== undefined) error.stack = own;
}
