/**
 * Small reads that make large records: one sender stores the longest card that its field takes and asks for it again
 * and again. Each answer opens the stored token and seals it anew.
 */
import { status } from '@grpc/grpc-js';
import { afford, createNamedClient, type FloodWork } from './floods-work.js';
import { validRequest } from './harness.js';

const LANES = 16;
/** With the other fields of the card below its `max_bytes`. */
const NAME_BYTES = 960;

export const work: FloodWork = async (target, stop, report) => {
  const client = createNamedClient(target, 'stored');
  const card = { ...validRequest.card, holderName: 'N'.repeat(NAME_BYTES) };
  const { paymentId } = await client.authorize({ ...validRequest, card, orderId: `stored-${process.pid}` });
  report.begin();
  const lane = async () => {
    while (!stop.aborted) {
      await afford();
      await client.getPayment({ paymentId }).then(
        () => report.count('OK'),
        (error: { code: status }) => report.count(status[error.code]),
      );
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  client.close();
};
