/**
 * One call with sealed fields on the server. grpc-js ignores what a listener returns, so everything
 * asynchronous is caught here and ends in exactly one delivery or one status.
 */
import { setMaxListeners } from 'node:events';
import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  status as statusCodes,
} from '@grpc/grpc-js';
import { SealwireError } from '../errors.js';
import type { MethodPlan } from '../schema/plan.js';
import { hasOwnFields } from '../schema/walk.js';
import type { TurnQueue } from '../turn-queue.js';
import type { AuditSink } from './audit-sink.js';
import { askCaller, type CallerFunction, createAccount, peerAddress, tlsIdentity } from './caller.js';
import { CallBytes, type HeldBytes } from './held-bytes.js';
import { IncomingMessages, type ReadAhead } from './incoming.js';
import type { MessageOpener } from './open-message.js';
import { OutgoingMessages, type WriteAhead } from './outgoing.js';
import { HeldRequest } from './receive/held-request.js';
import { sizeOf } from './receive/message-size.js';
import { takeRequestBytes } from './receive/request-bytes.js';
import { attachFacts, type CallFacts, createRejectRecord } from './records.js';
import type { ReplyAgreement, ReplyTokenReader } from './reply-token.js';
import type { MessageReplier } from './seal-reply.js';
import { type CallEnd, endOf, type ServerMetrics } from './server-metrics.js';
import { toStatusObject } from './status-object.js';

/** What all calls share. */
export interface ServerCallParts {
  readonly messageOpener: MessageOpener;
  readonly replyTokens: ReplyTokenReader;
  readonly replier: MessageReplier;
  readonly audit: AuditSink;
  readonly metrics: ServerMetrics;
  readonly caller: CallerFunction;
  readonly turns: TurnQueue;
  readonly readAhead: ReadAhead;
  readonly writeAhead: WriteAhead;
  readonly held: HeldBytes;
  readonly currentKid: () => string | undefined;
  readonly now: () => number;
}

type Listener = Parameters<ServerInterceptingCallInterface['start']>[0];
type Status = Parameters<ServerInterceptingCallInterface['sendStatus']>[0];
/** A call goes on only from left to right; it is counted when it is no longer open. `cancelled`: the listener knows. */
type CallState = 'open' | 'answered' | 'failed' | 'cancelled';

const REQUEST_ID = /^[\x21-\x7e]{1,128}$/;
const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;
/** A method without request streams is read as its handler asks. */
const NO_READ_AHEAD: ReadAhead = { messages: 0, bytes: 0 };
/** Failures of a reply that are no fault of the handler. */
const REPLY_FAILURES: ReadonlySet<string> = new Set([
  'NO_REPLY_KEY',
  'AUDIT_FAILED',
  'POOL_FULL',
  'CUSTODY_FAILED',
  'RECEIVE_LIMIT',
]);

/** Opens what comes in, seals what goes out. */
export class SealedServerCall extends ServerInterceptingCall {
  readonly #next: ServerInterceptingCallInterface;
  readonly #method: MethodPlan;
  readonly #shared: ServerCallParts;
  readonly #incoming: IncomingMessages | undefined;
  readonly #outgoing: OutgoingMessages | undefined;
  readonly #singleUse: boolean;
  #listener: Listener | undefined;
  #facts: CallFacts | undefined;
  #reply: ReplyAgreement | undefined;
  /** The request, from when it is asked for to check the reply token until the handler can have it. */
  #held: HeldRequest | undefined;
  #state: CallState = 'open';
  #ending: AbortController | undefined;
  #bytes: CallBytes | undefined;
  #tellBadReply: ((error: unknown) => void) | undefined;

  constructor(next: ServerInterceptingCallInterface, method: MethodPlan, shared: ServerCallParts) {
    super(next);
    this.#next = next;
    this.#method = method;
    this.#shared = shared;
    this.#singleUse = method.idempotency === 'unknown';
    if (method.request !== undefined) this.#incoming = this.#createIncoming();
    if (method.response !== undefined) this.#outgoing = this.#createOutgoing();
  }

