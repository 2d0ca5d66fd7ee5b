/** Calls of the browser client: what the service and the application see of them. */
import { createHash } from 'node:crypto';
import { inspect } from 'node:util';
import { create } from '@bufbuild/protobuf';
import { Code, createRouterTransport, type Interceptor } from '@connectrpc/connect';
import { expect } from 'chai';
import { AuthorizeRequestSchema, CardDetailsSchema } from '../../src/gen/payments/v1/payments_pb.js';
import type { SealedPaymentServiceServer } from '../../src/gen/payments/v1/payments_sealed.js';
import { isOpened } from '../../src/schema/opened.js';
import { errorDetails } from '../../src/web/call-errors.js';
import { WebSealer } from '../../src/web/crypto/sealer.js';
import {
  createEchoHandlers,
  Deferred,
  deepFreeze,
  type RecordingServer,
  startRecordingServer,
} from '../client/helpers.js';
import { ResponseService } from '../gen/matrix/v1/matrix_pb.js';
import { SealedResponseServiceClient } from '../gen/matrix/v1/matrix_sealed_web.js';
import { collect } from '../support/any-client.js';
import { paymentOf } from '../support/payments-bench.js';
import { readToEnd } from '../support/sealed-bench.js';
import { webKeys } from '../support/web-client.js';
import { connect, connectInMemory, failureOf, webRequest } from './helpers.js';

/** Five parts, and so nothing that can be read. */
const TOKEN = /^ey[\w-]+(\.[\w-]+){4}$/;

/** What one request looked like on its way. */
interface Sent {
  readonly message: Readonly<Record<string, unknown>>;
  readonly header: Headers;
}

/** An interceptor of the transport. */
function watch(sent: Sent[]): Interceptor {
  return (next) => (request) => {
    if (!request.stream) sent.push({ message: { ...request.message }, header: request.header });
    else sent.push({ message: {}, header: request.header });
    return next(request);
  };
}

/** The protected header of a token. */
function headerOf(token: string | null): Record<string, unknown> {
  return JSON.parse(Buffer.from(String(token).split('.')[0]!, 'base64url').toString()) as Record<string, unknown>;
}

