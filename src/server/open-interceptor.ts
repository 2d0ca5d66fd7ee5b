/**
 * The server interceptor that opens sealed requests: interceptors before it see tokens, handlers and
 * interceptors after it see opened messages.
 */
import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from '@grpc/grpc-js';
import { SealwireError } from '../errors.js';
import type { OpenLimits } from '../jwe/limits.js';
import { type AgreementCacheOptions, type CallerRateOptions, TokenOpener } from '../jwe/opener.js';
import type { PolicyName } from '../jwe/policy.js';
import type { OpeningKeys } from '../jwe/recipient.js';
import type { MessagePlan, MethodPlan, ServicePlan } from '../schema/plan.js';
import { hasSealed } from '../schema/walk.js';
import type { AuditSink } from './audit-sink.js';
import { type CallerFunction, createCaller, tlsIdentity } from './caller.js';
import { type CallFacts, MessageOpener } from './open-message.js';
import { toStatusObject } from './status.js';

/** Options of {@link createOpenInterceptor}. */
export interface OpenInterceptorOptions {
  /** Services whose sealed fields are opened; calls of others pass untouched. */
  readonly services: readonly { readonly plan: ServicePlan }[];
  /** The service's private keys. */
  readonly keys: OpeningKeys & { readonly currentKid?: string };
  /** Takes a record before each handler runs. */
  readonly audit: AuditSink;
  /** Default `strict`. */
  readonly policy?: PolicyName;
  /** Recipient names that are this service. Default: only the empty name. */
  readonly recipients?: readonly string[];
  /** Default: mTLS identity, else IP address; see {@link createCaller}. */
  readonly caller?: CallerFunction;
  readonly limits?: Partial<OpenLimits>;
  readonly cache?: AgreementCacheOptions;
  readonly rate?: CallerRateOptions;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
}

/** What all calls share. */
interface Shared {
  readonly opener: MessageOpener;
  readonly caller: CallerFunction;
  readonly currentKid: () => string | undefined;
  readonly now: () => number;
}

/** A server interceptor and the opener behind it. */
export interface OpenInterceptor {
  readonly interceptor: ServerInterceptor;
  /** For purging retired keys and reading statistics. */
  readonly opener: TokenOpener;
}

/**
 * Creates the interceptor that opens sealed requests.
 *
 * @param options keys, audit sink, services and limits
 * @returns the interceptor, for grpc-js's `interceptors` server option, and its token opener
 * @throws SealwireError `OPTIONS_INVALID`
 */
export function createOpenInterceptor(options: OpenInterceptorOptions): OpenInterceptor {
  const { keys, policy, limits, cache, rate } = options;
  const now = options.now ?? Date.now;
  const opener = new TokenOpener({
    keys,
    now,
    ...(policy && { policy }),
    ...(limits && { limits }),
    ...(cache && { cache }),
    ...(rate && { rate }),
  });
  const recipients = options.recipients ?? [];
  const shared: Shared = {
    opener: new MessageOpener({ opener, audit: options.audit, recipients }),
    caller: options.caller ?? createCaller(),
    currentKid: () => keys.currentKid,
    now,
  };
  const methods = new Map<string, MethodPlan>();
  for (const { plan } of options.services) {
    for (const method of Object.values(plan.methods)) methods.set(method.path, method);
  }
  const interceptor: ServerInterceptor = (definition, call) => {
    const method = methods.get(definition.path);
    if (method === undefined || (method.request === undefined && method.response === undefined)) {
      return new ServerInterceptingCall(call);
    }
    return new OpeningCall(call, method, shared);
  };
  return { interceptor, opener };
}

type Listener = Parameters<ServerInterceptingCallInterface['start']>[0];

/**
 * One call with sealed fields. It speaks to the next call directly instead of through a responder:
 * grpc-js ignores what a listener returns, so everything asynchronous is caught here and ends in
 * exactly one delivery or one status.
 */
class OpeningCall extends ServerInterceptingCall {
  readonly #next: ServerInterceptingCallInterface;
  readonly #method: MethodPlan;
  readonly #shared: Shared;
  #listener: Listener | undefined;
  #facts: CallFacts | undefined;
  #ended = false;
  #cancelled = false;

  constructor(next: ServerInterceptingCallInterface, method: MethodPlan, shared: Shared) {
    super(next);
    this.#next = next;
    this.#method = method;
    this.#shared = shared;
  }

  override start(listener: Listener): void {
    this.#listener = listener;
    const { request } = this.#method;
    this.#next.start({
      onReceiveMetadata: (metadata) => {
        try {
          this.#facts = this.#describeCall(metadata);
        } catch (error) {
          this.#fail(error);
          return;
        }
        listener.onReceiveMetadata(metadata);
      },
      onReceiveMessage: (message: object) => {
        if (request === undefined) listener.onReceiveMessage(message);
        else void this.#open(request, message);
      },
      onReceiveHalfClose: () => {
        if (!this.#ended) listener.onReceiveHalfClose();
      },
      onCancel: () => this.#cancel(),
    });
  }

  /** A response with sealed fields needs a reply agreement; without one nothing may leave in clear. */
  override sendMessage(message: unknown, callback: () => void): void {
    const { response } = this.#method;
    if (response !== undefined && hasSealed(response, message as object)) {
      this.#fail(new SealwireError('NO_REPLY_KEY', 'no reply agreement'));
      return;
    }
    super.sendMessage(message, callback);
  }

  async #open(plan: MessagePlan, message: object): Promise<void> {
    try {
      const opened = await this.#shared.opener.open(plan, message, this.#facts as CallFacts);
      if (!this.#ended) this.#listener?.onReceiveMessage(opened);
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    const { currentKid, now } = this.#shared;
    this.#next.sendStatus(toStatusObject(error, { currentKid: currentKid(), nowMs: now() }));
    // A streaming handler may be waiting: tell it that nothing more will come.
    this.#cancel();
  }

  #cancel(): void {
    this.#ended = true;
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.#listener?.onCancel();
  }

  #describeCall(metadata: Metadata): CallFacts {
    const peer = this.getPeer();
    return {
      method: this.#method.path,
      peer,
      principal: this.#shared.caller({ peer, metadata, tlsIdentity: tlsIdentity(this) }),
      requestId: firstValue(metadata, 'x-request-id', /^[\x21-\x7e]{1,128}$/),
      traceparent: firstValue(metadata, 'traceparent', /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/),
    };
  }
}

/** The first text value of a metadata key if it has the expected form, else empty. */
function firstValue(metadata: Metadata, key: string, form: RegExp): string {
  const [value] = metadata.get(key);
  return typeof value === 'string' && form.test(value) ? value : '';
}
