import { randomBytes, randomUUID } from 'node:crypto';
import { type ServerUnaryCall, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import type { AuthorizeResponse } from '../../src/gen/payments/v1/payments.js';
import type { OpenedAuthorizeRequest } from '../../src/gen/payments/v1/payments_sealed.js';
import { isLuhn, isUnexpired } from '../../src/payments/payment-rules.js';
import { PaymentStore } from '../../src/payments/payment-store.js';
import { createPaymentHandlers } from '../../src/payments/payments.js';
import { recordToken } from '../../src/schema/opened.js';
import type { OpenStored } from '../../src/server/stored/open-stored.js';

const openStored: OpenStored = () => Promise.reject(new Error('nothing is opened here'));
const NOW = Date.UTC(2026, 10, 24);

function makeRequest(change: Partial<OpenedAuthorizeRequest> = {}): OpenedAuthorizeRequest {
  const card = { number: '4242424242424242', expiryMonth: 12, expiryYear: 2027, holderName: 'Ada Lovelace' };
  const request = { orderId: 'order-1', amountMinor: '4999', currencyCode: 'EUR', card, ...change };
  recordToken(request, 'card', undefined, 'header.key.iv.text.tag');
  return request;
}

describe('the payments handlers', () => {
  let store: PaymentStore;
  beforeEach(() => {
    store = new PaymentStore();
  });

  async function authorize(request: OpenedAuthorizeRequest): Promise<AuthorizeResponse> {
    const handlers = createPaymentHandlers({ store, openStored, createId: randomUUID, now: () => NOW });
    const call = { request } as ServerUnaryCall<OpenedAuthorizeRequest, AuthorizeResponse>;
    return new Promise((resolve, reject) => {
      void handlers.authorize(call, (error, value) => (error ? reject(error) : resolve(value as AuthorizeResponse)));
    });
  }

  it('authorize a good card', async () => {
    const response = await authorize(makeRequest());
    expect(response).to.include({ status: 'authorized', cardLast4: '4242' });
    expect(response.paymentId).to.match(/^[0-9a-f-]{36}$/);
  });

  it('decline a wrong check digit', async () => {
    const card = { number: '4242424242424241', expiryMonth: 12, expiryYear: 2027, holderName: '' };
    expect((await authorize(makeRequest({ card }))).status).to.equal('declined');
  });

  it('decline an expired card', async () => {
    const card = { number: '4242424242424242', expiryMonth: 10, expiryYear: 2026, holderName: '' };
    expect((await authorize(makeRequest({ card }))).status).to.equal('declined');
  });

  it('answer the same order with the same payment', async () => {
    const first = await authorize(makeRequest());
    expect(await authorize(makeRequest())).to.deep.equal(first);
    expect((await authorize(makeRequest({ orderId: 'order-2' }))).paymentId).not.to.equal(first.paymentId);
  });

  for (const [name, change] of [
    ['amount', { amountMinor: '1' }],
    ['currency', { currencyCode: 'USD' }],
  ] as const) {
    it(`refuse the same order with another ${name}`, async () => {
      await authorize(makeRequest());
      const error = await authorize(makeRequest(change)).catch((caught: unknown) => caught);
      expect(error).to.include({ code: status.ALREADY_EXISTS });
    });
  }

  it('keep the card as its token, and the security code nowhere', async () => {
    const securityCode = { value: randomBytes(8).toString('hex') };
    await authorize(makeRequest({ securityCode }));
    const kept = store.find('order-1');
    expect(kept?.card).to.equal('header.key.iv.text.tag');
    const text = JSON.stringify(kept);
    expect(text).not.to.include('4242424242424242');
    expect(text).not.to.include('Ada');
    expect(text).not.to.include(securityCode.value);
  });
});

describe('isLuhn', () => {
  for (const number of ['4242424242424242', '4111111111111111', '378282246310005', '6304000000000000']) {
    it(`accepts ${number}`, () => expect(isLuhn(number)).to.equal(true));
  }
  for (const number of [
    '',
    '0',
    '00000000000',
    '4242424242424241',
    '4242 4242 4242 4242',
    '42424242424242424242',
    '４242',
  ]) {
    it(`refuses '${number}'`, () => expect(isLuhn(number)).to.equal(false));
  }
});

describe('isUnexpired', () => {
  const cases: readonly [month: number, year: number, now: number, expected: boolean][] = [
    [11, 2026, Date.UTC(2026, 10, 30, 23, 59, 59, 999), true],
    [11, 2026, Date.UTC(2026, 11, 1), false],
    [12, 2026, Date.UTC(2026, 11, 31), true],
    [12, 2026, Date.UTC(2027, 0, 1), false],
    [0, 2027, NOW, false],
    [13, 2027, NOW, false],
    [1, 0, NOW, false],
  ];
  for (const [month, year, now, expected] of cases) {
    it(`${month}/${year} at ${new Date(now).toISOString()}: ${expected}`, () => {
      expect(isUnexpired(month, year, now)).to.equal(expected);
    });
  }
});
