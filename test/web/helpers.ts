/** Browser clients of the payments service: on the recording server, and on one in memory that has no key. */
import {
  ConnectError,
  createRouterTransport,
  type Interceptor,
  type ServiceImpl,
  type Transport,
} from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { PaymentService } from '../../src/gen/payments/v1/payments_pb.js';
import {
  type OpenedAuthorizeRequest,
  SealedPaymentServiceClient,
} from '../../src/gen/payments/v1/payments_sealed_web.js';
import { KeyRing } from '../../src/keys/ring.js';
import type { SealedWebClientOptions } from '../../src/web/client.js';
import { WebSealer, type WebSealerOptions } from '../../src/web/crypto/sealer.js';
import type { OpenedInit } from '../../src/web/messages/opened-types.js';
import type { RecordingServer } from '../client/helpers.js';
import { webKeys } from '../support/web-client.js';

/** What differs from client to client. */
export type ClientOptions = Partial<WebSealerOptions> & Pick<SealedWebClientOptions, 'binary'>;

/** @param options by default the server's current key is sealed to */
export function connect(
  server: RecordingServer,
  options: ClientOptions = {},
  interceptors: Interceptor[] = [],
): SealedPaymentServiceClient {
  const transport = createGrpcTransport({ baseUrl: `http://${server.address}`, interceptors });
  return clientOf(transport, { keys: webKeys(server.keys), ...options });
}

/** A client of handlers that see tokens. */
export async function connectInMemory(
  handlers: Partial<ServiceImpl<typeof PaymentService>>,
  options: ClientOptions = {},
) {
  const transport = createRouterTransport(({ service }) => service(PaymentService, handlers));
  return clientOf(transport, { keys: webKeys(await KeyRing.create('P-256')), ...options });
}

function clientOf(transport: Transport, { binary, keys, ...options }: ClientOptions) {
  const sealer = new WebSealer({ keys: keys!, ...options });
  return new SealedPaymentServiceClient(transport, { sealer, ...(binary && { binary }) });
}

/** A request that is authorized. */
export function webRequest(orderId: string) {
  return {
    orderId,
    amountMinor: 4999n,
    currencyCode: 'EUR',
    card: { number: '4242424242424242', expiryMonth: 12, expiryYear: 2031, holderName: 'Ada Lovelace' },
    securityCode: { value: '737' },
  } satisfies OpenedInit<OpenedAuthorizeRequest>;
}

/** Runs a call that must fail. */
export async function failureOf(call: Promise<unknown>): Promise<ConnectError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof ConnectError) return error;
  throw new Error(`not a ConnectError: ${error}`);
}
