/** Probes of the bounds on what is in one message, by calls to a real server. */
import { Client, credentials, Server, ServerCredentials, type ServiceError, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../src/client/client.js';
import { AuthorizeRequest } from '../../src/gen/payments/v1/payments.js';
import { SealedPaymentService } from '../../src/gen/payments/v1/payments_sealed.js';
import { ServiceHealth } from '../../src/host/health.js';
import { addKeyService } from '../../src/server/key-service.js';
import { createProbe } from './bound-table.js';
import { startBench } from './sealed-bench.js';
import { generatedSource } from './sources.js';
import { delimited, repeat, varint } from './wire-bytes.js';

const IMPORT = '/payments.v1.PaymentService/ImportPayments';
const CHECKOUT = '/shop.v1.CheckoutService/Checkout';
const pass = (bytes: Buffer) => bytes;
const payments = (count: number) => repeat(delimited(1, Buffer.alloc(0)), count);
/** None of the payments has its card: a message that is taken is refused for that. */
const TAKEN = 'SEALED_FIELD_REQUIRED';

interface Sender {
  readonly clock: { ms: number };
  /** @returns the refusal as the table writes it, its reason, or OK; and how many payments were decoded for it */
  send(message: Buffer, path?: string): Promise<readonly [result: string, decoded: number]>;
}

/**
 * Runs `work` with a server as nobody configured it, but for its clock and its callers, whom it takes at their word.
 */
async function withSender(work: (sender: (account: string) => Sender) => Promise<void>): Promise<void> {
  const clock = { ms: Date.UTC(2026, 0, 1) };
  const accounts = { current: '' };
  const read = (call: NodeJS.ReadableStream, done: (error: object) => void) => {
    call.on('error', () => {});
    call.on('end', () => done({ code: status.ABORTED, details: '' }));
    call.resume();
  };
  const answer = (_call: object, done: (error: null, value: object) => void) => done(null, { orderId: '' });
  const checkout = { service: generatedSource().service('shop.v1.CheckoutService'), handlers: { checkout: answer } };
  const bench = await startBench({
    services: [{ service: SealedPaymentService, handlers: { importPayments: read } }, checkout],
    open: { now: () => clock.ms, caller: () => accounts.current },
  });
  const client = new Client(bench.address, credentials.createInsecure());
  const { decode } = AuthorizeRequest;
  let decoded = 0;
  AuthorizeRequest.decode = (...values) => {
    decoded++;
    return decode(...values);
  };
  const call = (path: string, message: Buffer) =>
    new Promise<string>((resolve) => {
      const stream = client.makeClientStreamRequest(path, pass, pass, (error) => {
        const { reason, metadata } = errorDetails(error) ?? {};
        const limit = metadata?.['limit'];
        resolve(
          limit === undefined ? (reason ?? status[error?.code ?? status.OK] ?? '') : `${reason}, limit: ${limit}`,
        );
      });
      stream.write(message);
      stream.end();
    });
  try {
    await work((account) => ({
      clock,
      async send(message, path = IMPORT) {
        accounts.current = account;
        const before = decoded;
        return [await call(path, message), decoded - before];
      },
    }));
  } finally {
    AuthorizeRequest.decode = decode;
    client.close();
    bench.stop();
  }
}

export const messageProbes = [
  createProbe(
    {
      resource: 'nested messages of requests with more than {free} of them',
      chargedTo: 'account',
      bound: '{perSecond}/s, {burst} at once',
      outcome: 'LIMIT_EXCEEDED, limit: rate, before they are decoded',
    },
    ({ free, perSecond, burst }) =>
      withSender(async (from) => {
        const a = from('a');
        const refused = ['LIMIT_EXCEEDED, limit: rate', 0];
        /** Spends exactly so much, in messages that are large enough to be counted. */
        const spend = async (amount: number) => {
          const parts = Array.from({ length: 20 }, () => amount / 20);
          for (const part of parts) expect(await a.send(payments(part))).to.deep.equal([TAKEN, part]);
          expect(await a.send(payments(free + 1))).to.deep.equal(refused);
        };
        await spend(burst);
        expect(await a.send(payments(free))).to.deep.equal([TAKEN, free]);
        expect(await from('another').send(payments(free + 1))).to.deep.equal([TAKEN, free + 1]);
        a.clock.ms += 1_000;
        await spend(perSecond);
      }),
  ),
  createProbe(
    {
      resource: 'nested messages and map entries',
      chargedTo: 'one message',
      bound: '{most}; {fields} fields of other kinds count like one',
      outcome: 'LIMIT_EXCEEDED, limit: count, before they are decoded',
    },
    ({ most, fields }) =>
      withSender(async (from) => {
        const refused = ['LIMIT_EXCEEDED, limit: count', 0];
        expect(await from('a').send(payments(most))).to.deep.equal([TAKEN, most]);
        expect(await from('a').send(payments(most + 1))).to.deep.equal(refused);
        const entries = (count: number) => repeat(delimited(7, Buffer.alloc(0)), count);
        const [taken] = await from('b').send(entries(most), CHECKOUT);
        expect(taken).to.not.contain('limit');
        expect(await from('b').send(entries(most + 1), CHECKOUT)).to.deep.equal(refused);
        // Unknown ones do not differ from known ones.
        const others = (count: number) => repeat(Buffer.concat([varint(15 << 3), varint(0)]), count);
        const [alsoTaken] = await from('c').send(others(most * fields));
        expect(alsoTaken).to.not.contain('limit');
        expect(await from('c').send(others(most * fields + 1))).to.deep.equal(refused);
      }),
  ),
  createProbe(
    {
      resource: 'a request for a key set or a health check',
      chargedTo: 'one message',
      bound: '{most} bytes',
      outcome: 'RESOURCE_EXHAUSTED, before it is decoded',
    },
    async ({ most }) => {
      const server = new Server();
      addKeyService(server, [{ issuer: 'payments', current: () => ({ jws: 'ours', maxAgeSeconds: 900 }) }]);
      new ServiceHealth(['']).addTo(server);
      const port = await new Promise<number>((resolve, reject) => {
        const bound = (error: Error | null, value: number) => (error ? reject(error) : resolve(value));
        server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), bound);
      });
      const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
      const ask = (path: string, request: Buffer) =>
        new Promise<string>((resolve) => {
          const done = (error: ServiceError | null) => resolve(status[error?.code ?? status.OK] as string);
          client.makeUnaryRequest(path, pass, pass, request, done);
        });
      try {
        for (const path of ['/sealwire.v1.KeyService/GetKeySet', '/grpc.health.v1.Health/Check']) {
          // Fields that nobody knows; what is no message fails where it is decoded.
          expect(await ask(path, repeat(Buffer.from([0x78, 1]), most / 2))).to.equal('OK');
          expect(await ask(path, Buffer.alloc(most, 0xff))).to.equal('INTERNAL');
          expect(await ask(path, Buffer.alloc(most + 1, 0xff))).to.equal('RESOURCE_EXHAUSTED');
        }
      } finally {
        client.close();
        server.forceShutdown();
      }
    },
  ),
];
