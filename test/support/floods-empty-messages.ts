/** A kilobyte of gzip that holds half a million empty messages, and as many as are allowed in a little less. */
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { type FloodWork, pace } from './floods-work.js';
import { delimited, repeat } from './wire-bytes.js';

const PATH = '/payments.v1.PaymentService/ImportPayments';
const GZIP = 2;
const CALLS_PER_SECOND = 100;
const pass = (bytes: Buffer) => bytes;

export const work: FloodWork = async ({ address }, stop, report) => {
  const client = new Client(address, credentials.createInsecure(), { 'grpc.default_compression_algorithm': GZIP });
  const empty = delimited(1, Buffer.alloc(0));
  const messages = [repeat(empty, 524_288), repeat(empty, 8_192)];
  const metadata = new Metadata();
  metadata.set('x-sealwire-caller', 'empty-messages');
  report.begin();
  let next = 0;
  const call = () =>
    new Promise<void>((resolve) => {
      const stream = client.makeClientStreamRequest(PATH, pass, pass, metadata, (error) => {
        report.count(error?.details ?? 'OK');
        resolve();
      });
      stream.end(messages[next++ % messages.length] as Buffer);
    });
  await pace(CALLS_PER_SECOND, stop, call);
  client.close();
};