describe('a call of the browser client', () => {
  let server: RecordingServer;
  let opened: object[];
  let sent: Sent[];
  const watched: Partial<SealedPaymentServiceServer> = {
    getPayment: ({ request }, callback) => callback(null, { payment: paymentOf(request.paymentId) }),
    watchPayments(call) {
      for (const id of ['1', '2', '3']) call.write({ payment: paymentOf(id, call.request.orderId) });
      call.end();
    },
  };
  before(async () => {
    const echo = createEchoHandlers([]);
    server = await startRecordingServer({
      ...echo,
      ...watched,
      authorize(call, callback) {
        opened.push(call.request);
        echo.authorize(call, callback);
      },
    });
  });
  beforeEach(() => {
    opened = [];
    sent = [];
  });
  after(() => server.close());

  it('takes what create() takes, seals a copy, and shows tokens only to interceptors', async () => {
    const request = deepFreeze(webRequest('o-1'));
    const response = await connect(server, {}, [watch(sent)]).authorize(request);
    expect(response).to.include({ paymentId: 'o-1', cardLast4: '4242' });
    expect(opened).to.deep.equal([
      { ...request, amountMinor: '4999', securityCode: { value: '737' }, billingAddress: undefined },
    ]);
    const [{ message, header }] = sent as [Sent];
    expect([message['card'], message['securityCode']].map((token) => TOKEN.test(String(token)))).to.deep.equal([
      true,
      true,
    ]);
    expect(message).to.include({ orderId: 'o-1', amountMinor: 4999n, billingAddress: '' });
    expect(header.has('sealwire-reply')).to.equal(false);
  });

  it('takes messages too, and inner messages of their own', async () => {
    const init = webRequest('o-2');
    const card = create(CardDetailsSchema, init.card);
    const message = { ...create(AuthorizeRequestSchema, { orderId: 'o-2', amountMinor: 1n }), card };
    const { securityCode: _unused, billingAddress: _empty, ...request } = message;
    await connect(server).authorize(request);
    expect(opened).to.have.nested.property('[0].card.number', init.card.number);
  });

  it('reads inner messages when it is made, not later', async () => {
    const request = webRequest('o-3');
    const call = connect(server).authorize(request);
    request.card.number = 'changed';
    request.orderId = 'changed';
    await call;
    expect(opened).to.have.nested.property('[0].card.number', '4242424242424242');
    expect(opened).to.have.nested.property('[0].orderId', 'o-3');
  });

  it('opens a response, which prints redacted', async () => {
    const { payment } = await connect(server).getPayment({ paymentId: 'p-1' });
    expect(payment).to.include({ orderId: 'order-of-p-1', amountMinor: 1999n });
    expect(payment?.card).to.include({ $typeName: 'payments.v1.CardDetails', number: 'card-of-p-1' });
    expect([payment, payment?.card].map(isOpened)).to.deep.equal([true, true]);
    for (const text of [inspect(payment), JSON.stringify(payment?.card), `${payment?.card}`]) {
      expect(text).to.contain('[opened payments.v1.CardDetails]').and.not.contain('card-of-p-1');
    }
  });

  it('opens the responses of a stream in order, and ends it when nobody reads on', async () => {
    const client = connect(server);
    const all = await collect(client.watchPayments({ orderId: 'o' }));
    expect(all.map(({ payment }) => payment?.card?.number)).to.deep.equal(['card-of-1', 'card-of-2', 'card-of-3']);
    const before = server.arrived.length;
    for await (const { payment } of client.watchPayments({ orderId: 'o' })) {
      expect(payment?.card?.number).to.equal('card-of-1');
      break;
    }
    await (await server.arrival(before + 1)).closed;
  });

  it('begins a stream when its first message is asked for', async () => {
    const before = server.arrived.length;
    const stream = connect(server).watchPayments({ orderId: 'o' });
    await connect(server).getPayment({ paymentId: 'p' });
    expect(server.arrived).to.have.length(before + 1);
    await collect(stream);
  });

  it('keeps the headers of the application, but for the reply token', async () => {
    const headers = { 'x-mine': 'kept', 'sealwire-reply': 'forged' };
    const client = connect(server, {}, [watch(sent)]);
    const seen: string[] = [];
    const options = { headers, onHeader: () => seen.push('header'), onTrailer: () => seen.push('trailer') };
    await client.getPayment({ paymentId: 'p' }, options);
    await collect(client.watchPayments({ orderId: 'o' }, options));
    for (const { header } of sent) {
      expect(header.get('x-mine')).to.equal('kept');
      expect(headerOf(header.get('sealwire-reply'))).to.include({ fld: 'sealwire.v1.reply' });
    }
    expect(seen).to.deep.equal(['header', 'trailer', 'header', 'trailer']);
  });

  it('names its request in the reply token where the transport is binary, else not', async () => {
    const transport = [watch(sent)];
    await connect(server, {}, transport).getPayment({ paymentId: 'p' });
    await connect(server, { binary: true }, transport).getPayment({ paymentId: 'p' });
    await collect(connect(server, { binary: true }, transport).watchPayments({ orderId: 'o' }));
    const [without, unary, stream] = sent.map(({ header }) => headerOf(header.get('sealwire-reply')));
    expect(without).to.include({ mth: '/payments.v1.PaymentService/GetPayment' }).and.not.have.property('req');
    const req = createHash('sha256').update(Buffer.from('\n\x01p')).digest('base64url');
    expect(unary).to.include({ req });
    expect(stream).to.include({ mth: '/payments.v1.PaymentService/WatchPayments' }).and.have.property('req');
  });

  it('is refused where an interceptor changed the request that its reply token names', async () => {
    const change: Interceptor = (next) => (request) => {
      if (!request.stream) Object.assign(request.message, { paymentId: 'other' });
      return next(request);
    };
    const error = await failureOf(connect(server, { binary: true }, [change]).getPayment({ paymentId: 'p' }));
    expect(errorDetails(error)).to.include({ reason: 'SEALED_FIELD_INVALID' });
    expect(await connect(server, {}, [change]).getPayment({ paymentId: 'p' })).to.have.nested.property(
      'payment.paymentId',
      'other',
    );
  });

  it('carries the credential of the caller wherever something is sealed', async () => {
    const asked: string[] = [];
    const gated = await startRecordingServer(
      { ...createEchoHandlers([]), ...watched },
      {
        open: {
          authenticateCaller({ credential, method }) {
            asked.push(`${method} ${Buffer.from(credential).toString()}`);
            return credential.length > 0 ? 'ada' : undefined;
          },
        },
      },
    );
    try {
      const methods: string[] = [];
      const credential = (method: string) => {
        methods.push(method);
        return 'ada’s token';
      };
      const client = connect(gated, { credential, binary: true });
      await client.authorize(webRequest('o'));
      await client.getPayment({ paymentId: 'p' });
      expect(asked).to.deep.equal(methods.map((method) => `${method} ada’s token`));
      expect(methods.map((method) => method.split('/')[2])).to.deep.equal(['Authorize', 'GetPayment']);
      const error = await failureOf(connect(gated).authorize(webRequest('o')));
      expect([error.code, errorDetails(error)?.reason]).to.deep.equal([
        Code.Unauthenticated,
        'CALLER_NOT_AUTHENTICATED',
      ]);
    } finally {
      gated.close();
    }
  });

  it('refuses a reply that was not sealed for it, and ends a stream there', async () => {
    let stolen = '';
    const thief = connect(server, {}, [
      (next) => async (request) => {
        const response = await next(request);
        if (!response.stream) stolen = String((response.message as { payment?: { card: string } }).payment?.card);
        return response;
      },
    ]);
    await thief.getPayment({ paymentId: 'p' });
    const over = new Deferred<void>();
    const payment = () => ({ payment: { ...paymentOf('p'), amountMinor: 1999n, card: stolen } });
    const client = await connectInMemory({
      getPayment: payment,
      async *watchPayments(_request, { signal }) {
        signal.addEventListener('abort', () => over.resolve());
        yield {};
        yield payment();
        await over.promise;
      },
    });
    const unary = await failureOf(client.getPayment({ paymentId: 'p' }));
    const { messages, error } = await readToEnd(client.watchPayments({ orderId: 'o' }));
    expect(messages).to.have.length(1);
    await over.promise;
    for (const refused of [unary, error as typeof unary]) {
      expect([refused.code, refused.rawMessage]).to.deep.equal([
        Code.DataLoss,
        'the sealed reply was refused: REPLY_MISMATCH at payment.card',
      ]);
      expect(errorDetails(refused)).to.include({ code: 'REPLY_MISMATCH', field: 'payment.card' });
    }
  });

  it('tells which rules an inner message breaks', async () => {
    const rule = { path: 'number', rule: 'no such card' };
    const strict = await startRecordingServer(createEchoHandlers([]), {
      open: { validators: { 'payments.v1.CardDetails': () => [rule] } },
    });
    const error = await failureOf(connect(strict).authorize(webRequest('o')));
    strict.close();
    expect(error.code).to.equal(Code.InvalidArgument);
    expect(errorDetails(error)).to.deep.include({
      reason: 'INNER_MESSAGE_INVALID',
      code: undefined,
      field: 'card.number',
      violations: [{ path: 'card.number', rule: 'no such card' }],
    });
  });

  it('refuses a reply with more tokens than a message may hold', async () => {
    const many = Array(65).fill('token') as string[];
    const transport = createRouterTransport(({ service }) => service(ResponseService, { unary: () => ({ many }) }));
    const sealer = new WebSealer({ keys: webKeys(server.keys) });
    const error = await failureOf(new SealedResponseServiceClient(transport, { sealer }).unary_({}));
    expect([error.code, errorDetails(error)?.code]).to.deep.equal([Code.DataLoss, 'TOO_MANY_TOKENS']);
  });

  it('refuses text in place of a sealed reply, and leaves an absent one out', async () => {
    const client = await connectInMemory({
      getPayment: ({ paymentId }) => ({ payment: { paymentId, card: paymentId } }),
    });
    expect(errorDetails(await failureOf(client.getPayment({ paymentId: 'in clear' })))).to.include({
      field: 'payment.card',
    });
    expect((await client.getPayment({})).payment)
      .to.include({ paymentId: '' })
      .and.have.property('card', undefined);
  });
});
