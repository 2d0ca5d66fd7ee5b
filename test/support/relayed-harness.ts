/** The real payments service behind a rewriting relay. */
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { PaymentServiceService } from '../../src/gen/payments/v1/payments.js';
import { type OpenedAuthorizeRequest, SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import { fileKeySource } from '../../src/keys/key-source.js';
import { type Harness, type HarnessOptions, startHarness } from './harness.js';
import { type RelayedCall, type RewritingRelay, startRewritingRelay } from './rewriting-relay.js';

/** A service, a relay and a client that goes through it. */
export interface RelayedHarness {
  readonly harness: Harness;
  readonly relay: RewritingRelay;
  readonly client: SealedPaymentServiceClient;
  /** The call that reached the relay last. */
  lastCall(): RelayedCall;
  stop(): Promise<void>;
}

/** @param options of the service */
export async function startRelayedHarness(options: HarnessOptions = {}): Promise<RelayedHarness> {
  const harness = await startHarness(options);
  const relay = await startRewritingRelay(harness.service.address, [PaymentServiceService]);
  const keys = fileKeySource(join(harness.dir, 'keys/public.jwks.json'));
  const client = new SealedPaymentServiceClient(relay.address, credentials.createInsecure(), { keys });
  return {
    harness,
    relay,
    client,
    lastCall() {
      const last = relay.calls.at(-1);
      if (last === undefined) throw new Error('no call reached the relay');
      return last;
    },
    async stop() {
      client.close();
      relay.close();
      await harness.stop();
    },
  };
}

/** A request with all three sealed fields that the service accepts. */
export function fullOrder(orderId: string, number = '4111111111111111'): OpenedAuthorizeRequest {
  return {
    orderId,
    amountMinor: '1999',
    currencyCode: 'EUR',
    card: { number, expiryMonth: 12, expiryYear: 2031, holderName: 'Ada Lovelace' },
    billingAddress: { line1: 'Calle 1', line2: '', city: 'Málaga', postalCode: '29001', countryCode: 'ES' },
    securityCode: { value: '737' },
  };
}
