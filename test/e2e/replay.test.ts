/** Tokens are used once: under load, over restarts, with a full store, a failing log and a transport that retries. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials, InterceptingCall, type Interceptor, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../src/client/client.js';
import { MessageSealer } from '../../src/client/seal-message.js';
import { SealwireError } from '../../src/errors.js';
import { type AuthorizeRequest, PaymentServiceClient } from '../../src/gen/payments/v1/payments.js';
import { AuthorizeRequestPlan, SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import { TokenOpener } from '../../src/jwe/opener.js';
import { SealingSessions } from '../../src/jwe/sender.js';
import { fileKeySource, staticKeySource } from '../../src/keys/key-source.js';
import { REPLY_METADATA } from '../../src/profile/replies.js';
import type { MethodPlan, SealedServiceDefinition } from '../../src/schema/plan.js';
import { MessageOpener } from '../../src/server/open-message.js';
import { MemoryReplayStore } from '../../src/server/replay/memory-replay-store.js';
import { ReplayGuard } from '../../src/server/replay/replay-guard.js';
import { CheckoutRequest } from '../gen/shop/v1/shop.js';
import { SealedCheckoutService } from '../gen/shop/v1/shop_sealed.js';
import { floodWithCopies, runMany } from '../support/copies.js';
import { callRaw, failureOf } from '../support/harness.js';
import { orderOf, paymentsService, type Seen, WATCHED } from '../support/payments-bench.js';
import { type PaymentsService, paymentsConfig, startPayments } from '../support/payments-host.js';
import { fullOrder } from '../support/relayed-harness.js';
import { rewriteAs } from '../support/rewriting-relay.js';
import { type Bench, MemorySink, readToEnd, startBench } from '../support/sealed-bench.js';

const CALL = {
  method: '/test',
  peer: '',
  principal: 'caller',
  account: 'custom:caller',
  requestId: '',
  traceparent: '',
};
const ADDRESS = { line1: 'Calle 1', line2: '', city: 'Málaga', postalCode: '29001', countryCode: 'ES' };

/** Sees the metadata that goes to the wire. */
function spy(see: (metadata: Metadata) => void): Interceptor {
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start(metadata, listener, next) {
        see(metadata);
        next(metadata, listener);
      },
    });
}

function expectReplayed(error: ServiceError, field: string): void {
  expect(error.code, error.message).to.equal(status.ALREADY_EXISTS);
  expect(errorDetails(error)).to.deep.include({ reason: 'SEALED_FIELD_REPLAYED', field });
}

