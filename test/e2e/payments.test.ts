import { expect } from 'chai';
import { errorDetails } from '../../src/client/client.js';
import { isOpened } from '../../src/schema/opened.js';
import { failureOf, type Harness, startHarness, validRequest } from '../support/harness.js';
import { createSoftToken, type SoftToken, tokenConfig, writeTokenRing } from '../support/softhsm.js';

const { card } = validRequest;

async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

for (const custody of ['in a file', 'in a PKCS#11 token'] as const) {
  describe(`the payments service, every method, with its key ${custody}`, () => {
    let harness: Harness;
    let token: SoftToken | undefined;
    let keys = 0;
    before(async function () {
      if (custody !== 'in a file') token = await createSoftToken(this);
    });
    after(() => token?.remove());
    beforeEach(async () => {
      if (token === undefined) {
        harness = await startHarness();
        return;
      }
      const owner = token;
      const prepare = async (dir: string) => {
        await writeTokenRing(dir, owner, { object: `payments ${keys++}` });
      };
      harness = await startHarness({ prepare, config: await tokenConfig(owner) });
    });
    afterEach(() => harness.stop());

    it('gives a stored card back to whoever asks with a reply token, sealed for them', async () => {
      const { paymentId } = await harness.client.authorize(validRequest);
      const { payment } = await harness.client.getPayment({ paymentId });
      expect(payment).to.deep.include({ paymentId, orderId: validRequest.orderId, status: 'authorized' });
      expect({ ...payment?.card }).to.deep.equal(card);
      expect(isOpened(payment?.card)).to.equal(true);
      expect(String(payment?.card)).to.equal('[opened payments.v1.CardDetails]');
      const events = (await harness.auditRecords()).map(({ event }) => event);
      expect(events).to.deep.equal(['start', 'open', 'openStored', 'seal']);
      // Whoever asked is named also where the handler opens.
      const [, , stored] = await harness.auditRecords();
      expect([stored?.method, stored?.principal]).to.deep.equal([
        '/payments.v1.PaymentService/GetPayment',
        '127.0.0.1',
      ]);
    });

    it('says that a payment does not exist', async () => {
      expect((await failureOf(harness.client.getPayment({ paymentId: 'none' }))).details).to.equal('no such payment');
    });

    it('imports a stream of payments', async () => {
      const requests = Array.from({ length: 200 }, (_, index) => ({
        payment: { ...validRequest, orderId: `order-${index}` },
      }));
      expect(await harness.client.importPayments(requests)).to.deep.equal({ imported: '200' });
      expect([...harness.service.app.store.all()].map(({ orderId }) => orderId)).to.deep.equal(
        requests.map(({ payment }) => payment.orderId),
      );
    });

    it('ends an import at a payment that is refused, and says which field', async () => {
      const wrong = { ...card, number: '4111111111111112' };
      const taken = new Promise<void>((resolve) => harness.service.app.store.watch(() => resolve(), resolve));
      async function* requests() {
        yield { payment: { ...validRequest, orderId: 'a' } };
        await taken;
        yield { payment: { ...validRequest, orderId: 'b', card: wrong } };
        yield { payment: { ...validRequest, orderId: 'c' } };
      }
      const error = await failureOf(harness.client.importPayments(requests()));
      expect(error.details).to.equal('a sealed message breaks a validation rule');
      expect([...harness.service.app.store.all()].map(({ orderId }) => orderId)).to.deep.equal(['a']);
    });

    it('streams the payment of an order, also one that is yet to come', async () => {
      const first = harness.client.watchPayments({ orderId: 'order-2' })[Symbol.asyncIterator]();
      const coming = first.next();
      await harness.client.authorize(validRequest);
      await harness.client.authorize({ ...validRequest, orderId: 'order-2' });
      const { value } = await coming;
      expect({ ...value?.payment?.card }).to.deep.equal(card);
      expect((await first.next()).done).to.equal(true);
      const again = await collect(harness.client.watchPayments({ orderId: 'order-1' }));
      expect(again.map(({ payment }) => payment?.orderId)).to.deep.equal(['order-1']);
    });

    it('streams all payments until the service stops', async () => {
      await harness.client.authorize(validRequest);
      const seen: (string | undefined)[] = [];
      for await (const { payment } of harness.client.watchPayments({ orderId: '' })) {
        seen.push(payment?.orderId);
        if (seen.length === 1) await harness.client.authorize({ ...validRequest, orderId: 'order-2' });
        else harness.service.app.store.close();
      }
      expect(seen).to.deep.equal(['order-1', 'order-2']);
    });

    it('reconciles statement lines one by one', async () => {
      const { paymentId } = await harness.client.authorize(validRequest);
      async function* lines() {
        yield { paymentId, statementLine: { value: 'CARD order-1 19.99' } };
        yield { paymentId, statementLine: { value: 'CARD other' } };
        yield { paymentId: 'none', statementLine: { value: 'x' } };
        yield { paymentId };
      }
      const answers = await collect(harness.client.reconcile(lines()));
      expect(answers.map(({ matched, note }) => [matched, note?.value])).to.deep.equal([
        [true, 'matches order order-1, 1999 EUR minor units'],
        [false, 'does not name order order-1, 1999 EUR minor units'],
        [false, 'no such payment'],
        [false, 'no statement line'],
      ]);
    });

    it('tells every rule that a card and an address break, and no value', async () => {
      const request = {
        ...validRequest,
        card: { number: '4111-1111', expiryMonth: 13, expiryYear: 31, holderName: '' },
        billingAddress: { line1: '', line2: '', city: 'Zürich', postalCode: '8001', countryCode: 'Switzerland' },
      };
      const error = await failureOf(harness.client.authorize(request));
      const details = errorDetails(error);
      expect(details?.reason).to.equal('INNER_MESSAGE_INVALID');
      expect(details?.violations.map(({ path }) => path)).to.deep.equal([
        'card.number',
        'card.expiry_month',
        'card.expiry_year',
        'billing_address.line1',
        'billing_address.country_code',
      ]);
      expect(JSON.stringify(error.metadata.toHttp2Headers())).not.to.match(/4111|Switzerland/);
    });
  });
}
