/**
 * One client call with sealed fields, between the application's interceptors and those of the wire. grpc-js ignores
 * what its
 * methods return, so everything asynchronous is caught here and ends in exactly one status.
 */
import {
  type Deadline,
  InterceptingCall,
  type InterceptingListener,
  Metadata,
  type NextCall,
  type StatusObject,
  status,
} from '@grpc/grpc-js';
import { SealwireError } from '../errors.js';
import { REPLY_METADATA } from '../profile/replies.js';
import { errorStatus, STATUS_DETAILS_KEY } from '../schema/error-status.js';
import type { MethodPlan } from '../schema/plan.js';
import { type CallSealer, type LocalStatus, replyRefusal, type Serialize } from './call-sealer.js';
import type { CallReplies } from './open-reply.js';
import type { KeyLookup } from './seal-message.js';

type InterceptingCallInterface = ReturnType<NextCall>;
type MessageContext = Parameters<InterceptingCallInterface['sendMessageWithContext']>[0];
/**
 * `waiting` for keys before the next call starts; `open`: it has started. No operation is carried out any more in
 * `dropped` (it never started), `closing` (it did) and `finished` (the listener has its status).
 */
type CallState = 'waiting' | 'open' | 'dropped' | 'closing' | 'finished';

/** What {@link SealedClientCall} is made with. */
export interface SealedClientCallOptions {
  readonly callSealer: CallSealer;
  readonly deadline?: Deadline | undefined;
  /** Gives the bytes that the service gets; undefined where they are not known. */
  readonly serialize?: Serialize | undefined;
}

/**
 * One call with sealed fields. Operations run strictly in the order they came: while one waits (for a
 * key or an agreement) the following are queued, so that grpc-js never sees a message before `start`,
 * a half-close before its message, or an unsealed message at all.
 */
export class SealedClientCall extends InterceptingCall {
  readonly #next: InterceptingCallInterface;
  readonly #method: MethodPlan;
  readonly #callSealer: CallSealer;
  readonly #queue: (() => void | Promise<void>)[] = [];
  #busy = false;
  #state: CallState = 'waiting';
  #listener: Partial<InterceptingListener> | undefined;
  #keys: KeyLookup = new Map();
  #replies: CallReplies | undefined;
  /** Ms since 1970. grpc-js tells of a deadline only once a call has started. */
  readonly #deadline: number;
  #deadlineTimer: NodeJS.Timeout | undefined;
  readonly #hasReplyToken: boolean;
  /** Set if the reply token of the call names its request. */
  readonly #serialize: Serialize | undefined;
  /** Metadata of such a call, until its request is there. */
  #held: Metadata | undefined;
  #isHalfClosed = false;

  constructor(next: InterceptingCallInterface, method: MethodPlan, options: SealedClientCallOptions) {
    super(next);
    const { callSealer, deadline, serialize } = options;
    this.#deadline = deadline === undefined ? Number.POSITIVE_INFINITY : Number(deadline);
    this.#next = next;
    this.#method = method;
    this.#callSealer = callSealer;
    this.#hasReplyToken = callSealer.needsReplyToken(method);
    this.#serialize = this.#hasReplyToken && !method.requestStream ? serialize : undefined;
  }

