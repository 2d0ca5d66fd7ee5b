import { join } from 'node:path';
import { expect } from 'chai';
import { finishSealwire } from '../support/command.js';
import { card, type DebugService, mustRun, order, PAYMENTS, startDebugService } from '../support/debug-service.js';
import { requireTool } from '../support/tools.js';

const AUTHORIZE = `${PAYMENTS}/Authorize`;
const GET = `${PAYMENTS}/GetPayment`;
const WATCH = `${PAYMENTS}/WatchPayments`;
const RECONCILE = `${PAYMENTS}/Reconcile`;

for (const tool of ['grpcurl', 'bufCurl'] as const) {
  describe(`sealed calls through ${tool === 'grpcurl' ? 'grpcurl' : 'buf curl'}`, function () {
    this.timeout(60_000);
    let service: DebugService;
    let paymentId: string;
    before(async function () {
      if (tool === 'grpcurl') requireTool(this, 'grpcurl');
      service = await startDebugService();
    });
    after(() => service?.stop());

    /** The header of a new session. */
    async function header(method: string, session: string): Promise<string> {
      const printed = await mustRun(['request', method, ...service.flags, '--session', session, '--print-header']);
      expect(printed).to.match(/^sealwire-reply: ey[\w.-]+\n$/);
      return printed.trim();
    }

    it('Authorize: the card is sealed in the pipe and authorized', async () => {
      const input = order('o-1', { amount_minor: undefined, security_code: '123' });
      const sealed = await mustRun(['request', AUTHORIZE, ...service.flags, '-d', '@'], input);
      expect(sealed).to.not.match(/Canary|4242/);
      const request = JSON.parse(sealed) as Record<string, string>;
      expect(request).to.include({ orderId: 'o-1', amountMinor: '4999' });
      expect(request['card']).to.match(/^ey/);
      expect(request['securityCode']).to.match(/^ey/);
      const { code, stdout, stderr } = await service[tool]([], AUTHORIZE, sealed);
      expect(code, stderr).to.equal(0);
      const answer = JSON.parse(stdout) as { paymentId: string };
      expect(answer).to.include({ status: 'authorized', cardLast4: '4242' });
      paymentId = answer.paymentId;
    });

    it('GetPayment: the reply is opened', async () => {
      const session = join(service.dir, 'get.session');
      const line = await header(GET, session);
      const { stdout, stderr } = await service[tool](['-H', line], GET, JSON.stringify({ payment_id: paymentId }));
      expect(stdout, stderr).to.not.include('Canary');
      const opened = JSON.parse(await mustRun(['response', '--session', session], stdout)) as object;
      expect(opened).to.deep.equal({
        payment: { paymentId, orderId: 'o-1', amountMinor: '4999', currencyCode: 'EUR', status: 'authorized', card },
      });
    });

    it('WatchPayments: replies of a stream are opened', async () => {
      const session = join(service.dir, 'watch.session');
      const line = await header(WATCH, session);
      const { stdout } = await service[tool](['-H', line], WATCH, '{"orderId": "o-1"}');
      const opened = JSON.parse(await mustRun(['response', '--session', session], stdout)) as { payment: object };
      expect(opened.payment).to.deep.include({ paymentId, card });
    });

    it('Reconcile: requests sealed and replies opened, in both directions', async () => {
      const session = join(service.dir, 'reconcile.session');
      const lines = ['o-1 settled', 'something else'];
      const input = lines.map((line) => JSON.stringify({ paymentId, statement_line: line })).join(' ');
      const sealed = await mustRun(['request', RECONCILE, ...service.flags, '-d', '@', '--session', session], input);
      const line = (
        await mustRun(['request', RECONCILE, ...service.flags, '--session', session, '--print-header'])
      ).trim();
      const { code, stdout, stderr } = await service[tool](['-H', line], RECONCILE, sealed);
      expect(code, stderr).to.equal(0);
      const opened = await mustRun(['response', '--session', session], stdout);
      const [first, second] = opened
        .trim()
        .split(/(?<=^})\n/m)
        .map((text) => JSON.parse(text) as object);
      expect(first).to.deep.equal({ paymentId, matched: true, note: 'matches order o-1, 4999 EUR minor units' });
      expect(second).to.include({ note: 'does not name order o-1, 4999 EUR minor units' });
      // Replies are numbered: they open in the order in which they came only.
      const swapped = stdout
        .trim()
        .split(/(?<=^})\n/m)
        .reverse()
        .join('\n');
      const refused = await finishSealwire(['response', '--session', session], { input: swapped });
      expect([refused.code, refused.stdout]).to.deep.equal([1, '']);
      expect(refused.stderr).to.equal('sealwire: note: not the next reply of this call\n');
    });

    it('a reply of another call is refused', async () => {
      const [one, other] = [join(service.dir, 'one.session'), join(service.dir, 'other.session')];
      const line = await header(GET, one);
      await header(GET, other);
      const { stdout } = await service[tool](['-H', line], GET, JSON.stringify({ payment_id: paymentId }));
      const refused = await finishSealwire(['response', '--session', other], { input: stdout });
      expect([refused.code, refused.stdout]).to.deep.equal([1, '']);
      expect(refused.stderr).to.equal('sealwire: payment.card: made for another call\n');
    });
  });
}
