/** What callers of the real service cost each other. */
import { Metadata } from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../src/client/client.js';
import type { SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import { createNamedClient, type FloodTarget } from '../support/floods-work.js';
import { callRaw, failureOf, type Harness, startHarness, validRequest } from '../support/harness.js';

const PAYMENTS = 60;
/** Nothing is cached: every stored card needs an agreement, as after two minutes. */
const COLD = { agreements: 'none' as const, trustedProxies: ['127.0.0.1'] };

function targetOf({ service, dir }: Harness): FloodTarget {
  return { address: service.address, publicKeys: `${dir}/keys/public.jwks.json` };
}

describe('fair shares', function () {
  this.timeout(120_000);
  let harness: Harness;
  const clients: SealedPaymentServiceClient[] = [];
  const ids: string[] = [];
  const clientOf = (name: string) => {
    const client = createNamedClient(targetOf(harness), name);
    clients.push(client);
    return client;
  };

  before(async function () {
    this.timeout(120_000);
    harness = await startHarness({ config: { ...COLD, rate: { perSecond: 50, burst: 20 } } });
    for (let n = 0; n < PAYMENTS; n++) {
      const { paymentId } = await clientOf(`payer-${n % 10}`).authorize({ ...validRequest, orderId: `order-${n}` });
      ids.push(paymentId);
    }
  });
  after(async () => {
    for (const client of clients) client.close();
    await harness.stop();
  });

  it('lets a watch over more stored cards than a burst wait its turn, and gives it all of them', async () => {
    const seen: string[] = [];
    const stop = new AbortController();
    try {
      for await (const { payment } of clientOf('watcher').watchPayments({ orderId: '' }, { signal: stop.signal })) {
        seen.push(payment?.card?.holderName ?? '');
        if (seen.length === PAYMENTS) stop.abort();
      }
    } catch (error) {
      if (seen.length < PAYMENTS) throw error;
    }
    expect(seen).to.deep.equal(ids.map(() => validRequest.card.holderName));
  });
});

describe('a caller that reads more than its share', function () {
  this.timeout(120_000);
  const BURST = 20;
  let harness: Harness;
  const clients: SealedPaymentServiceClient[] = [];
  const clientOf = (name: string) => {
    const client = createNamedClient(targetOf(harness), name);
    clients.push(client);
    return client;
  };
  after(async () => {
    for (const client of clients) client.close();
    await harness.stop();
  });

  it("waits alone: others' stored cards open meanwhile, and its waits end with its calls", async () => {
    harness = await startHarness({ config: { ...COLD, rate: { perSecond: 1, burst: BURST } } });
    const pay = (n: number) => clientOf(`payer-${n}`).authorize({ ...validRequest, orderId: `order-${n}` });
    const [{ paymentId }] = await Promise.all([pay(0), ...Array.from({ length: 11 }, (_, n) => pay(n + 1))]);
    const greedy = clientOf('greedy');
    const stops = Array.from({ length: BURST }, () => new AbortController());
    let seen = 0;
    let isWaiting = () => {};
    const usedUp = new Promise<void>((resolve) => {
      isWaiting = resolve;
    });
    const watches = stops.map(async ({ signal }) => {
      try {
        for await (const _ of greedy.watchPayments({ orderId: '' }, { signal })) if (++seen === BURST) isWaiting();
      } catch {
        // Ended by us.
      }
    });
    await usedUp;
    const { payment } = await clientOf('modest').getPayment({ paymentId });
    expect(payment?.card?.number).to.equal(validRequest.card.number);
    // Behind the greedy one's twenty calls that wait, one a second, it would have come after them.
    expect(seen).to.be.lessThan(2 * BURST);
    for (const stop of stops) stop.abort();
    await Promise.all(watches);
    await harness.stopService();
    const refused = (await harness.auditRecords()).filter(({ event }) => event === 'reject');
    expect(refused.map(({ principal, fields }) => [principal, fields[0]?.reason])).to.deep.equal(
      stops.map(() => ['greedy', 'CALLER_RATE']),
    );
  });
});

describe('a trusted proxy', () => {
  it('that adds to the header of the caller gets no second name for it, and the refusal is recorded', async () => {
    const harness = await startHarness({ config: { trustedProxies: ['127.0.0.1'] } });
    try {
      const metadata = new Metadata();
      for (const name of ['forged', 'shop']) metadata.add('x-sealwire-caller', name);
      const error = await failureOf(
        callRaw(harness.raw, { ...validRequest, card: 'x', billingAddress: '', securityCode: '' }, metadata),
      );
      expect(errorDetails(error)).to.include({ reason: 'CALLER_NOT_AUTHENTICATED', field: 'x-sealwire-caller' });
      const records = await harness.auditRecords();
      await harness.stopService();
      expect(records.map(({ principal }) => principal)).not.to.include('forged, shop');
      const rejects = (await harness.auditRecords()).filter(({ event }) => event === 'reject');
      expect(rejects.map(({ principal, detail }) => [principal, detail])).to.deep.equal([
        ['', 'CALLER_REFUSED at x-sealwire-caller'],
      ]);
    } finally {
      await harness.stop();
    }
  });
});
