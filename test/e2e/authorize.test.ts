import { inspect } from 'node:util';
import { InterceptingCall, type Interceptor, Metadata, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../src/client/client.js';
import type { AuthorizeRequest } from '../../src/gen/payments/v1/payments.js';
import { callRaw, failureOf, type Harness, startHarness, validRequest, visibleParts } from '../support/harness.js';

/** Records the messages that pass at its place. */
function recorder(messages: unknown[]): Interceptor {
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      sendMessage(message, next) {
        messages.push(message);
        next(message);
      },
    });
}

describe('a sealed call', () => {
  let harness: Harness;
  const near: unknown[] = [];
  const wire: AuthorizeRequest[] = [];

  before(async () => {
    harness = await startHarness({ interceptors: [recorder(near)], wireInterceptors: [recorder(wire)] });
  });
  after(() => harness.stop());

  /** Seals a request the ordinary way and returns what went on the wire. */
  async function sealedRequest(orderId: string): Promise<AuthorizeRequest> {
    await harness.client.authorize({ ...validRequest, orderId, billingAddress: address });
    return wire[wire.length - 1] as AuthorizeRequest;
  }
  const address = { line1: 'Calle 1', line2: '', city: 'Málaga', postalCode: '29001', countryCode: 'ES' };

  it('reaches the handler as a typed card and comes back authorized', async () => {
    const response = await harness.client.authorize({ ...validRequest, orderId: 'happy' });
    expect(response).to.include({ status: 'authorized', cardLast4: '1111' });
    expect(harness.logged()).to.contain('"card":"[opened payments.v1.CardDetails]"');
    expect(harness.service.app.store.find('happy')?.card).to.match(/^[\w-]+(\.[\w-]+){4}$/);
  });

  it('never modifies the request object', async () => {
    const request = structuredClone({ ...validRequest, orderId: 'frozen' });
    Object.freeze(request.card);
    Object.freeze(request);
    await harness.client.authorize(request);
    expect(request).to.deep.equal({ ...validRequest, orderId: 'frozen' });
  });

  it('shows opened messages to interceptors before sealing and tokens to those after it', async () => {
    await harness.client.authorize({ ...validRequest, orderId: 'order' });
    expect((near[near.length - 1] as typeof validRequest).card).to.deep.equal(validRequest.card);
    expect(wire[wire.length - 1]?.card).to.match(/^[\w-]+(\.[\w-]+){4}$/);
  });

  it('sends absent fields as empty strings and opens them as absent', async () => {
    await harness.client.authorize({ ...validRequest, orderId: 'absent' });
    expect(wire[wire.length - 1]).to.include({ billingAddress: '', securityCode: '' });
  });

  it('keeps the security code out of the store and the audit log', async () => {
    await harness.client.authorize({ ...validRequest, orderId: 'code', securityCode: { value: '737' } });
    expect(inspect(harness.service.app.store.find('code'), { depth: 9 })).not.to.contain('737');
    const record = (await harness.auditRecords()).find((line) => line.fields.some((f) => f.path === 'security_code'));
    const code = record?.fields.find((field) => field.path === 'security_code');
    expect(code?.token).to.have.keys('digest', 'length', 'header');
    expect(record?.fields.find((field) => field.path === 'card')?.token).to.be.a('string');
  });

  it('records the call durably before the handler runs, with its bound siblings and request id', async () => {
    const metadata = new Metadata();
    metadata.set('x-request-id', 'request-7');
    await harness.client.authorize({ ...validRequest, orderId: 'audited' }, { metadata });
    const record = (await harness.auditRecords()).find((line) => line.requestId === 'request-7');
    expect(record).to.include({
      event: 'open',
      method: '/payments.v1.PaymentService/Authorize',
      principal: '127.0.0.1',
    });
    expect(record?.fields[0]).to.deep.include({
      outcome: 'opened',
      bound: [
        ['order_id', 'audited'],
        ['amount_minor', '1999'],
        ['currency_code', 'EUR'],
      ],
    });
  });

  it('is idempotent per order, and refuses the order with another amount', async () => {
    const first = await harness.client.authorize({ ...validRequest, orderId: 'twice' });
    const second = await harness.client.authorize({ ...validRequest, orderId: 'twice' });
    expect(second).to.deep.equal(first);
    const error = await failureOf(harness.client.authorize({ ...validRequest, orderId: 'twice', amountMinor: '5' }));
    expect(error.code).to.equal(status.ALREADY_EXISTS);
  });

  it('declines an expired card', async () => {
    const card = { ...validRequest.card, expiryYear: 2020 };
    const response = await harness.client.authorize({ ...validRequest, orderId: 'expired', card });
    expect(response.status).to.equal('declined');
  });

  describe('tampered with', () => {
    const tamperings: [string, (request: AuthorizeRequest) => AuthorizeRequest, string][] = [
      ['another amount', (r) => ({ ...r, amountMinor: '1' }), 'BINDING_MISMATCH'],
      ['another order', (r) => ({ ...r, orderId: 'other' }), 'BINDING_MISMATCH'],
      ['another currency', (r) => ({ ...r, currencyCode: 'USD' }), 'BINDING_MISMATCH'],
      ["another field's token", (r) => ({ ...r, card: r.billingAddress }), 'FIELD_MISMATCH'],
      ['a changed ciphertext', (r) => ({ ...r, card: flip(r.card, 3) }), 'DECRYPTION_FAILED'],
      ['a changed tag', (r) => ({ ...r, card: flip(r.card, 4) }), 'DECRYPTION_FAILED'],
      ['a changed IV', (r) => ({ ...r, card: flip(r.card, 2) }), 'DECRYPTION_FAILED'],
      ['a changed encrypted key', (r) => ({ ...r, card: flip(r.card, 1) }), 'DECRYPTION_FAILED'],
      ['a token cut in half', (r) => ({ ...r, card: r.card.slice(0, 400) }), 'TOKEN_PART_COUNT'],
      ['plaintext', (r) => ({ ...r, card: '4111111111111111' }), 'TOKEN_PART_COUNT'],
      ['padding', (r) => ({ ...r, card: `${r.card}==` }), 'TOKEN_ENCODING'],
    ];

    for (const [name, tamper, step] of tamperings) {
      it(`with ${name}: refused as SEALED_FIELD_INVALID, the step ${step} in the audit record only`, async () => {
        const request = tamper(await sealedRequest(`tamper ${name}`));
        const error = await failureOf(callRaw(harness.raw, request));
        expect(errorDetails(error)).to.deep.include({ reason: 'SEALED_FIELD_INVALID', field: 'card' });
        expect(visibleParts(error)).not.to.contain(step);
        const records = await harness.auditRecords();
        expect(records[records.length - 1]).to.include({ event: 'reject', detail: `${step} at card` });
      });
    }

    it('gives byte-identical status and trailers for all of these', async () => {
      const seen = new Set<string>();
      for (const [name, tamper] of tamperings) {
        const request = tamper(await sealedRequest(`uniform ${name}`));
        seen.add(visibleParts(await failureOf(callRaw(harness.raw, request))));
      }
      expect([...seen]).to.have.length(1);
    });
  });

  it('asks for a required field', async () => {
    const request = await sealedRequest('required');
    const error = await failureOf(callRaw(harness.raw, { ...request, card: '' }));
    expect(errorDetails(error)).to.deep.include({ reason: 'SEALED_FIELD_REQUIRED', field: 'card' });
  });

  it('tells the current kid when a token is for another key', async () => {
    const other = await startHarness({ wireInterceptors: [recorder(wire)] });
    await other.client.authorize(validRequest);
    const error = await failureOf(callRaw(harness.raw, wire[wire.length - 1] as AuthorizeRequest));
    await other.stop();
    expect(error.code).to.equal(status.FAILED_PRECONDITION);
    expect(errorDetails(error)?.metadata).to.deep.equal({ field: 'card', currentKid: harness.service.kid });
  });

  it('takes an inner message of exactly the max_bytes of its field and refuses one byte more', async () => {
    const overhead = 16 + 2 + 2 + 3 + 3;
    const card = (bytes: number) => ({ ...validRequest.card, holderName: 'x'.repeat(bytes - overhead) });
    await harness.client.authorize({ ...validRequest, orderId: 'big', card: card(1_024) });
    const error = await failureOf(harness.client.authorize({ ...validRequest, orderId: 'bigger', card: card(1_025) }));
    expect(error.code).to.equal(status.RESOURCE_EXHAUSTED);
    expect(errorDetails(error)).to.deep.include({ reason: 'LIMIT_EXCEEDED', field: 'card' });
  });

  it('ends a call whose signal is aborted', async () => {
    const aborted = AbortSignal.abort();
    const error = await failureOf(harness.client.authorize(validRequest, { signal: aborted }));
    expect(error.name).to.equal('AbortError');
  });
});

/** Changes the first byte of one part of a token, leaving it canonical. */
function flip(token: string, part: number): string {
  const parts = token.split('.');
  const bytes = Buffer.from(parts[part] as string, 'base64url');
  bytes[0] = (bytes[0] as number) ^ 1;
  parts[part] = bytes.toString('base64url');
  return parts.join('.');
}
