/** The checkout page, and the browser client in Node, through a real Envoy with the project's own configuration. */
import { createGrpcWebTransport } from '@connectrpc/connect-node';
import { expect } from 'chai';
import type { Browser } from 'playwright-core';
import { SealedPaymentServiceClient } from '../../../src/gen/payments/v1/payments_sealed_web.js';
import { WebSealer } from '../../../src/web/crypto/sealer.js';
import { WebKeyDirectory } from '../../../src/web/keys/key-directory.js';
import { launchBrowser } from '../../support/browser.js';
import { CARD, Checkout, formsOf, HOLDER, outcomeOf, payByKeyboard, stepText } from '../../support/checkout.js';
import { type Envoy, startEnvoy } from '../../support/envoy.js';
import { requireTool } from '../../support/tools.js';
import { webRequest } from '../../web/helpers.js';

describe('calls of browsers through Envoy', () => {
  let browser: Browser;
  let checkout: Checkout;
  let envoy: Envoy | undefined;
  before(async function () {
    this.timeout(60_000);
    requireTool(this, 'envoy');
    browser = await launchBrowser(this);
    checkout = await Checkout.start({ trustedProxies: ['127.0.0.1'] }, async ({ service }) => {
      envoy = await startEnvoy(service.address, service.webAddress as string);
      return envoy.address;
    });
  });
  after(async () => {
    await browser?.close();
    await envoy?.stop();
    await checkout?.stop();
  });

  it('seals, opens sealed replies, and reads a stream of them', async () => {
    const transport = createGrpcWebTransport({ baseUrl: `http://${checkout.relay.address}`, httpVersion: '1.1' });
    const keys = new WebKeyDirectory({
      transport,
      roots: [checkout.harness.service.root],
      issuer: 'sealwire-payments',
    });
    const client = new SealedPaymentServiceClient(transport, { sealer: new WebSealer({ keys }), binary: true });
    const { paymentId } = await client.authorize(webRequest('envoy-1'));
    const { payment } = await client.getPayment({ paymentId });
    expect(payment?.card?.number).to.equal('4242424242424242');
    const watched: (string | undefined)[] = [];
    for await (const message of client.watchPayments({ orderId: 'envoy-1' }))
      watched.push(message.payment?.card?.holderName);
    expect(watched).to.deep.equal(['Ada Lovelace']);
    keys.close();
  });

  it('come under the address that Envoy saw, whatever a client says', async () => {
    const response = await fetch(`http://${checkout.relay.address}/sealwire.v1.KeyService/GetKeySet`, {
      method: 'POST',
      body: Buffer.alloc(5),
      headers: { 'content-type': 'application/grpc-web+proto', 'x-sealwire-caller': 'somebody' },
    });
    expect(response.status).to.equal(200);
    await response.arrayBuffer();
    const records = await checkout.harness.auditRecords();
    const principals = new Set(records.filter(({ event }) => event === 'open').map(({ principal }) => principal));
    expect([...principals]).to.deep.equal(['127.0.0.1']);
  });

  it('are allowed to listed origins only', async () => {
    const ask = (origin: string) =>
      fetch(`http://${checkout.relay.address}/payments.v1.PaymentService/Authorize`, {
        method: 'OPTIONS',
        headers: {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'sealwire-reply',
        },
      });
    const listed = await ask('https://shop.example');
    expect(listed.headers.get('access-control-allow-origin')).to.equal('https://shop.example');
    expect(listed.headers.get('access-control-allow-headers')).to.include('sealwire-reply');
    const other = await ask('https://evil.example');
    expect(other.headers.get('access-control-allow-origin')).to.equal(null);
  });

  it('pay in the page; Envoy logs the call, and the card is nowhere', async () => {
    const page = await checkout.open(browser, '?form=grpc-web');
    await payByKeyboard(page);
    expect(await outcomeOf(page)).to.equal('paid');
    expect(await stepText(page, 'gateway')).to.equal('Nothing: this call took another way.');
    await page.close();
    const log = (await envoy?.stop()) ?? '';
    envoy = undefined;
    const lines = log
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const line = lines.findLast(({ path }) => path === '/payments.v1.PaymentService/Authorize');
    expect(line).to.include({ method: 'POST', status: 200, flags: '-', client: '127.0.0.1' });
    const texts = { wire: checkout.relay.seen(), log, 'audit log': await checkout.harness.auditText() };
    for (const [where, text] of Object.entries(texts)) {
      const found = [CARD, HOLDER].flatMap(formsOf).filter((form) => text.includes(form));
      expect(found, where).to.deep.equal([]);
    }
  });
});
