/** What callers of the real service cost each other. */
import { Metadata } from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../src/client/client.js';
import type { SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import { createNamedClient } from '../support/floods-work.js';
import { callRaw, failureOf, type Harness, startHarness, validRequest } from '../support/harness.js';

const PAYMENTS = 60;
/** Nothing is cached: every stored card needs an agreement, as after two minutes. */
const COLD = { agreements: 'none', trustedProxies: ['127.0.0.1'], rate: { perSecond: 50, burst: 20 } } as const;

describe('fair shares', function () {
  this.timeout(120_000);
  let harness: Harness;
  const clients: SealedPaymentServiceClient[] = [];
  const ids: string[] = [];
  const clientOf = (name: string) => {
    const publicKeys = `${harness.dir}/keys/public.jwks.json`;
    const client = createNamedClient({ address: harness.service.address, publicKeys }, name);
    clients.push(client);
    return client;
  };

  before(async function () {
    this.timeout(120_000);
    harness = await startHarness({ config: { ...COLD, trustedProxies: ['127.0.0.1'] } });
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

  it("charges stored openings to who asks: others' cards open while one caller's wait, and a wait ends with its call", async () => {
    const greedy = clientOf('greedy');
    const stops = Array.from({ length: 20 }, () => new AbortController());
    const watches = stops.map(async ({ signal }) => {
      let seen = 0;
      try {
        for await (const _ of greedy.watchPayments({ orderId: '' }, { signal })) seen++;
      } catch {
        // Aborted.
      }
      return seen;
    });
    const modest = clientOf('modest');
    for (let n = 0; n < 10; n++) {
      const { payment } = await modest.getPayment({ paymentId: ids[n] as string });
      expect(payment?.card?.number).to.equal(validRequest.card.number);
    }
    for (const stop of stops) stop.abort();
    const seen = (await Promise.all(watches)).reduce((sum, count) => sum + count, 0);
    expect(seen).to.be.lessThan(20 * PAYMENTS);
    await harness.stopService();
    const given = (await harness.auditRecords()).filter(
      ({ event, principal, fields }) =>
        event === 'reject' && principal === 'greedy' && fields[0]?.reason === 'CALLER_RATE',
    );
    expect(given).not.to.have.lengthOf(0);
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
      expect(errorDetails(error)).to.include({ reason: 'SEALED_FIELD_INVALID', field: 'x-sealwire-caller' });
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