describe('a token that is sent again', () => {
  const seen: Seen = { calls: [] };
  let bench: Bench;
  let raw: PaymentServiceClient;
  let sealer: MessageSealer;

  before(async () => {
    bench = await startBench({ services: [paymentsService(seen)], open: { guard: new ReplayGuard() } });
    raw = new PaymentServiceClient(bench.relay.address, credentials.createInsecure());
    sealer = new MessageSealer({ sessions: new SealingSessions() });
  });
  after(() => {
    raw.close();
    bench.stop();
  });
  beforeEach(() => {
    seen.calls.length = 0;
    bench.relay.hooks = {};
    bench.relay.calls.length = 0;
  });

  async function seal(request: object): Promise<AuthorizeRequest> {
    const keys = new Map([['', bench.ring.current()]]);
    return (await sealer.seal(AuthorizeRequestPlan, request, keys)) as AuthorizeRequest;
  }

  it('100,000 times at once is delivered exactly once', async function () {
    this.timeout(120_000);
    const message = await seal(orderOf('flood'));
    const audit = new MemorySink();
    const opener = new MessageOpener({
      tokenOpener: new TokenOpener({ keys: bench.ring }),
      // A log that takes its time, so that many copies are between claim and record.
      audit: {
        commit: (record) => new Promise<void>((resolve) => setImmediate(() => resolve(audit.commit(record)))),
        note: () => {},
      },
      guard: new ReplayGuard(),
    });
    const outcomes = new Map<string, number>();
    await runMany(100_000, 2_000, async () => {
      const outcome = await opener.open(AuthorizeRequestPlan, message, CALL).then(
        () => 'delivered',
        (error: unknown) => (error instanceof SealwireError ? error.code : 'other'),
      );
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    });
    expect(Object.fromEntries(outcomes)).to.deep.equal({ delivered: 1, REPLAYED: 99_999 });
    expect(audit.records).to.have.length(1);
  });

  it('3,000 times at once in calls reaches the handler exactly once', async function () {
    this.timeout(60_000);
    expect(await floodWithCopies(3_000, 100)).to.deep.equal({
      outcomes: { OK: 1, SEALED_FIELD_REPLAYED: 2_999 },
      handled: 1,
    });
  });

  it('takes nothing of its message with it: a message is used up as a whole or not at all', async () => {
    const first = await seal({ ...orderOf('whole'), billingAddress: ADDRESS });
    const second = await seal({ ...orderOf('whole'), billingAddress: ADDRESS });
    await callRaw(raw, { ...first, billingAddress: '' });
    expectReplayed(await failureOf(callRaw(raw, { ...second, card: first.card })), 'card');
    expectReplayed(await failureOf(callRaw(raw, { ...first, billingAddress: second.billingAddress })), 'card');
    // The second address was in two messages that were refused, and is as good as new.
    await callRaw(raw, second);
    const third = await seal(orderOf('whole'));
    expectReplayed(
      await failureOf(callRaw(raw, { ...third, billingAddress: second.billingAddress })),
      'billing_address',
    );
    await callRaw(raw, third);
  });

  it('that was refused for another reason has not been used', async () => {
    const message = await seal({ ...orderOf('refused'), billingAddress: ADDRESS });
    const wrong = { ...message, billingAddress: message.card };
    expect(errorDetails(await failureOf(callRaw(raw, wrong)))?.reason).to.equal('SEALED_FIELD_INVALID');
    await callRaw(raw, message);
  });

  it('is as good as new when its audit record could not be written, and no handler has run', async () => {
    const message = await seal(orderOf('unaudited'));
    bench.audit.failures = 2;
    for (const _ of [1, 2]) {
      expect(errorDetails(await failureOf(callRaw(raw, message)))?.reason).to.equal('AUDIT_UNAVAILABLE');
    }
    expect(seen.calls).to.deep.equal([]);
    await callRaw(raw, message);
    expectReplayed(await failureOf(callRaw(raw, message)), 'card');
  });

  it('as a reply token is given back too, when its own record could not be written', async () => {
    const reconcile = () => readToEnd(bench.client.reconcile([{ paymentId: 'p', statementLine: { value: 'x' } }]));
    bench.audit.failures = 1;
    const { error } = await reconcile();
    expect(errorDetails(error)?.reason).to.equal('AUDIT_UNAVAILABLE');
    const [token] = bench.relay.calls[0]!.metadata.get(REPLY_METADATA);
    bench.relay.hooks = { metadata: (metadata) => metadata.set(REPLY_METADATA, token!) };
    // Taken by the service; the client that has another one cannot open what comes.
    expect(((await reconcile()).error as ServiceError).code).to.equal(status.DATA_LOSS);
    expectReplayed((await reconcile()).error as ServiceError, REPLY_METADATA);
  });

  describe('by a transport that retries', () => {
    const policy = {
      maxAttempts: 3,
      initialBackoff: '0.01s',
      maxBackoff: '0.01s',
      backoffMultiplier: 1,
      retryableStatusCodes: ['UNAVAILABLE'],
    };
    const config = JSON.stringify({ methodConfig: [{ name: [{}], retryPolicy: policy }] });
    let retrying: SealedPaymentServiceClient;
    before(() => {
      retrying = new SealedPaymentServiceClient(bench.relay.address, credentials.createInsecure(), {
        keys: staticKeySource(bench.ring.current()),
        channelOptions: { 'grpc.service_config': config },
      });
    });
    after(() => retrying.close());

    /** The first attempt fails in this way, the others pass. */
    const failFirst = (fate: 'refuse' | 'lose') => {
      bench.relay.hooks = { fate: ({ number }) => (number === 0 ? fate : 'pass') };
    };
    const expectSameBytes = (attempts: number) => {
      const { calls } = bench.relay;
      expect(calls).to.have.length(attempts);
      for (const { requests, metadata } of calls) {
        expect(requests).to.deep.equal(calls[0]?.requests);
        expect(metadata.get(REPLY_METADATA)).to.deep.equal(calls[0]?.metadata.get(REPLY_METADATA));
      }
    };

    it('succeeds when the first attempt never reached the service', async () => {
      failFirst('refuse');
      await retrying.authorize(orderOf('retried'));
      expectSameBytes(2);
      expect(seen.calls).to.deep.equal(['authorize retried card-of-retried']);
    });

    it('is refused when the first attempt did reach it, and the handler runs once', async () => {
      failFirst('lose');
      expectReplayed(await failureOf(retrying.authorize(orderOf('lost'))), 'card');
      expectSameBytes(2);
      expect(seen.calls).to.deep.equal(['authorize lost card-of-lost']);
    });

    it('is refused in a request stream likewise', async () => {
      failFirst('lose');
      const imports = retrying.importPayments([{ payment: orderOf('stream') }]);
      expectReplayed(await failureOf(imports), 'payment.card');
      expectSameBytes(2);
      expect(seen.calls).to.deep.equal(['import stream card-of-stream']);
    });

    it('succeeds when the service could not write its record', async () => {
      bench.audit.failures = 1;
      await retrying.authorize(orderOf('log back'));
      expectSameBytes(2);
      expect(seen.calls).to.have.length(1);
    });

    it('just works for idempotent methods, whose replies fit every attempt', async () => {
      failFirst('lose');
      const { payment } = await retrying.getPayment({ paymentId: 'p-1' });
      expect(payment?.card?.number).to.equal('card-of-p-1');
      expectSameBytes(2);
      bench.relay.calls.length = 0;
      const { messages, error } = await readToEnd(retrying.watchPayments({ orderId: 'o' }));
      expect([messages.length, error]).to.deep.equal([WATCHED, undefined]);
      expectSameBytes(2);
      expect(seen.calls).to.have.length(4);
    });
  });
});

