/** Whom the service takes for the caller, when calls come through the gateway. */
import { join } from 'node:path';
import { createConnectTransport, createGrpcWebTransport } from '@connectrpc/connect-node';
import { expect } from 'chai';
import { MessageSealer } from '../../../src/client/seal-message.js';
import { AuthorizeRequest, AuthorizeResponse } from '../../../src/gen/payments/v1/payments.js';
import { AuthorizeRequestPlan } from '../../../src/gen/payments/v1/payments_sealed.js';
import { SealedPaymentServiceClient } from '../../../src/gen/payments/v1/payments_sealed_web.js';
import { SealingSessions } from '../../../src/jwe/sender.js';
import { fileKeySource } from '../../../src/keys/key-source.js';
import { errorDetails } from '../../../src/web/call-errors.js';
import { WebSealer } from '../../../src/web/crypto/sealer.js';
import { WebKeyDirectory } from '../../../src/web/keys/key-directory.js';
import { type Harness, startHarness, validRequest } from '../../support/harness.js';
import { callWeb } from '../../support/web-requests.js';
import { failureOf, webRequest } from '../../web/helpers.js';

const METHOD = '/payments.v1.PaymentService/Authorize';

/** A sealed request as bytes. */
async function seal(harness: Harness, orderId: string): Promise<Uint8Array> {
  const key = await fileKeySource(join(harness.dir, 'keys/public.jwks.json')).current('');
  const sealer = new MessageSealer({ sessions: new SealingSessions() });
  const sealed = await sealer.seal(AuthorizeRequestPlan, { ...validRequest, orderId }, new Map([['', key]]));
  return AuthorizeRequest.encode(sealed as AuthorizeRequest).finish();
}

describe('the web gateway before the payments service', () => {
  let harness: Harness;
  before(async () => {
    harness = await startHarness({ config: { web: { listen: '127.0.0.1:0' } } });
  });
  after(() => harness.stop());

  for (const [name, createTransport] of [
    ['Connect', createConnectTransport],
    ['gRPC-Web', createGrpcWebTransport],
  ] as const) {
    it(`lets the browser client seal, open sealed replies and read a stream of them, by ${name}`, async () => {
      const baseUrl = `http://${harness.service.webAddress}`;
      const transport = createTransport({ baseUrl, httpVersion: '1.1', useBinaryFormat: true });
      const keys = new WebKeyDirectory({ transport, roots: [harness.service.root], issuer: 'sealwire-payments' });
      // The reply token names the very bytes of the request, so they must arrive as they are.
      const client = new SealedPaymentServiceClient(transport, { sealer: new WebSealer({ keys }), binary: true });
      const { paymentId } = await client.authorize(webRequest(name));
      expect((await client.getPayment({ paymentId })).payment?.card?.number).to.equal('4242424242424242');
      const watched: (string | undefined)[] = [];
      for await (const { payment } of client.watchPayments({ orderId: name })) watched.push(payment?.card?.holderName);
      expect(watched).to.deep.equal(['Ada Lovelace']);
      const { securityCode: _, ...other } = webRequest(name);
      const refused = await failureOf(client.authorize({ ...other, card: { ...other.card, number: '1' } }));
      expect(errorDetails(refused)?.violations).to.deep.equal([
        { path: 'card.number', rule: 'must be 12 to 19 digits' },
      ]);
      keys.close();
    });
  }
});

describe('the caller behind the web gateway', () => {
  let harness: Harness | undefined;
  afterEach(() => harness?.stop());

  for (const [name, trustedProxies, principal] of [
    ['its address, whatever a header says', [], '127.0.0.1'],
    ['its address, where others are trusted', ['10.0.0.0/8'], '127.0.0.1'],
    ['who a trusted proxy before the gateway says', ['127.0.0.1'], 'somebody'],
  ] as const) {
    it(`is ${name}`, async () => {
      const web = { listen: '127.0.0.1:0' };
      harness = await startHarness({ config: { web, trustedProxies: [...trustedProxies] } });
      const url = `http://${harness.service.webAddress}${METHOD}`;
      const headers = { 'x-sealwire-caller': 'somebody', 'x-request-id': 'web-1' };
      const outcome = await callWeb('connect', url, await seal(harness, 'order-web'), headers);
      expect(AuthorizeResponse.decode(outcome.messages[0] as Buffer).status).to.equal('authorized');
      const record = (await harness.auditRecords()).find(({ event }) => event === 'open');
      expect(record).to.include({ principal, requestId: 'web-1' });
      expect(record)
        .to.have.property('peer')
        .that.matches(/^127\.0\.0\.1:\d+$/);
    });
  }
});
