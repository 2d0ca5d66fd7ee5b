/**
 * The server interceptor that opens sealed requests and seals responses: interceptors before it see
 * tokens, handlers and interceptors after it see opened messages.
 */
import { ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import type { MeterProvider } from '@opentelemetry/api';
import { SealwireError } from '../errors.js';
import { CallerRate } from '../jwe/agreements/caller-rate.js';
import { type AgreementCacheOptions, type CallerRateOptions, type OpenerStats, TokenOpener } from '../jwe/opener.js';
import type { OpeningKeys, RecipientKey } from '../jwe/recipient.js';
import { SealingSessions, type SealingSessionsOptions } from '../jwe/sender.js';
import { type KeySource, staticKeySource } from '../keys/key-source.js';
import { checkRange } from '../profile/check-range.js';
import type { OpenLimits } from '../profile/limits.js';
import type { PolicyName } from '../profile/policy.js';
import type { MethodPlan, ServicePlan } from '../schema/plan.js';
import type { Validators } from '../schema/validation.js';
import { TurnQueue } from '../turn-queue.js';
import type { AuditSink } from './audit-sink.js';
import { type CallerFunction, createCaller } from './caller.js';
import { createGranter } from './granter.js';
import { HeldBytes } from './held-bytes.js';
import { MessageOpener, type TokenGuard } from './open-message.js';
import { noteOpened } from './opened-methods.js';
import { type AuthenticateCaller, ReplyTokenReader } from './reply-token.js';
import { MessageReplier } from './seal-reply.js';
import { SealedServerCall, type ServerCallParts } from './sealed-server-call.js';
import { ServerMetrics } from './server-metrics.js';
import { collectFields, createStoredOpener, createStoredReader, type OpenStored } from './stored/open-stored.js';
import { createStoredResealer, type ResealStored } from './stored/reseal-stored.js';

/** Options of {@link createOpenInterceptor}. */
export interface OpenInterceptorOptions {
  /** Services whose sealed fields are opened; calls of others pass untouched. */
  readonly services: readonly { readonly plan: ServicePlan }[];
  /** The service's private keys. */
  readonly keys: OpeningKeys & { readonly currentKid?: string; current?(): RecipientKey };
  /** Takes a record before each handler runs. */
  readonly audit: AuditSink;
  /** Default `strict`. */
  readonly policy?: PolicyName;
  /** Recipient names that are this service. Default: only the empty name. */
  readonly recipients?: readonly string[];
  /** Default: mTLS identity, else IP address; see {@link createCaller}. */
  readonly caller?: CallerFunction;
  /** Says who calls by what the caller sealed into its reply token. Default: nobody is asked. */
  readonly authenticateCaller?: AuthenticateCaller;
  /** Makes tokens single-use where the method's `idempotency_level` does not say otherwise. Default: none. */
  readonly guard?: TokenGuard;
  /** Rules for inner messages, by full name of a type that a sealed field of the services has. Default: none. */
  readonly validators?: Validators;
  /** Public keys of the recipients that responses name. Default: none. */
  readonly recipientKeys?: KeySource;
  /** Agreements with those recipients. */
  readonly sessions?: SealingSessionsOptions;
  /**
   * Public key of a reviewer, who can then open each recorded token with its record and the private key alone. Default:
   * none.
   */
  readonly reviewerKey?: RecipientKey;
  /** Messages of a request stream that are read ahead of its handler. Default 64; 1 to 4,096. */
  readonly readAheadMessages?: number;
  /** Characters of tokens that are read ahead, likewise. Default 1,048,576; 1 to 67,108,864. */
  readonly readAheadBytes?: number;
  readonly limits?: Partial<OpenLimits>;
  readonly cache?: AgreementCacheOptions;
  /** Fresh agreements of a caller. Default 50 per second, 100 at once. */
  readonly rate?: CallerRateOptions;
  /** Nested messages of a caller's requests that hold more than 64. Default 50,000 per second, 100,000 at once. */
  readonly messageRate?: CallerRateOptions;
  /**
   * Accounts that stand for many senders, as `kind:name`, with the multiple of everybody's share that is theirs.
   * Default: none.
   */
  readonly shares?: Readonly<Record<string, number>>;
  /** Where metrics go. Default: OpenTelemetry's global meter provider, as it is when the interceptor is created. */
  readonly meterProvider?: MeterProvider;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
}

/** A server interceptor and the opener behind it. */
export interface OpenInterceptor {
  readonly interceptor: ServerInterceptor;
  /** For reading statistics; see {@link forgetKey} for retired keys. */
  readonly tokenOpener: { stats(): OpenerStats };
  /** Opens stored tokens, for handlers. */
  readonly openStored: OpenStored;
  /** Seals stored tokens anew, to the key that senders use now. */
  readonly resealStored: ResealStored;
  /** Forgets all agreements with a key at once, received and made, because it was retired. */
  forgetKey(kid: string): void;
}

/**
 * Creates the interceptor that opens sealed requests.
 *
 * @param options keys, audit sink, services and limits
 * @returns the interceptor, for grpc-js's `interceptors` server option, and its token opener
 * @throws SealwireError `OPTIONS_INVALID`; `CUSTODY_FAILED` when the worker thread for agreements cannot start
 *
 * @example
 * ```ts
 * import { Server } from '@grpc/grpc-js';
 * import { createOpenInterceptor, KeyRing, ReplayGuard, RingFollower } from 'sealwire';
 * import { AuditLog } from 'sealwire/audit';
 * import { SealedPaymentService } from './gen/payments/v1/payments_sealed.js';
 *
 * const path = 'keys/ring.json';
 * const keys = await KeyRing.load(path);
 * new RingFollower({ path, ring: keys, onError: ({ message }) => console.error(message) });
 * const audit = await AuditLog.open({ dir: 'audit', origin: 'payments' });
 * const { interceptor } = createOpenInterceptor({
 *   services: [SealedPaymentService],
 *   keys,
 *   audit,
 *   guard: new ReplayGuard(),
 * });
 * const server = new Server({ interceptors: [interceptor] });
 * ```
 */
export function createOpenInterceptor(options: OpenInterceptorOptions): OpenInterceptor {
  const { keys, policy, limits, cache, rate, shares } = options;
  const now = options.now ?? Date.now;
  const tokenOpener = new TokenOpener({
    keys,
    // Without one of its own the opener measures ages by a clock that nobody sets.
    ...(options.now && { now: options.now }),
    ...(policy && { policy }),
    ...(limits && { limits }),
    ...(cache && { cache }),
    ...(rate && { rate }),
    ...(shares && { shares }),
  });
  const messageRate = new CallerRate(
    {
      perSecond: 50_000,
      burst: 100_000,
      now: options.now ?? (() => performance.now()),
      shareOf: (account) => shares?.[account] ?? 1,
      ...options.messageRate,
    },
    'MESSAGE_RATE',
  );
  const { guard, validators = {}, authenticateCaller, services } = options;
  checkValidators(validators, services);
  const metrics = new ServerMetrics(options.meterProvider);
  const audit = metrics.meterAudit(options.audit);
  const readAhead = {
    messages: options.readAheadMessages ?? 64,
    bytes: options.readAheadBytes ?? 1_048_576,
  };
  checkRange('readAheadMessages', readAhead.messages, [1, 4_096]);
  checkRange('readAheadBytes', readAhead.bytes, [1, 67_108_864]);
  const granter = createGranter(options.reviewerKey);
  let sessions: SealingSessions | undefined;
  // Made at first use: most services name no recipients in their responses, and keys rotate rarely.
  const sealing = () => {
    sessions ??= new SealingSessions(options.sessions);
    return sessions;
  };
  const shared: ServerCallParts = {
    messageOpener: new MessageOpener({
      tokenOpener,
      audit,
      recipients: options.recipients ?? [],
      guard,
      messageRate,
      validators,
      granter,
    }),
    replyTokens: new ReplyTokenReader({ tokenOpener, audit, guard, authenticateCaller }),
    replier: new MessageReplier({
      keys: options.recipientKeys ?? staticKeySource({}),
      sessions: sealing,
      now,
      granter,
    }),
    audit,
    metrics,
    caller: options.caller ?? createCaller(),
    turns: new TurnQueue(),
    readAhead,
    writeAhead: readAhead,
    held: new HeldBytes((account) => shares?.[account] ?? 1),
    currentKid: () => keys.currentKid,
    now,
  };
  const methods = new Map<string, MethodPlan>();
  for (const { plan } of services) {
    for (const method of Object.values(plan.methods)) {
      if (method.request === undefined && method.response === undefined) continue;
      methods.set(method.path, method);
      metrics.begin(method.path);
    }
  }
  const interceptor: ServerInterceptor = (definition, call) => {
    const method = methods.get(definition.path);
    if (method === undefined) return new ServerInterceptingCall(call);
    noteOpened(definition);
    return new SealedServerCall(call, method, shared);
  };
  const withStored = createStoredReader({ services, tokenOpener, audit, granter });
  const openStored = createStoredOpener(withStored, audit);
  const resealStored = createStoredResealer({ withStored, audit, keys, sessions: sealing, now, granter });
  const forgetKey = (kid: string) => {
    tokenOpener.purge(kid);
    sessions?.invalidate(kid);
  };
  return { interceptor, tokenOpener, openStored, resealStored, forgetKey };
}

/** A validator that never runs would not be missed. */
function checkValidators(validators: Validators, services: OpenInterceptorOptions['services']): void {
  const types = new Set([...collectFields(services).values()].map(({ codec }) => codec.typeName));
  for (const [name, validator] of Object.entries(validators)) {
    if (validator === undefined || types.has(name)) continue;
    const known = [...types].join(', ');
    throw new SealwireError('OPTIONS_INVALID', `validators: no sealed field has the type ${name}; there are: ${known}`);
  }
}