describe('a token that is sent again to a method', () => {
  for (const [idempotency, twice] of [
    ['unknown', false],
    ['no-side-effects', true],
    ['idempotent', true],
  ] as const) {
    it(`whose idempotency level is ${idempotency} is ${twice ? 'taken' : 'refused'}`, async () => {
      const { definition, plan } = SealedCheckoutService;
      const methods = Object.entries(plan.methods as Record<string, MethodPlan>).map(([path, method]) => [
        path,
        { ...method, idempotency },
      ]);
      const service = {
        definition,
        plan: { ...plan, methods: Object.fromEntries(methods) },
      } as SealedServiceDefinition<typeof definition>;
      let runs = 0;
      const checkout = (_call: unknown, answer: (error: null, value: object) => void) => {
        runs++;
        answer(null, { orderId: 'o' });
      };
      const bench = await startBench({
        services: [{ service, handlers: { checkout } }],
        open: { guard: new ReplayGuard() },
      });
      const client = bench.connect(service);
      const cart = { cartId: 'c', items: [], notes: [{ value: 'one' }, { value: 'two' }], substitutes: {} };
      await client.call('checkout', cart);
      const [bytes] = bench.relay.calls[0]!.requests;
      bench.relay.hooks = { request: () => bytes as Buffer };
      if (twice) await client.call('checkout', cart);
      else expectReplayed(await failureOf(client.call('checkout', cart)), 'notes[0]');
      expect(runs).to.equal(twice ? 2 : 1);
      if (!twice) {
        // Nor twice in one message.
        bench.relay.hooks = {
          request: rewriteAs(CheckoutRequest, (message) => ({
            ...message,
            notes: [message.notes[0]!, message.notes[0]!],
          })),
        };
        expectReplayed(await failureOf(client.call('checkout', cart)), 'notes[1]');
      }
      bench.stop();
    });
  }
});

