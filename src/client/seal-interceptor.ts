/**
 * The client interceptor that seals requests: interceptors before it (nearer to the application) see
 * opened messages, interceptors after it (nearer to the wire) see tokens.
 */
import {
  InterceptingCall,
  type InterceptingListener,
  type Interceptor,
  type InterceptorOptions,
  Metadata,
  type NextCall,
  type StatusObject,
  status,
} from '@grpc/grpc-js';
import { SealwireError } from '../errors.js';
import type { RecipientKey } from '../jwe/recipient.js';
import { SealingSessions } from '../jwe/sender.js';
import type { KeySource } from '../keys/key-source.js';
import type { MethodPlan, ServicePlan } from '../schema/plan.js';
import { errorStatus, STATUS_DETAILS_KEY } from '../schema/status.js';
import { hasSealed, recipientsOf } from '../schema/walk.js';
import { MessageSealer, type RecipientKeys } from './seal-message.js';

type InterceptingCallInterface = ReturnType<NextCall>;
type MessageContext = Parameters<InterceptingCallInterface['sendMessageWithContext']>[0];

/** Options of {@link createSealInterceptor}. */
export interface SealInterceptorOptions {
  /** Services whose requests are sealed; calls of others pass untouched. */
  readonly services: readonly { readonly plan: ServicePlan }[];
  /** Where recipients' public keys come from. */
  readonly keys: KeySource;
  /** Agreement sessions, to be shared by all clients of a process. Default: new ones with default limits. */
  readonly sessions?: SealingSessions;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
}

/**
 * Creates the interceptor that seals requests.
 *
 * @param options services and keys
 * @returns an interceptor for grpc-js's `interceptors` client option; later ones in that list see tokens
 */
export function createSealInterceptor(options: SealInterceptorOptions): Interceptor {
  const sessions = options.sessions ?? new SealingSessions();
  const sealer = new MessageSealer({ sessions, ...(options.now && { now: options.now }) });
  const methods = new Map<string, MethodPlan>();
  for (const { plan } of options.services) {
    for (const method of Object.values(plan.methods)) methods.set(method.path, method);
  }
  return (callOptions: InterceptorOptions, nextCall: NextCall) => {
    const method = methods.get(callOptions.method_definition.path);
    if (method === undefined || (method.request === undefined && method.response === undefined)) {
      return new InterceptingCall(nextCall(callOptions));
    }
    return new SealingCall(nextCall(callOptions), method, sealer, options.keys);
  };
}

/**
 * One call with sealed fields. Operations run strictly in the order they came: while one waits (for a
 * key or an agreement) the following are queued, so that grpc-js never sees a message before `start`,
 * a half-close before its message, or an unsealed message at all.
 */
class SealingCall extends InterceptingCall {
  readonly #next: InterceptingCallInterface;
  readonly #method: MethodPlan;
  readonly #sealer: MessageSealer;
  readonly #source: KeySource;
  readonly #queue: (() => void | Promise<void>)[] = [];
  #busy = false;
  /** No further operation is carried out. */
  #ended = false;
  /** The listener has its status. */
  #finished = false;
  #started = false;
  #listener: Partial<InterceptingListener> | undefined;
  #keys: RecipientKeys = new Map();

  constructor(next: InterceptingCallInterface, method: MethodPlan, sealer: MessageSealer, source: KeySource) {
    super(next);
    this.#next = next;
    this.#method = method;
    this.#sealer = sealer;
    this.#source = source;
  }

