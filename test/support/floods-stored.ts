/**
 * Small reads that make large records: one sender stores the longest card that its field takes and asks for it again and
 * again. Each answer opens the stored token and seals it anew.
 */
import { credentials, InterceptingCall, type Interceptor, status } from '@grpc/grpc-js';
import { SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import { fileKeySource } from '../../src/keys/key-source.js';
import { validRequest } from './harness.js';

const LANES = 16;
/** With the other fields of the card below its `max_bytes`. */
const NAME_BYTES = 960;

/** @param report told the status of each call */
export async function work(
  target: { readonly address: string; readonly publicKeys: string },
  stop: AbortSignal,
  report: { begin(): void; count(name: string): void },
): Promise<void> {
  const nameCaller: Interceptor = (options, next) =>
    new InterceptingCall(next(options), {
      start: (metadata, listener, go) => {
        metadata.set('x-sealwire-caller', 'stored');
        go(metadata, listener);
      },
    });
  const keys = fileKeySource(target.publicKeys);
  const options = { keys, interceptors: [nameCaller] };
  const client = new SealedPaymentServiceClient(target.address, credentials.createInsecure(), options);
  const card = { ...validRequest.card, holderName: 'N'.repeat(NAME_BYTES) };
  const { paymentId } = await client.authorize({ ...validRequest, card, orderId: `stored-${process.pid}` });
  report.begin();
  const lane = async () => {
    while (!stop.aborted) {
      await client.getPayment({ paymentId }).then(
        () => report.count('OK'),
        (error: { code: status }) => report.count(status[error.code]),
      );
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  client.close();
}
