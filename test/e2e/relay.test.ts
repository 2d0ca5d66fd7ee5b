/** The whole payments service behind a relay that rewrites: refused by the service, or seen by the client. */
import { status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../src/client/client.js';
import { AuthorizeRequest, GetPaymentResponse, ImportPaymentsRequest } from '../../src/gen/payments/v1/payments.js';
import { SealingSessions } from '../../src/jwe/sender.js';
import { REPLY_FIELD, REPLY_METADATA } from '../../src/profile/replies.js';
import { failureOf } from '../support/harness.js';
import { fullOrder, type RelayedHarness, startRelayedHarness } from '../support/relayed-harness.js';
import { rewriteAs } from '../support/rewriting-relay.js';

const ADA = '4111111111111111';
const EVE = '5555555555554444';

describe('a relay that rewrites payments', () => {
  let relayed: RelayedHarness;
  let payments: { paymentId: string }[];

  before(async () => {
    relayed = await startRelayedHarness();
    payments = await Promise.all([
      relayed.client.authorize(fullOrder('order of Ada', ADA)),
      relayed.client.authorize(fullOrder('order of Eve', EVE)),
    ]);
  });
  after(() => relayed.stop());
  afterEach(() => {
    relayed.relay.hooks = {};
  });

  const store = () => relayed.harness.service.app.store;
  const get = (index: number) => relayed.client.getPayment({ paymentId: payments[index]!.paymentId });
  async function lastRecord() {
    const records = await relayed.harness.auditRecords();
    return records[records.length - 1];
  }

  it('that changes nothing carries calls of every type', async () => {
    const { client } = relayed;
    expect((await get(0)).payment?.card?.number).to.equal(ADA);
    const imports = ['i-1', 'i-2'].map((id) => ({ payment: fullOrder(id) }));
    expect(await client.importPayments(imports)).to.deep.equal({ imported: '2' });
    for await (const { payment } of client.watchPayments({ orderId: 'order of Eve' })) {
      expect(payment?.card?.number).to.equal(EVE);
    }
    const lines = [{ paymentId: payments[0]!.paymentId, statementLine: { value: '19.99 EUR' } }];
    const notes: (string | undefined)[] = [];
    for await (const { note } of client.reconcile(lines)) notes.push(note?.value);
    expect(notes).to.have.length(1);
    expect(notes[0]).to.be.a('string');
  });

  it('sees no card, address, code or note in anything that passes', async () => {
    await relayed.client.authorize(fullOrder('canary'));
    const passed = relayed.relay.calls.flatMap(({ requests, responses, metadata }) => [
      ...requests,
      ...responses,
      Buffer.from(JSON.stringify(metadata.toJSON())),
    ]);
    const text = Buffer.concat(passed).toString('latin1');
    expect(text).to.contain('canary');
    for (const secret of [ADA, EVE, 'Lovelace', 'Calle', '29001', '737', '19.99 EUR']) {
      expect(text.includes(secret), secret).to.equal(false);
    }
  });

  it('and rewrites amount_minor: refused, nothing is stored', async () => {
    relayed.relay.hooks = { request: rewriteAs(AuthorizeRequest, (message) => ({ ...message, amountMinor: '1' })) };
    const error = await failureOf(relayed.client.authorize(fullOrder('cheap')));
    expect(error.code).to.equal(status.INVALID_ARGUMENT);
    expect(errorDetails(error)).to.deep.include({ reason: 'SEALED_FIELD_INVALID', field: 'card' });
    expect(store().find('cheap')).to.equal(undefined);
    expect(await lastRecord()).to.include({ event: 'reject', detail: 'BINDING_MISMATCH at card' });
  });

  it('and rewrites amount_minor in the middle of an import: what came before is kept, the stream ends once', async () => {
    relayed.relay.hooks = {
      request: rewriteAs(ImportPaymentsRequest, ({ payment }, _call, index) => ({
        payment: index === 2 ? { ...payment!, amountMinor: '1' } : payment!,
      })),
    };
    const orders = ['m-0', 'm-1', 'm-2', 'm-3'];
    const error = await failureOf(relayed.client.importPayments(orders.map((id) => ({ payment: fullOrder(id) }))));
    expect(errorDetails(error)).to.deep.include({ reason: 'SEALED_FIELD_INVALID', field: 'payment.card' });
    const stored = orders.filter((id) => store().find(id) !== undefined);
    expect(orders.slice(0, 2).slice(0, stored.length)).to.deep.equal(stored);
  });

  it("and puts Ada's card into Eve's request: refused", async () => {
    relayed.relay.hooks = { fate: () => 'refuse' };
    await failureOf(relayed.client.authorize(fullOrder('first of Ada', ADA)));
    const { card } = AuthorizeRequest.decode(relayed.lastCall().requests[0] as Buffer);
    relayed.relay.hooks = { request: rewriteAs(AuthorizeRequest, (message) => ({ ...message, card })) };
    const error = await failureOf(relayed.client.authorize(fullOrder('for Eve', EVE)));
    expect(errorDetails(error)).to.deep.include({ reason: 'SEALED_FIELD_INVALID', field: 'card' });
    expect(store().find('for Eve')).to.equal(undefined);
  });

  it("and pays Eve's order with all of Ada's request: it is Ada's order that is paid", async () => {
    relayed.relay.hooks = { fate: () => 'refuse' };
    await failureOf(relayed.client.authorize(fullOrder('second of Ada', ADA)));
    const [bytes] = relayed.lastCall().requests;
    relayed.relay.hooks = { request: () => bytes as Buffer };
    await relayed.client.authorize(fullOrder('wish of Eve', EVE));
    expect(store().find('wish of Eve')).to.equal(undefined);
    expect(store().find('second of Ada')?.cardLast4).to.equal('1111');
  });

  it('and swaps two replies: both clients see it', async () => {
    const held: { bytes: Buffer; release: (bytes: Buffer) => void }[] = [];
    relayed.relay.hooks = {
      response: (bytes) =>
        new Promise((release) => {
          held.push({ bytes, release });
          const [one, other] = held;
          if (one === undefined || other === undefined) return;
          one.release(other.bytes);
          other.release(one.bytes);
        }),
    };
    for (const error of await Promise.all([failureOf(get(0)), failureOf(get(1))])) {
      expect(error.code).to.equal(status.DATA_LOSS);
      expect(error.details).to.equal('the sealed reply was refused: REPLY_MISMATCH at payment.card');
    }
  });

  it("and shows Eve's card as that of Ada's payment: the client sees it", async () => {
    await get(1);
    const theirs = GetPaymentResponse.decode(relayed.lastCall().responses[0] as Buffer).payment!.card;
    relayed.relay.hooks = {
      response: rewriteAs(GetPaymentResponse, ({ payment }) => ({ payment: { ...payment!, card: theirs } })),
    };
    expect((await failureOf(get(0))).code).to.equal(status.DATA_LOSS);
  });

  it('and puts the stored token into a reply: the client sees it', async () => {
    const card = store().find('order of Ada')?.card as string;
    expect(card).to.match(/^ey/);
    relayed.relay.hooks = {
      response: rewriteAs(GetPaymentResponse, ({ payment }) => ({ payment: { ...payment!, card } })),
    };
    const error = await failureOf(get(0));
    expect(error.details).to.equal('the sealed reply was refused: ALGORITHM_NOT_ALLOWED at payment.card');
  });

  it('and replays a request: refused, the handler runs once', async () => {
    const runs = () => (relayed.harness.logged().match(/"orderId":"once"/g) ?? []).length;
    await relayed.client.authorize(fullOrder('once'));
    expect(runs()).to.equal(1);
    const [bytes] = relayed.lastCall().requests;
    relayed.relay.hooks = { request: () => bytes as Buffer };
    const error = await failureOf(relayed.client.authorize(fullOrder('once')));
    expect(error.code).to.equal(status.ALREADY_EXISTS);
    expect(errorDetails(error)).to.deep.include({ reason: 'SEALED_FIELD_REPLAYED', field: 'card' });
    expect(runs()).to.equal(1);
  });

  it('and sends a message of a request stream twice: refused', async () => {
    relayed.relay.hooks = { request: (bytes) => [bytes, bytes] };
    const error = await failureOf(relayed.client.importPayments([{ payment: fullOrder('doubled') }]));
    expect(error.code).to.equal(status.ALREADY_EXISTS);
    expect(errorDetails(error)).to.deep.include({ reason: 'SEALED_FIELD_REPLAYED', field: 'payment.card' });
  });

  it('and replays a reply: the client sees it', async () => {
    await get(0);
    const [bytes] = relayed.lastCall().responses;
    relayed.relay.hooks = { response: () => bytes as Buffer };
    expect((await failureOf(get(0))).details).to.match(/REPLY_MISMATCH at payment\.card$/);
  });

  it('and drops sealwire-reply: refused before the stored card is opened', async () => {
    const opened = async () => (await relayed.harness.auditRecords()).filter(({ event }) => event === 'openStored');
    const before = (await opened()).length;
    relayed.relay.hooks = { metadata: (metadata) => metadata.remove(REPLY_METADATA) };
    expect(errorDetails(await failureOf(get(0)))?.reason).to.equal('REPLY_KEY_MISSING');
    expect(await opened()).to.have.length(before);
    relayed.relay.hooks = {};
    await get(0);
    expect(await opened()).to.have.length(before + 1);
  });

  it('and replaces sealwire-reply: the client sees it', async () => {
    const session = await new SealingSessions().acquire(relayed.harness.service.keyRing.current());
    const iat = Math.floor(Date.now() / 1000);
    const call = { mth: '/payments.v1.PaymentService/GetPayment' };
    const own = session.seal(Buffer.alloc(0), { field: REPLY_FIELD, cty: 'application/protobuf', iat, call });
    relayed.relay.hooks = { metadata: (metadata) => metadata.set(REPLY_METADATA, own) };
    const error = await failureOf(get(0));
    expect(error.code).to.equal(status.DATA_LOSS);
  });
});