  override start(metadata: Metadata, listener?: Partial<InterceptingListener>): void {
    this.#listener = listener;
    this.#run(() => {
      const keys = this.#method.request === undefined ? this.#keys : this.#findKeys(recipientsOf(this.#method.request));
      if (!(keys instanceof Promise)) return this.#startNext(metadata, keys);
      return keys.then((ready) => this.#startNext(metadata, ready));
    });
  }

  override sendMessageWithContext(context: MessageContext, message: unknown): void {
    this.#run(() => {
      const plan = this.#method.request;
      const sealed = plan === undefined ? (message as object) : this.#sealer.seal(plan, message as object, this.#keys);
      if (!(sealed instanceof Promise)) return this.#next.sendMessageWithContext(context, sealed);
      return sealed.then((ready) => {
        if (!this.#ended) this.#next.sendMessageWithContext(context, ready);
      });
    });
  }

  override sendMessage(message: unknown): void {
    this.sendMessageWithContext({}, message);
  }

  override startRead(): void {
    this.#run(() => this.#next.startRead());
  }

  override halfClose(): void {
    this.#run(() => this.#next.halfClose());
  }

  /** Never queued: a cancelled call must not wait for a key. */
  override cancelWithStatus(code: status, details: string): void {
    this.#ended = true;
    if (this.#started) this.#next.cancelWithStatus(code, details);
    else process.nextTick(() => this.#finish({ code, details, metadata: new Metadata() }));
  }

  #run(operation: () => void | Promise<void>): void {
    if (this.#ended) return;
    this.#queue.push(operation);
    if (!this.#busy) this.#drain();
  }

  #drain(): void {
    this.#busy = true;
    try {
      while (!this.#ended) {
        const operation = this.#queue.shift();
        if (operation === undefined) break;
        const pending = operation();
        if (pending === undefined) continue;
        pending.then(
          () => this.#drain(),
          (error: unknown) => this.#fail(error),
        );
        return;
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#busy = false;
  }

  #startNext(metadata: Metadata, keys: RecipientKeys): void {
    if (this.#ended) return;
    this.#keys = keys;
    this.#started = true;
    this.#next.start(metadata, {
      onReceiveMetadata: (received) => this.#listener?.onReceiveMetadata?.(received),
      onReceiveMessage: (message: unknown) => this.#receive(message),
      onReceiveStatus: (received) => this.#finish(received),
    });
  }

  /** A sealed reply cannot be opened without a reply agreement, and a token is not what the types promise. */
  #receive(message: unknown): void {
    if (this.#finished) return;
    const { response } = this.#method;
    if (response !== undefined && message && hasSealed(response, message as object)) {
      this.#fail(new SealwireError('NO_REPLY_KEY', 'no reply agreement'));
      return;
    }
    this.#listener?.onReceiveMessage?.(message);
  }

  #findKeys(recipients: readonly string[]): RecipientKeys | Promise<RecipientKeys> {
    const found = recipients.map((recipient) => this.#source.current(recipient));
    const combine = (keys: readonly RecipientKey[]) =>
      new Map(recipients.map((recipient, index) => [recipient, keys[index] as RecipientKey]));
    if (!found.some((key) => key instanceof Promise)) return combine(found as RecipientKey[]);
    return Promise.all(found).then(combine);
  }

  /** Ends the call once, locally, with the status the service would give for the same error. */
  #fail(error: unknown): void {
    if (this.#ended) return;
    const { code, details, statusDetails } = errorStatus(error);
    const metadata = new Metadata();
    if (statusDetails !== undefined) metadata.set(STATUS_DETAILS_KEY, Buffer.from(statusDetails));
    // Local errors (a missing key, a wrong input) have no reason; their text names no value.
    const local = error instanceof SealwireError && error.reason === undefined;
    const said = local ? `sealing failed: ${error.code}: ${error.message}` : details;
    this.#ended = true;
    // Not before the caller of this method has returned: grpc-js expects statuses to come later.
    process.nextTick(() => {
      this.#finish({ code: local ? status.FAILED_PRECONDITION : code, details: said, metadata });
      if (this.#started) this.#next.cancelWithStatus(status.CANCELLED, 'sealing failed');
    });
  }

  #finish(received: StatusObject): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#ended = true;
    this.#queue.length = 0;
    this.#listener?.onReceiveStatus?.(received);
  }
}