  /** Nothing more is read, opened, sealed or sent. */
  get #ended(): boolean {
    return this.#state === 'failed' || this.#state === 'cancelled';
  }

  override start(listener: Listener): void {
    this.#listener = listener;
    this.#next.start({
      onReceiveMetadata: (metadata) => this.#begin(metadata, listener),
      onReceiveMessage: (message: object) => {
        if (this.#held !== undefined) this.#held.take(message);
        else if (this.#incoming === undefined) this.#pass(message, listener);
        else this.#incoming.add(message, sizeOf(message));
      },
      onReceiveHalfClose: () => {
        if (this.#held !== undefined) this.#held.take(undefined);
        else if (this.#incoming === undefined) listener.onReceiveHalfClose();
        else this.#incoming.halfClose();
      },
      onCancel: () => {
        this.#cancel();
        // A call that failed holds what its caller has not taken until its stream is gone.
        this.#bytes?.end();
      },
    });
  }

  override startRead(): void {
    const held = this.#held;
    this.#held = undefined;
    const listener = this.#listener as Listener;
    if (held !== undefined)
      held.release(
        (message) => this.#pass(message, listener),
        () => listener.onReceiveHalfClose(),
      );
    else if (this.#incoming === undefined) super.startRead();
    else if (!this.#ended) this.#incoming.want();
  }

  override sendMessage(message: unknown, callback: () => void): void {
    if (this.#ended) {
      // The handler's stream would otherwise wait for this write for good.
      process.nextTick(callback);
      return;
    }
    if (this.#outgoing === undefined) super.sendMessage(message, callback);
    else this.#outgoing.add(message as object, callback);
  }

  override sendStatus(status: Status): void {
    if (this.#ended) return;
    const send = () => {
      this.#leave('answered', status.code === statusCodes.OK ? 'OK' : 'HANDLER');
      this.#ending?.abort();
      super.sendStatus(status);
    };
    if (this.#outgoing === undefined) send();
    else this.#outgoing.afterAll(send);
  }

  /**
   * A call whose replies are sealed for its caller, or whose caller is asked who it is, begins with the caller's reply
   * token.
   */
  #begin(metadata: Metadata, listener: Listener): void {
    const { response, requestStream } = this.#method;
    const { replyTokens } = this.#shared;
    try {
      const facts = this.#describeCall(metadata);
      this.#facts = facts;
      if (!replyTokens.asksCallers && !hasOwnFields(response)) {
        attachFacts(metadata, facts);
        listener.onReceiveMetadata(metadata);
        return;
      }
      const readRequest = requestStream ? undefined : () => this.#readRequest();
      replyTokens
        .read(metadata, facts, { singleUse: this.#singleUse, readRequest })
        .then((reply) => {
          if (this.#ended) return;
          this.#reply = reply;
          this.#facts = reply.call;
          attachFacts(metadata, reply.call);
          this.#openHeld();
          listener.onReceiveMetadata(metadata);
        })
        .catch((error: unknown) => this.#fail(error));
    } catch (error) {
      this.#fail(error);
    }
  }

  /** A message without sealed fields. */
  #pass(message: object, listener: Listener): void {
    let taken: object;
    try {
      const size = sizeOf(message);
      this.#holding().take(size);
      this.#holding().deliver(size);
      taken = this.#shared.messageOpener.take(message, this.#facts as CallFacts);
    } catch (error) {
      this.#fail(error);
      return;
    }
    listener.onReceiveMessage(taken);
  }

  async #readRequest(): Promise<Buffer | undefined> {
    this.#held = new HeldRequest(() => super.startRead());
    const [message] = await this.#held.read();
    return message && takeRequestBytes(message);
  }

  /** What has to be opened need not wait until the handler asks for it. */
  #openHeld(): void {
    const incoming = this.#incoming;
    if (incoming === undefined) return;
    this.#held?.release(
      (message) => incoming.add(message, 0),
      () => incoming.halfClose(),
    );
    this.#held = undefined;
  }

  #createIncoming(): IncomingMessages {
    const { messageOpener, readAhead, turns } = this.#shared;
    const { request } = this.#method;
    const mode = { singleUse: this.#singleUse, ended: () => this.#ended };
    return new IncomingMessages({
      readAhead: this.#method.requestStream ? readAhead : NO_READ_AHEAD,
      bytes: () => this.#holding(),
      turns,
      account: () => (this.#facts as CallFacts).account,
      read: () => super.startRead(),
      open: (message) =>
        messageOpener.open(request as NonNullable<typeof request>, message, this.#facts as CallFacts, mode),
      deliver: (message) => this.#listener?.onReceiveMessage(message),
      end: () => this.#listener?.onReceiveHalfClose(),
      fail: (error) => this.#fail(error),
    });
  }

  #createOutgoing(): OutgoingMessages {
    const { replier, audit, writeAhead } = this.#shared;
    const { response } = this.#method;
    return new OutgoingMessages({
      writeAhead,
      bytes: () => this.#holding(),
      seal: (message) =>
        replier.seal(response as NonNullable<typeof response>, message, this.#reply?.sealer, this.#facts as CallFacts),
      commit: ({ record }) => (record === undefined ? undefined : audit.commit(record)),
      send: (message, done) => super.sendMessage(message, done),
      fail: (error) => this.#failReply(error),
    });
  }

  /** What a handler did wrong is no error of the caller's. */
  #failReply(error: unknown): void {
    const isHandlers = !(error instanceof SealwireError && REPLY_FAILURES.has(error.code));
    if (isHandlers) this.#tellBadReply?.(error);
    this.#fail(isHandlers ? new Error('the response cannot be sealed') : error);
  }

  #fail(error: unknown): void {
    if (this.#ended) return;
    this.#leave('failed', endOf(error));
    const { currentKid, now } = this.#shared;
    this.#next.sendStatus(toStatusObject(error, { currentKid: currentKid(), nowMs: now() }));
    // A streaming handler may be waiting: tell it that nothing more will come.
    this.#cancel();
  }

  /** A call ends once, but a caller may go away after it. */
  #leave(state: CallState, end: CallEnd): void {
    if (this.#state === 'open') this.#shared.metrics.countCall(this.#method.path, end);
    this.#state = state;
  }

  #cancel(): void {
    if (this.#state === 'cancelled') return;
    this.#leave('cancelled', 'CANCELLED');
    this.#incoming?.stop();
    this.#outgoing?.stop();
    this.#ending?.abort();
    this.#listener?.onCancel();
  }

  /** By then it is known whose call it is. */
  #holding(): CallBytes {
    this.#bytes ??= new CallBytes(this.#shared.held, (this.#facts as CallFacts).account);
    return this.#bytes;
  }

  /** Made when somebody asks: most calls wait for nothing that their end should end. */
  #signal(): AbortSignal {
    if (this.#ending === undefined) {
      this.#ending = new AbortController();
      // A handler may open as many stored tokens at once as it likes.
      setMaxListeners(0, this.#ending.signal);
    }
    if (this.#ended) this.#ending.abort();
    return this.#ending.signal;
  }

  #describeCall(metadata: Metadata): CallFacts {
    const startedAt = performance.now();
    const peer = this.getPeer();
    const facts = {
      method: this.#method.path,
      peer,
      requestId: firstValue(metadata, 'x-request-id', REQUEST_ID),
      traceparent: firstValue(metadata, 'traceparent', TRACEPARENT),
      signal: () => this.#signal(),
      watch: (waiting: () => number) => this.#holding().watch(waiting),
      onBadReply: (tell: (error: unknown) => void) => {
        this.#tellBadReply = tell;
      },
    };
    try {
      return { ...facts, ...askCaller(this.#shared.caller, { peer, metadata, tlsIdentity: tlsIdentity(this) }) };
    } catch (error) {
      const nobody = { ...facts, principal: '', account: createAccount('address', peerAddress(peer)) };
      this.#shared.audit.note(createRejectRecord(error, nobody, startedAt, () => []));
      throw error;
    }
  }
}

/** The first text value of a metadata key if it has the expected form, else empty. */
function firstValue(metadata: Metadata, key: string, form: RegExp): string {
  const [value] = metadata.get(key);
  return typeof value === 'string' && form.test(value) ? value : '';
}
