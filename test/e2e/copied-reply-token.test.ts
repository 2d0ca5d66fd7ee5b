/**
 * What somebody can do with a reply token that was read from the metadata of another's call: ask the same question,
 * unread.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import {
  Client,
  credentials,
  InterceptingCall,
  Metadata,
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../src/client/client.js';
import { MessageSealer } from '../../src/client/seal-message.js';
import {
  AuthorizeRequest,
  GetPaymentRequest,
  type GetPaymentResponse,
  PaymentServiceClient,
  WatchPaymentsRequest,
} from '../../src/gen/payments/v1/payments.js';
import {
  AuthorizeRequestPlan,
  PaymentPlan,
  SealedPaymentServiceClient,
} from '../../src/gen/payments/v1/payments_sealed.js';
import { ReplyOpener } from '../../src/jwe/reply.js';
import { SealingSessions } from '../../src/jwe/sender.js';
import { sha256 } from '../../src/jwe/sha256.js';
import { staticKeySource } from '../../src/keys/key-source.js';
import { resolveLimits } from '../../src/profile/limits.js';
import { REPLY_FIELD, REPLY_METADATA } from '../../src/profile/replies.js';
import { boundDigest } from '../../src/schema/binding.js';
import { ReplayGuard } from '../../src/server/replay/replay-guard.js';
import { failureOf } from '../support/harness.js';
import { orderOf, paymentsService, type Seen, WATCHED } from '../support/payments-bench.js';
import { type Bench, metadataOf, readToEnd, startBench } from '../support/sealed-bench.js';

const PATH = '/payments.v1.PaymentService';
const SECRET = 'secret of Ada';
const same = (bytes: Buffer) => bytes;

/** Takes connections and passes them on from another address of the loopback. */
async function startOtherAddress(target: string): Promise<{ address: string; server: Server }> {
  const port = Number(target.split(':')[1]);
  const server = createServer((near) => {
    const far = connect({ host: '127.0.0.1', port, localAddress: '127.0.0.2' });
    near.pipe(far).pipe(near);
    for (const socket of [near, far]) socket.on('error', () => [near, far].map((one) => one.destroy()));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

describe('a reply token that somebody copied', () => {
  const seen: Seen = { calls: [] };
  const guard = new ReplayGuard();
  let asked = 0;
  let bench: Bench;
  let elsewhere: Server;
  let thief: PaymentServiceClient;
  let thiefBytes: Client;

  before(async () => {
    bench = await startBench({
      services: [paymentsService(seen)],
      open: {
        guard,
        authenticateCaller: ({ credential }) => {
          asked++;
          return credential.toString() === SECRET ? 'ada' : undefined;
        },
      },
      client: { credential: () => Buffer.from(SECRET) },
    });
    const { address, server } = await startOtherAddress(bench.address);
    elsewhere = server;
    thief = new PaymentServiceClient(address, credentials.createInsecure());
    thiefBytes = new Client(address, credentials.createInsecure());
  });
  after(() => {
    thief.close();
    thiefBytes.close();
    elsewhere.close();
    bench.stop();
  });
  beforeEach(() => {
    seen.calls.length = 0;
    asked = 0;
    bench.audit.notes.length = 0;
    bench.audit.records.length = 0;
    bench.relay.hooks = {};
  });

  const tokenSent = () => String(bench.relay.calls.at(-1)!.metadata.get(REPLY_METADATA)[0]);
  /** Ada's call, whose token passes by. @returns metadata with her token */
  async function copyFrom(call: Promise<unknown>): Promise<Metadata> {
    await call;
    seen.calls.length = 0;
    asked = 0;
    bench.audit.notes.length = 0;
    bench.audit.records.length = 0;
    return metadataOf(REPLY_METADATA, tokenSent());
  }
  const get = (paymentId: string, metadata: Metadata) =>
    new Promise<GetPaymentResponse>((resolve, reject) => {
      thief.getPayment({ paymentId }, metadata, (error, value) => (error ? reject(error) : resolve(value)));
    });
  const watch = async (orderId: string, metadata: Metadata) => {
    const { messages, error } = await readToEnd(thief.watchPayments({ orderId }, metadata));
    if (error !== undefined) throw error;
    return messages;
  };
  /** Sends any bytes to any method. */
  const send = (method: string, requests: readonly Buffer[], metadata: Metadata) => {
    const call = thiefBytes.makeBidiStreamRequest(`${PATH}/${method}`, same, same, metadata);
    for (const request of requests) call.write(request);
    call.end();
    return readToEnd(call).then(({ messages, error }) => {
      if (error !== undefined) throw error;
      return messages;
    });
  };
  function expectRefused(error: ServiceError, step: string): void {
    expect(errorDetails(error)).to.deep.include({ reason: 'SEALED_FIELD_INVALID', field: REPLY_METADATA });
    expect(bench.audit.notes.map(({ detail, peer }) => [detail, peer.split(':')[0]])).to.deep.equal([
      [`${step} at ${REPLY_METADATA}`, '127.0.0.2'],
    ]);
    // Neither a handler nor the hook was bothered, and nothing was opened.
    expect([seen.calls, asked, bench.audit.records]).to.deep.equal([[], 0, []]);
  }

  it('asks nothing else of the same method', async () => {
    const copied = await copyFrom(bench.client.getPayment({ paymentId: 'p-1' }));
    expectRefused(await failureOf(get('p-2', copied)), 'REQUEST_MISMATCH');
  });

  it('asks nothing else of the same method with a response stream', async () => {
    const copied = await copyFrom(readToEnd(bench.client.watchPayments({ orderId: 'order-1' })));
    expectRefused(await failureOf(watch('order-2', copied)), 'REQUEST_MISMATCH');
  });

  it('asks nothing by the same values in other bytes', async () => {
    const copied = await copyFrom(bench.client.getPayment({ paymentId: 'p-1' }));
    const bytes = Buffer.from(GetPaymentRequest.encode({ paymentId: 'p-1' }).finish());
    // A field that nobody knows follows.
    const longer = Buffer.concat([bytes, Buffer.from([0x7a, 0x00])]);
    expectRefused(await failureOf(send('GetPayment', [longer], copied)), 'REQUEST_MISMATCH');
  });

  it("opens nothing of a request of the thief's own", async () => {
    const copied = await copyFrom(bench.client.authorize(orderOf('of Ada')));
    const sealer = new MessageSealer({ sessions: new SealingSessions() });
    const sealed = await sealer.seal(AuthorizeRequestPlan, orderOf('own'), new Map([['', bench.ring.current()]]));
    const request = Buffer.from(AuthorizeRequest.encode(AuthorizeRequest.fromPartial(sealed)).finish());
    expectRefused(await failureOf(send('Authorize', [request], copied)), 'REQUEST_MISMATCH');
  });

  for (const method of ['Reconcile', 'WatchPayments', 'Authorize', 'ImportPayments']) {
    it(`asks nothing of ${method} when it was made for GetPayment`, async () => {
      const copied = await copyFrom(bench.client.getPayment({ paymentId: 'p-1' }));
      expectRefused(await failureOf(send(method, [Buffer.from('0a03702d31', 'hex')], copied)), 'METHOD_MISMATCH');
    });
  }

  it('asks the same question again where that changes nothing, and the answer is for its maker alone', async () => {
    const copied = await copyFrom(bench.client.getPayment({ paymentId: 'p-1' }));
    const { payment } = await get('p-1', copied);
    expect(seen.calls).to.deep.equal(['getPayment p-1']);
    const session = await new SealingSessions().acquire(bench.ring.current());
    const own = new ReplyOpener(session.replyKey, tokenSent(), resolveLimits());
    const bound = boundDigest(PaymentPlan.sealed[0]!, payment as object, sha256) as string;
    expect(() => own.open(payment!.card, { field: 'payments.v1.Payment.card', bound }))
      .to.throw()
      .with.property('code', 'REPLY_MISMATCH');
    expect(asked).to.equal(1);
  });

  it('asks the same question no second time where requests are a stream', async () => {
    const copied = await copyFrom(readToEnd(bench.client.reconcile([])));
    const error = await failureOf(send('Reconcile', [], copied));
    expect(errorDetails(error)).to.deep.include({ reason: 'SEALED_FIELD_REPLAYED', field: REPLY_METADATA });
    expect([seen.calls, asked]).to.deep.equal([[], 0]);
  });

  it('asks nothing at all without a request, and the call ends', async () => {
    const copied = await copyFrom(bench.client.getPayment({ paymentId: 'p-1' }));
    const error = await failureOf(send('GetPayment', [], copied));
    expect(error.code).to.not.equal(status.OK);
    expect(seen.calls).to.deep.equal([]);
  });

  it('is good for one call when it names no request, also where calls change nothing', async () => {
    const client = new SealedPaymentServiceClient(bench.relay.address, credentials.createInsecure(), {
      keys: staticKeySource(bench.ring.current()),
      credential: () => Buffer.from(SECRET),
      wireInterceptors: [(options, next) => new InterceptingCall(next(options))],
    });
    const copied = await copyFrom(client.getPayment({ paymentId: 'p-1' }));
    client.close();
    for (const paymentId of ['p-1', 'p-2']) {
      const error = await failureOf(get(paymentId, copied));
      expect(errorDetails(error)).to.deep.include({ reason: 'SEALED_FIELD_REPLAYED', field: REPLY_METADATA });
    }
    expect([seen.calls, asked]).to.deep.equal([[], 0]);
  });

  it('is compared with the request before compression', async () => {
    const client = new SealedPaymentServiceClient(bench.address, credentials.createInsecure(), {
      keys: staticKeySource(bench.ring.current()),
      credential: () => Buffer.from(SECRET),
      channelOptions: { 'grpc.default_compression_algorithm': 2 },
    });
    expect((await client.getPayment({ paymentId: 'p'.repeat(500) })).payment?.card?.holderName).to.equal('Ada');
    client.close();
  });

  describe('and sent by a relay with a call of its own', () => {
    /** From this message on, the client gets those of the relay's call with the client's reply token. */
    async function splice(from: number, orderId: string) {
      const lastCall = () => bench.relay.calls.at(-1)!;
      let others: Promise<Buffer[]> | undefined;
      bench.relay.hooks = {
        response: async (bytes, call, index) => {
          if (index < from) return bytes;
          const request = Buffer.from(WatchPaymentsRequest.encode({ orderId }).finish());
          others ??= send(
            'WatchPayments',
            [request],
            metadataOf(REPLY_METADATA, String(call.metadata.get(REPLY_METADATA)[0])),
          );
          return (await others)[index] as Buffer;
        },
      };
      const { messages, error } = await readToEnd(bench.client.watchPayments({ orderId: 'order-1' }));
      return { messages, error: error as ServiceError, call: lastCall() };
    }

    for (const from of [1, 2, WATCHED - 1]) {
      it(`splices no stream from message ${from} on: the client sees that it is another call's`, async () => {
        const { messages, error } = await splice(from, 'order-1');
        expect(error?.code).to.equal(status.DATA_LOSS);
        expect(error.details).to.equal('the sealed reply was refused: REPLY_MISMATCH at payment.card');
        expect(messages.length).to.be.at.most(from);
      });
    }

    it('gets nothing for another request to splice with', async () => {
      await splice(1, 'order-2');
      expect(bench.audit.notes.map(({ detail }) => detail)).to.deep.equal([`REQUEST_MISMATCH at ${REPLY_METADATA}`]);
      expect(seen.calls).to.deep.equal(['watchPayments order-1']);
    });
  });

  describe('where the service asks who calls', () => {
    const order = () => ({ ...orderOf('o'), card: 'ey.a.b.c.d', billingAddress: '', securityCode: '' });
    const withoutToken: Record<string, (metadata: Metadata) => Promise<unknown>> = {
      Authorize: (metadata) =>
        new Promise((resolve, reject) => {
          thief.authorize(order(), metadata, (error, value) => (error ? reject(error) : resolve(value)));
        }),
      ImportPayments: (metadata) => send('ImportPayments', [], metadata),
      GetPayment: (metadata) => get('p-1', metadata),
      WatchPayments: (metadata) => watch('order-1', metadata),
      Reconcile: (metadata) => send('Reconcile', [], metadata),
    };
    for (const [name, call] of Object.entries(withoutToken)) {
      it(`lets nobody pass unasked: ${name}`, async () => {
        const { count: held } = await guard.stats();
        const none = await failureOf(call(new Metadata()));
        expect(none.code).to.equal(status.UNAUTHENTICATED);
        expect(errorDetails(none)).to.deep.include({ reason: 'CALLER_NOT_AUTHENTICATED', field: REPLY_METADATA });
        expect(asked).to.equal(0);
        const session = await new SealingSessions().acquire(bench.ring.current());
        for (const credential of ['', 'guess']) {
          const token = session.seal(Buffer.from(credential), {
            field: REPLY_FIELD,
            cty: 'application/protobuf',
            iat: Math.floor(Date.now() / 1000),
            call: { mth: `${PATH}/${name}` },
          });
          const refused = await failureOf(call(metadataOf(REPLY_METADATA, token)));
          expect(refused.code).to.equal(status.UNAUTHENTICATED);
          expect(errorDetails(refused)?.reason).to.equal('CALLER_NOT_AUTHENTICATED');
        }
        expect(asked).to.equal(2);
        // Strangers take no room in it.
        expect((await guard.stats()).count).to.equal(held);
        expect(seen.calls).to.deep.equal([]);
        expect(bench.audit.notes.map(({ detail }) => detail.split(' ')[0])).to.deep.equal([
          'NO_CREDENTIAL',
          'CALLER_REFUSED',
          'CALLER_REFUSED',
        ]);
      });
    }

    it('lets those pass who say who they are, to every method', async () => {
      await bench.client.authorize(orderOf('asked'));
      await bench.client.importPayments([{ payment: orderOf('asked too') }]);
      expect(asked).to.equal(2);
      const opened = bench.audit.records.filter(({ fields }) => fields.some(({ path }) => path.endsWith('card')));
      expect(opened.map(({ principal }) => principal)).to.deep.equal(['ada', 'ada']);
    });

    it('records a credential before anybody sees it, also where calls change nothing', async () => {
      bench.audit.failures = 1;
      const error = await failureOf(bench.client.getPayment({ paymentId: 'p-1' }));
      expect(errorDetails(error)?.reason).to.equal('AUDIT_UNAVAILABLE');
      expect([asked, seen.calls]).to.deep.equal([0, []]);
      await bench.client.getPayment({ paymentId: 'p-1' });
      const [field] = bench.audit.records[0]!.fields;
      expect(field).to.deep.include({ field: REPLY_FIELD, keep: false, outcome: 'opened' });
    });
  });
});

describe('a reply token whose request cannot be seen', () => {
  it('is good for one call', async () => {
    // Whatever stands between the wire and ours may put another object in the place of what was decoded.
    const copying: ServerInterceptor = (_definition, call) =>
      new ServerInterceptingCall(call, {
        start: (next) => next({ onReceiveMessage: (message, pass) => pass({ ...(message as object) }) }),
      });
    const seen: Seen = { calls: [] };
    const bench = await startBench({
      services: [paymentsService(seen)],
      open: { guard: new ReplayGuard() },
      around: [[copying], []],
    });
    await bench.client.getPayment({ paymentId: 'p-1' });
    const [token] = bench.relay.calls[0]!.metadata.get(REPLY_METADATA);
    bench.relay.hooks = { metadata: (metadata) => metadata.set(REPLY_METADATA, token as string) };
    const error = await failureOf(bench.client.getPayment({ paymentId: 'p-1' }));
    expect(errorDetails(error)).to.deep.include({ reason: 'SEALED_FIELD_REPLAYED', field: REPLY_METADATA });
    expect(seen.calls).to.deep.equal(['getPayment p-1']);
    bench.stop();
  });
});
