/** Rubbish that is dear to record: no tokens, but texts whose JSON escapes are six times as long, from one sender. */
import { credentials, Metadata } from '@grpc/grpc-js';
import { PaymentServiceClient } from '../../src/gen/payments/v1/payments.js';
import { afford, type FloodWork } from './floods-work.js';
import { callRaw, validRequest } from './harness.js';

const LANES = 16;

export const work: FloodWork = async (target, stop, report) => {
  const metadata = new Metadata();
  metadata.set('x-sealwire-caller', 'refused');
  const client = new PaymentServiceClient(target.address, credentials.createInsecure());
  const header = Buffer.from(JSON.stringify({ alg: 'none', kid: '\u202e'.repeat(600) })).toString('base64url');
  const rubbish = `${header}.a.b.c.d`;
  const request = {
    ...validRequest,
    orderId: '\u0001'.repeat(256),
    card: rubbish,
    billingAddress: rubbish,
    securityCode: rubbish,
  };
  report.begin();
  const lane = async () => {
    while (!stop.aborted) {
      await afford();
      await callRaw(client, request, metadata).then(
        () => report.count('OK'),
        ({ details }: { details: string }) => report.count(details),
      );
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  client.close();
};
