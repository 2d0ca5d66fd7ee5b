/** Child process of the streams bench: sends one stream of payments. */
import { credentials } from '@grpc/grpc-js';
import { type ImportPaymentsRequest, PaymentServiceClient } from '../src/gen/payments/v1/payments.js';
import { SealedPaymentServiceClient } from '../src/gen/payments/v1/payments_sealed.js';
import { staticKeySource } from '../src/keys/key-source.js';
import { loadPublicKeys } from '../src/keys/public-keys.js';

/** What the bench tells this process. */
export interface StreamOrder {
  readonly port: number;
  readonly jwks: object;
  readonly sealed: boolean;
  readonly messages: number;
}

const card = { number: '4111111111111111', expiryMonth: 12, expiryYear: 2031, holderName: 'x'.repeat(90) };
const common = { orderId: 'order-1', amountMinor: '1999', currencyCode: 'EUR' };

process.once('message', (order: StreamOrder) => void run(order));

async function run({ port, jwks, sealed, messages }: StreamOrder): Promise<void> {
  const address = `127.0.0.1:${port}`;
  const startedAt = performance.now();
  const imported = sealed ? await sendSealed(address, jwks, messages) : await sendClear(address, messages);
  const seconds = (performance.now() - startedAt) / 1_000;
  if (Number(imported) !== messages) throw new Error(`${imported} of ${messages} messages arrived`);
  process.send?.({ seconds, peakRss: process.resourceUsage().maxRSS * 1_024 }, () => process.exit(0));
}

async function sendSealed(address: string, jwks: object, messages: number): Promise<string> {
  const [key] = await loadPublicKeys(jwks as never);
  if (key === undefined) throw new Error('the bench server sent no key');
  const keys = staticKeySource(key);
  const client = new SealedPaymentServiceClient(address, credentials.createInsecure(), { keys });
  const requests = function* () {
    for (let index = 0; index < messages; index++) yield { payment: { ...common, card } };
  };
  return (await client.importPayments(requests())).imported;
}

/** With the same loop as the generated client has. */
async function sendClear(address: string, messages: number): Promise<string> {
  const client = new PaymentServiceClient(address, credentials.createInsecure());
  const text = JSON.stringify(card);
  const reply = new Promise<string>((resolve, reject) => {
    const call = client.importPayments((error, value) => (error ? reject(error) : resolve(value.imported)));
    const requests = function* (): Generator<ImportPaymentsRequest> {
      for (let index = 0; index < messages; index++) {
        yield { payment: { ...common, card: text, billingAddress: '', securityCode: '' } };
      }
    };
    void (async () => {
      for await (const request of requests()) {
        if (!call.write(request)) await new Promise((drained) => call.once('drain', drained));
      }
      call.end();
    })();
  });
  return reply;
}