describe('a replay guard without room', () => {
  it('refuses what is new, forgets nothing, and takes new tokens when old ones have had their time', async () => {
    const seen: Seen = { calls: [] };
    let time = Date.now();
    const now = () => time;
    const guard = new ReplayGuard({ store: new MemoryReplayStore({ capacity: 64, now, monotonic: now }), now });
    const bench = await startBench({ services: [paymentsService(seen)], open: { guard, now }, client: { now } });
    // The rest of the room is for other callers.
    const all = Array.from({ length: 48 }, (_, index) => `order-${index}`);
    for (const order of all) await bench.client.authorize(orderOf(order));
    const sent = bench.relay.calls.map(({ requests }) => requests[0] as Buffer);
    const error = await failureOf(bench.client.authorize(orderOf('one more')));
    expect(error.code).to.equal(status.RESOURCE_EXHAUSTED);
    expect(errorDetails(error)?.reason).to.equal('LIMIT_EXCEEDED');
    for (const bytes of sent) {
      bench.relay.hooks = { request: () => bytes };
      expectReplayed(await failureOf(bench.client.authorize(orderOf('any'))), 'card');
    }
    expect(seen.calls).to.have.length(48);
    bench.relay.hooks = {};
    // Idempotent methods need no room.
    await bench.client.getPayment({ paymentId: 'p' });
    time += 302_000;
    await bench.client.authorize(orderOf('later'));
    bench.stop();
  });
});

describe('a service that starts again', () => {
  it('refuses the tokens that it took before, of all kinds', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'sealwire-restart-'));
    const config = paymentsConfig({ dir, drainMs: 500 });
    const run = async (work: (service: PaymentsService) => Promise<void>) => {
      const service = await startPayments(config);
      try {
        await work(service);
      } finally {
        await service.stop();
      }
    };
    let request: AuthorizeRequest;
    let unused: AuthorizeRequest;
    let replyToken = '';
    await run(async (service) => {
      const sealer = new MessageSealer({ sessions: new SealingSessions() });
      const keys = new Map([['', service.keyRing.current()]]);
      const seal = async () =>
        (await sealer.seal(AuthorizeRequestPlan, fullOrder('restart'), keys)) as AuthorizeRequest;
      [request, unused] = [await seal(), await seal()];
      const raw = new PaymentServiceClient(service.address, credentials.createInsecure());
      await callRaw(raw, request);
      raw.close();
      const client = new SealedPaymentServiceClient(service.address, credentials.createInsecure(), {
        keys: fileKeySource(join(dir, 'keys/public.jwks.json')),
        wireInterceptors: [
          spy((metadata) => {
            replyToken = String(metadata.get(REPLY_METADATA)[0]);
          }),
        ],
      });
      await readToEnd(client.reconcile([{ paymentId: 'p', statementLine: { value: 'x' } }]));
      client.close();
    });
    expect(replyToken).to.match(/^ey/);
    await run(async (service) => {
      const raw = new PaymentServiceClient(service.address, credentials.createInsecure());
      expectReplayed(await failureOf(callRaw(raw, request)), 'card');
      expectReplayed(
        await failureOf(callRaw(raw, { ...unused, billingAddress: request.billingAddress })),
        'billing_address',
      );
      // Transient: the log has its digest only.
      expectReplayed(await failureOf(callRaw(raw, { ...unused, securityCode: request.securityCode })), 'security_code');
      await callRaw(raw, unused);
      const metadata = new Metadata();
      metadata.set(REPLY_METADATA, replyToken);
      const call = raw.reconcile(metadata);
      const error = await new Promise<ServiceError>((resolve) => call.on('error', (e) => resolve(e as ServiceError)));
      expectReplayed(error, REPLY_METADATA);
      raw.close();
    });
    await rm(dir, { recursive: true });
  });
});
