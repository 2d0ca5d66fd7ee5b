/** Requests and responses that are small on the wire and great or strange in memory. */
import { once } from 'node:events';
import { connect } from 'node:http2';
import { Client, credentials, InterceptingCall, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../src/client/client.js';
import { AuthorizeRequest } from '../../src/gen/payments/v1/payments.js';
import { type Harness, startHarness, validRequest } from '../support/harness.js';
import { paymentsService, type Seen } from '../support/payments-bench.js';
import { type Bench, startBench } from '../support/sealed-bench.js';
import { generatedSource, loadedSource } from '../support/sources.js';
import { delimited, repeat } from '../support/wire-bytes.js';

const EMPTY_PAYMENT = delimited(1, Buffer.alloc(0));
const IMPORT = '/payments.v1.PaymentService/ImportPayments';
const GZIP = 2;
const pass = (bytes: Buffer) => bytes;

interface Ended {
  readonly code: status;
  readonly reason: string | undefined;
  readonly limit: string | undefined;
  readonly details: string;
}

/** Sends messages of bytes and tells how the call ended. */
function send(client: Client, path: string, messages: readonly Buffer[], metadata = new Metadata()): Promise<Ended> {
  return new Promise((resolve) => {
    const call = client.makeClientStreamRequest(path, pass, pass, metadata, (error) => {
      const info = errorDetails(error);
      const limit = info?.metadata['limit'];
      resolve({ code: error?.code ?? status.OK, reason: info?.reason, limit, details: error?.details ?? '' });
    });
    for (const message of messages) call.write(message);
    call.end();
  });
}

describe('messages that hold many others', () => {
  let harness: Harness;
  let client: Client;
  let decoded = 0;
  const { decode } = AuthorizeRequest;
  before(async () => {
    harness = await startHarness();
    const options = { 'grpc.default_compression_algorithm': GZIP };
    client = new Client(harness.service.address, credentials.createInsecure(), options);
    AuthorizeRequest.decode = (...values) => {
      decoded++;
      return decode(...values);
    };
  });
  beforeEach(() => {
    decoded = 0;
  });
  after(async () => {
    AuthorizeRequest.decode = decode;
    client.close();
    await harness.stop();
  });

  it('refuses 524,288 of them in a kilobyte before any is decoded', async () => {
    const { code, reason, limit } = await send(client, IMPORT, [repeat(EMPTY_PAYMENT, 524_288)]);
    expect([code, reason, limit]).to.deep.equal([status.RESOURCE_EXHAUSTED, 'LIMIT_EXCEEDED', 'count']);
    expect(decoded).to.equal(0);
    const records = await harness.auditRecords();
    expect(records.map(({ detail }) => detail)).to.include('TOO_MANY_MESSAGES');
  });

  it('takes a message within the limit', async () => {
    // None of them has its card, so that the last is refused for that.
    const { reason } = await send(client, IMPORT, [repeat(EMPTY_PAYMENT, 65)]);
    expect([reason, decoded]).to.deep.equal(['SEALED_FIELD_REQUIRED', 65]);
  });

  it('holds no hundred messages that lack their last byte', async () => {
    const session = connect(`http://${harness.service.address}`, { maxSessionMemory: 100 });
    // Its end, with streams open, is one.
    session.on('error', () => {});
    const path = '/payments.v1.PaymentService/Authorize';
    const headers = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' };
    const message = Buffer.alloc(5 + 1_048_575, 1);
    message.writeUInt32BE(1_048_576, 1);
    message.writeUInt8(0, 0);
    const streams = Array.from({ length: 10 }, () => session.request(headers, { endStream: false }));
    // Each ends in one way or the other; Node 20 does not survive a session that is destroyed amid them.
    const written = streams.map(
      (stream) =>
        new Promise<void>((resolve) => {
          stream.resume().once('close', resolve);
          stream.write(message, () => resolve());
        }),
    );
    const refused = streams.map(async (stream) => {
      stream.on('error', () => {});
      const [received] = (await once(stream, 'response')) as [Readonly<Record<string, unknown>>];
      return received['grpc-message'];
    });
    expect(await Promise.race(refused)).to.equal('a limit on sealed fields is exceeded');
    await Promise.all(written);
    session.destroy();
  });

  it('charges them to their caller before they are decoded', async () => {
    const ends: Ended[] = [];
    // 16 calls in a burst of 100,000; each ends before the next, so that what was decoded is known.
    for (let call = 0; call < 16; call++) ends.push(await send(client, IMPORT, [repeat(EMPTY_PAYMENT, 8_000)]));
    const refused = ends.filter(({ limit }) => limit === 'rate');
    const served = ends.filter(({ reason }) => reason === 'SEALED_FIELD_REQUIRED');
    expect(refused.length).to.be.at.least(1);
    expect(refused.length + served.length).to.equal(16);
    expect(decoded).to.equal(served.length * 8_000);
    expect(await harness.client.authorize(validRequest)).to.have.property('status', 'authorized');
  });
});

describe('requests without sealed fields that hold much', () => {
  it('are charged to their caller before they are decoded', async () => {
    const seen: Seen = { calls: [] };
    const bench = await startBench({
      services: [paymentsService(seen)],
      open: { messageRate: { perSecond: 1, burst: 1_000 } },
      // Its reply tokens name no request, so that the relay can make it longer.
      client: { wireInterceptors: [(options, next) => new InterceptingCall(next(options))] },
    });
    // Two thousand fields that nobody knows count like 125 messages.
    const unknown = repeat(Buffer.from([0x78, 1]), 2_000);
    bench.relay.hooks = { request: (bytes) => Buffer.concat([bytes, unknown]) };
    for (let call = 0; call < 8; call++) await bench.client.getPayment({ paymentId: 'p-1' });
    const error = await failure(bench.client.getPayment({ paymentId: 'p-1' }));
    expect(errorDetails(error)).to.deep.include({ reason: 'LIMIT_EXCEEDED', metadata: { limit: 'rate' } });
    expect(seen.calls).to.have.lengthOf(8);
    expect(bench.audit.notes.map(({ detail }) => detail)).to.deep.equal(['MESSAGE_RATE']);
    bench.relay.hooks = {};
    expect(await bench.client.getPayment({ paymentId: 'p-1' })).to.have.property('payment');
    bench.stop();
  });
});

type Answer = (error: null, value: object) => void;
const PLACES = {
  label: 'l',
  singular: { text: 'x', more: [] },
  many: [],
  named: {},
  leaves: [],
  leafByName: {},
  parts: [],
};
const CART = { cartId: 'c', items: [], notes: [], substitutes: {} };

for (const source of [generatedSource(), loadedSource('its defaults', {})]) {
  describe(`the map key __proto__ with plans from ${source.name}`, () => {
    const KEY = delimited(1, Buffer.from('__proto__'));
    const hidden = Buffer.concat([KEY, delimited(2, delimited(1, Buffer.from('hidden')))]);
    const keyOf = (service: string, method: string) => {
      const entries = Object.entries(source.service(service).definition);
      return entries.find(([, { path }]) => path.endsWith(`/${method}`))?.[0] as string;
    };
    const CHECKOUT = keyOf('shop.v1.CheckoutService', 'Checkout');
    const SAVE = keyOf('clinic.v1.PatientService', 'SaveRecord');
    const UNARY = keyOf('matrix.v1.ResponseService', 'Unary');
    const seen: object[] = [];
    let bench: Bench;
    before(async () => {
      const take = (value: object) => (call: { readonly request: object }, answer: Answer) => {
        seen.push(call.request);
        answer(null, value);
      };
      bench = await startBench({
        services: [
          { service: source.service('shop.v1.CheckoutService'), handlers: { checkout: take({ orderId: '' }) } },
          { service: source.service('clinic.v1.PatientService'), handlers: { saveRecord: take({ recordId: '' }) } },
          { service: source.service('matrix.v1.ResponseService'), handlers: { unary: take(PLACES) } },
        ],
        client: { keys: { current: () => bench.ring.current() } },
      });
    });
    beforeEach(() => {
      seen.length = 0;
      bench.relay.hooks = {};
    });
    after(() => bench.stop());

    it('is refused in a request', async () => {
      const client = bench.connect(source.service('shop.v1.CheckoutService'));
      expect(await client.call(CHECKOUT, CART)).to.be.an('object');
      bench.relay.hooks = { request: (bytes) => Buffer.concat([bytes, delimited(7, hidden)]) };
      const error = await failure(client.call(CHECKOUT, CART));
      expect(errorDetails(error)?.reason).to.equal('SEALED_FIELD_INVALID');
      expect(seen).to.have.lengthOf(1);
      expect(bench.audit.notes.at(-1)?.detail).to.equal('MAP_KEY_FORBIDDEN');
    });

    it('is refused in a nested message of a request', async () => {
      const client = bench.connect(source.service('shop.v1.CheckoutService'));
      const nested = delimited(7, Buffer.concat([delimited(2, delimited(4, Buffer.alloc(0))), KEY]));
      bench.relay.hooks = { request: (bytes) => Buffer.concat([bytes, nested]) };
      const error = await failure(client.call(CHECKOUT, CART));
      expect(errorDetails(error)?.reason).to.equal('SEALED_FIELD_INVALID');
      expect(seen).to.deep.equal([]);
    });

    it('is refused in an inner message', async () => {
      const client = bench.connect(source.service('clinic.v1.PatientService'));
      const save = (measurements: unknown) =>
        client.call(SAVE, {
          patientId: 'p',
          visit: source.name === 'generated code' ? 1n : 1,
          findings: { diagnoses: [], measurements },
        });
      await save({ a: 1 });
      const error = await failure(save(JSON.parse('{"__proto__": 2}')));
      expect(errorDetails(error)?.reason).to.equal('SEALED_FIELD_INVALID');
      expect(seen).to.have.lengthOf(1);
    });

    it('is refused in a response', async () => {
      const client = bench.connect(source.service('matrix.v1.ResponseService'));
      const entry = delimited(11, hidden);
      bench.relay.hooks = { response: (bytes) => Buffer.concat([bytes, entry]) };
      const error = (await failure(client.call(UNARY, { label: '' }))) as ServiceError;
      expect(error.details).to.equal('the sealed reply was refused: MAP_KEY_FORBIDDEN');
    });
  });
}

function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => expect.fail('not refused'),
    (error: unknown) => error,
  );
}