  get #ended(): boolean {
    return this.#state !== 'waiting' && this.#state !== 'open';
  }

  override start(metadata: Metadata, listener?: Partial<InterceptingListener>): void {
    this.#listener = listener;
    if (this.#serialize === undefined) {
      this.#run(() => this.#begin(metadata));
      return;
    }
    this.#held = metadata;
    if (this.#deadline !== Number.POSITIVE_INFINITY) this.#watchDeadline();
  }

  /** Starts a call whose reply token names no request. */
  #begin(metadata: Metadata): void | Promise<void> {
    const keys = this.#callSealer.findKeys(this.#method);
    const replies = this.#hasReplyToken ? this.#callSealer.beginReplies(this.#method, keys) : undefined;
    if (!(keys instanceof Promise) && !(replies instanceof Promise)) return this.#startNext(metadata, keys, replies);
    this.#watchDeadline();
    return Promise.all([keys, replies]).then(([ready, begun]) => this.#startNext(metadata, ready, begun));
  }

  /** Starts a call whose reply token names its request. */
  #beginWith(metadata: Metadata, context: MessageContext, message: object): void | Promise<void> {
    const started = whenReady(this.#callSealer.findKeys(this.#method), (keys) =>
      whenReady(this.#callSealer.seal(this.#method, message, keys), (sealed) => {
        const request = this.#tryEncode(sealed);
        return whenReady(this.#callSealer.beginReplies(this.#method, keys, request), (replies) => {
          this.#startNext(metadata, keys, replies);
          if (!this.#ended) this.#next.sendMessageWithContext(context, request ?? sealed);
        });
      }),
    );
    if (started instanceof Promise) this.#watchDeadline();
    return started;
  }

  /** @returns undefined for what cannot be encoded: grpc-js meets the same error, and has a status for it */
  #tryEncode(sealed: object): Buffer | undefined {
    try {
      return this.#serialize?.(sealed);
    } catch {
      return undefined;
    }
  }

  /** Goes on with a call that was held, before all that has come since. */
  #letGo(begin: (metadata: Metadata) => void | Promise<void>): void {
    const metadata = this.#held as Metadata;
    this.#held = undefined;
    if (this.#ended) return;
    this.#queue.unshift(() => begin(metadata));
    this.#drain();
  }

  override sendMessageWithContext(context: MessageContext, message: unknown): void {
    if (this.#held !== undefined) {
      this.#letGo((metadata) => this.#beginWith(metadata, context, message as object));
      return;
    }
    this.#run(() => {
      const send = (sealed: object) => {
        if (!this.#ended) this.#next.sendMessageWithContext(context, sealed);
      };
      const sealed = this.#callSealer.seal(this.#method, message as object, this.#keys);
      return sealed instanceof Promise ? sealed.then(send) : send(sealed);
    });
  }

  override sendMessage(message: unknown): void {
    this.sendMessageWithContext({}, message);
  }

  override startRead(): void {
    this.#run(() => this.#next.startRead());
  }

  override halfClose(): void {
    if (this.#held !== undefined) this.#letGo((metadata) => this.#begin(metadata));
    this.#run(() => {
      this.#isHalfClosed = true;
      this.#next.halfClose();
    });
  }

  /** Never queued: a cancelled call must not wait for a key. */
  override cancelWithStatus(code: status, details: string): void {
    if (this.#state === 'finished') this.#next.cancelWithStatus(code, details);
    this.#stop();
    this.#finishSoon({ code, details, metadata: new Metadata() });
  }

  /** @returns whether the next call has started, so that it has to be cancelled */
  #stop(): boolean {
    if (this.#state === 'waiting') this.#state = 'dropped';
    else if (this.#state === 'open') this.#state = 'closing';
    return this.#state !== 'dropped';
  }

  #run(operation: () => void | Promise<void>): void {
    if (this.#ended) return;
    if (this.#busy || this.#held !== undefined) this.#queue.push(operation);
    else this.#drain(operation);
  }

  /** @param first what to do before the queue */
  #drain(first?: () => void | Promise<void>): void {
    this.#busy = true;
    try {
      for (let next = first ?? this.#queue.shift(); next !== undefined && !this.#ended; next = this.#queue.shift()) {
        const pending = next();
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

  #startNext(metadata: Metadata, keys: KeyLookup, replies: CallReplies | undefined): void {
    clearTimeout(this.#deadlineTimer);
    if (this.#ended) return;
    // A timer of ours may be a little late, and a call that is started late is never told.
    if (this.#deadlineTimer !== undefined && Date.now() >= this.#deadline) {
      this.#exceedDeadline();
      return;
    }
    this.#keys = keys;
    this.#replies = replies;
    this.#state = 'open';
    let own = metadata;
    if (replies !== undefined) {
      // The caller may use its metadata for other calls too.
      own = metadata.clone();
      own.set(REPLY_METADATA, replies.token);
    }
    this.#next.start(own, {
      onReceiveMetadata: (received) => this.#listener?.onReceiveMetadata?.(received),
      onReceiveMessage: (message: unknown) => this.#receive(message),
      onReceiveStatus: (received) => this.#finish(received, received.code === status.OK || this.#isHalfClosed),
    });
  }

  /** For the time before grpc-js's own call is started. */
  #watchDeadline(): void {
    const left = Math.min(this.#deadline - Date.now(), 2 ** 31 - 1);
    this.#deadlineTimer ??= setTimeout(() => this.#exceedDeadline(), Math.max(left, 0));
  }

  #exceedDeadline(): void {
    this.#finish({
      code: status.DEADLINE_EXCEEDED,
      details: 'Deadline exceeded while the call was waiting for a key',
      metadata: new Metadata(),
    });
  }

  #receive(message: unknown): void {
    if (this.#state === 'finished') return;
    let opened = message;
    if (message) {
      try {
        opened = this.#callSealer.open(this.#method, message as object, this.#replies);
      } catch (error) {
        this.#finish(replyRefusal(error));
        return;
      }
    }
    this.#listener?.onReceiveMessage?.(opened);
  }

  /** Ends the call once, locally, with the status the service would give for the same error. */
  #fail(error: unknown): void {
    if (this.#ended) return;
    this.#stop();
    this.#finishSoon(failureStatus(error));
  }

  /** Not before the caller of this method has returned: grpc-js expects statuses to come later. */
  #finishSoon(ended: StatusObject): void {
    process.nextTick(() => this.#finish(ended));
  }

  /** @param isClosed whether the next call is known to leave no stream open */
  #finish(ended: StatusObject, isClosed = false): void {
    if (this.#state === 'finished') return;
    const started = this.#stop();
    this.#state = 'finished';
    clearTimeout(this.#deadlineTimer);
    this.#queue.length = 0;
    const cancel = () => this.#next.cancelWithStatus(ended.code, ended.details);
    // A call that was never started has a timer for its deadline all the same.
    if (!started) cancel();
    // grpc-js makes a call's stream some promises after its start, even if the call was cancelled meanwhile: never
    // ended, such a stream counts against the connection's limit for good. In a turn of its own a cancellation finds
    // it.
    else if (!isClosed) setImmediate(cancel);
    this.#callSealer.count(this.#method, ended);
    this.#listener?.onReceiveStatus?.(ended);
  }
}

/** Goes on at once where nothing has to be waited for. */
function whenReady<T, R>(value: T | Promise<T>, next: (ready: T) => R | Promise<R>): R | Promise<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}

/** The status that the service would give for the same error, or one of this side. */
function failureStatus(error: unknown): LocalStatus {
  const { code, details, statusDetails } = errorStatus(error);
  const metadata = new Metadata();
  if (statusDetails !== undefined) metadata.set(STATUS_DETAILS_KEY, Buffer.from(statusDetails));
  // What a key source or a credential function of the application has thrown is for the application alone.
  if (!(error instanceof SealwireError)) return { code, details, metadata, cause: error };
  if (error.reason !== undefined) return { code, details, metadata, cause: error };
  // Local errors (a missing key, a wrong input) have no reason; their text names no value.
  const said = `sealing failed: ${error.code}: ${error.message}`;
  // Without a key set a later attempt may succeed; anything else has to be mended first.
  const isLater = error.code === 'KEY_SET_UNAVAILABLE';
  return { code: isLater ? status.UNAVAILABLE : status.FAILED_PRECONDITION, details: said, metadata, cause: error };
}
