/**
 * The client interceptor that seals requests and opens responses: interceptors before it (nearer to the
 * application) see opened messages, interceptors after it (nearer to the wire) see tokens.
 */
import { InterceptingCall, type Interceptor, type InterceptorOptions, type NextCall } from '@grpc/grpc-js';
import type { MeterProvider } from '@opentelemetry/api';
import { SealingSessions } from '../jwe/sender.js';
import type { KeySource } from '../keys/key-source.js';
import type { MethodPlan, ServicePlan } from '../schema/plan.js';
import { CallSealer, type CredentialFunction, NO_CREDENTIAL } from './call-sealer.js';
import { ClientMetrics } from './client-metrics.js';
import { MessageSealer } from './seal-message.js';
import { SealedClientCall } from './sealed-client-call.js';

export type { CredentialFunction } from './call-sealer.js';

/** Options of {@link createSealInterceptor}. */
export interface SealInterceptorOptions {
  /** Services whose messages are sealed; calls of others pass untouched. */
  readonly services: readonly { readonly plan: ServicePlan }[];
  /** Where recipients' public keys come from. */
  readonly keys: KeySource;
  /** Agreement sessions, to be shared by all clients of a process. Default: new ones with default limits. */
  readonly sessions?: SealingSessions;
  /** The caller's credential, sealed into reply tokens for the service's `authenticateCaller`. Default: none. */
  readonly credential?: CredentialFunction;
  /** Where metrics go. Default: OpenTelemetry's global meter provider, as it is when the interceptor is created. */
  readonly meterProvider?: MeterProvider;
  /** Whether what looks like a token goes out as it is in fields of the service too. Default false. */
  readonly forwardTokens?: boolean;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
}

/**
 * Creates the interceptor that seals requests and opens responses.
 *
 * @param options services and keys
 * @returns an interceptor for grpc-js's `interceptors` client option; later ones in that list see tokens
 *
 * @example
 * ```ts
 * import { credentials } from '@grpc/grpc-js';
 * import { createSealInterceptor, fileKeySource } from 'sealwire';
 * import { PaymentServiceClient } from './gen/payments/v1/payments.js';
 * import { SealedPaymentService } from './gen/payments/v1/payments_sealed.js';
 *
 * const seal = createSealInterceptor({ services: [SealedPaymentService], keys: fileKeySource('public.jwks.json') });
 * const client = new PaymentServiceClient('localhost:50051', credentials.createSsl(), { interceptors: [seal] });
 * ```
 */
export function createSealInterceptor(options: SealInterceptorOptions): Interceptor {
  return interceptWith(options.services, createCallSealer(options));
}

/** What the calls of one interceptor, or of one client, have in common. */
export function createCallSealer(options: Omit<SealInterceptorOptions, 'services'>): CallSealer {
  const { forwardTokens, now, keys, credential = NO_CREDENTIAL } = options;
  const sessions = options.sessions ?? new SealingSessions();
  const sealer = new MessageSealer({ sessions, forwardTokens, ...(now && { now }) });
  return new CallSealer({ sealer, keys, credential, metrics: new ClientMetrics(options.meterProvider) });
}

/**
 * @param isLast whether what it passes on goes to the wire as it is, and encoded requests are taken. Default false
 * @returns an interceptor for calls of these services; those of others pass untouched
 */
export function interceptWith(
  services: SealInterceptorOptions['services'],
  callSealer: CallSealer,
  isLast = false,
): Interceptor {
  const methods = new Map<string, MethodPlan>();
  for (const { plan } of services) {
    for (const method of Object.values(plan.methods)) if (callSealer.begin(method)) methods.set(method.path, method);
  }
  return (callOptions: InterceptorOptions, nextCall: NextCall) => {
    const method = methods.get(callOptions.method_definition.path);
    if (method === undefined) return new InterceptingCall(nextCall(callOptions));
    const { requestSerialize } = callOptions.method_definition;
    const { deadline } = callOptions;
    const serialize = isLast ? requestSerialize : undefined;
    return new SealedClientCall(nextCall(callOptions), method, { callSealer, deadline, serialize });
  };
}
