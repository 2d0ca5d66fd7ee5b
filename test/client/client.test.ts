import { getEventListeners } from 'node:events';
import { Metadata, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails, type SealedCallOptions } from '../../src/client/client.js';
import type {
  OpenedReconcileRequest,
  SealedPaymentServiceClient,
  SealedPaymentServiceServer,
} from '../../src/gen/payments/v1/payments_sealed.js';
import { ErrorInfo } from '../../src/gen/portable/google/rpc/error_details.js';
import { Status } from '../../src/gen/portable/google/rpc/status.js';
import { failureOf } from '../support/harness.js';
import { createEchoHandlers, Deferred, makeRequest, type RecordingServer, startRecordingServer } from './helpers.js';

async function readAll<T>(messages: AsyncIterable<T>, onEach: (message: T) => void = () => {}): Promise<T[]> {
  const all: T[] = [];
  for await (const message of messages) {
    all.push(message);
    onEach(message);
  }
  return all;
}

function* lines(...ids: string[]): Generator<OpenedReconcileRequest> {
  for (const paymentId of ids) yield { paymentId, statementLine: { value: `line of ${paymentId}` } };
}

/** One call of each kind. */
const kinds: readonly [
  name: string,
  call: (client: SealedPaymentServiceClient, options: SealedCallOptions) => Promise<unknown>,
][] = [
  ['unary', (client, options) => client.authorize(makeRequest('one'), options)],
  ['client stream', (client, options) => client.importPayments([{ payment: makeRequest('one') }], options)],
  ['server stream', (client, options) => readAll(client.watchPayments({ orderId: 'one' }, options))],
  ['bidi stream', (client, options) => readAll(client.reconcile(lines('one'), options))],
];

describe('a generated client', () => {
  let server: RecordingServer;
  let opened: object[];
  afterEach(() => server.close());

  describe('of a server that answers', () => {
    beforeEach(async () => {
      opened = [];
      server = await startRecordingServer(createEchoHandlers(opened));
    });

    it('gets one answer for one request', async () => {
      const answer = await server.client().authorize(makeRequest('order-1'));
      expect(answer).to.deep.equal({ paymentId: 'order-1', status: 'authorized', cardLast4: '4242' });
    });

    it('takes requests from an iterable and from an async iterable', async () => {
      const requests = [{ payment: makeRequest('a') }, { payment: makeRequest('b') }];
      expect(await server.client().importPayments(requests)).to.deep.equal({ imported: '2' });
      const later = async function* () {
        yield* requests;
      };
      expect(await server.client().importPayments(later())).to.deep.equal({ imported: '2' });
      expect(await server.client().importPayments([])).to.deep.equal({ imported: '0' });
    });

    it('writes more than the buffers hold, in order', async () => {
      const ids = Array.from({ length: 500 }, (_, index) => `payment-${index}`);
      const answers = await readAll(server.client().reconcile(lines(...ids)));
      expect(answers.map(({ paymentId }) => paymentId)).to.deep.equal(ids);
    });

    it('reads a stream to its end', async () => {
      const answers = await readAll(server.client().watchPayments({ orderId: 'o' }));
      expect(answers.map(({ payment }) => payment?.paymentId)).to.deep.equal(['1', '2', '3']);
    });

    it('can answer in step with the server', async () => {
      const received: string[] = [];
      const next = new Map(['1', '2', '3'].map((id) => [id, new Deferred<void>()]));
      const requests = async function* () {
        for (const [paymentId, { promise }] of next) {
          yield { paymentId, statementLine: { value: 'a line' } };
          await promise;
        }
      };
      await readAll(server.client().reconcile(requests()), ({ paymentId }) => {
        received.push(paymentId);
        next.get(paymentId)?.resolve();
      });
      expect(received).to.deep.equal(['1', '2', '3']);
    });

    for (const [name, call] of kinds) {
      it(`${name}: a signal aborted before the call sends nothing, and its reason is the error`, async () => {
        const reason = new Error('no longer wanted');
        const client = server.client();
        expect(await failureOf(call(client, { signal: AbortSignal.abort(reason) }))).to.equal(reason);
        await client.authorize(makeRequest('control'));
        expect(server.arrived).to.have.length(1);
      });

      it(`${name}: leaves no listener on the signal`, async () => {
        const { signal } = new AbortController();
        await call(server.client(), { signal });
        expect(getEventListeners(signal, 'abort')).to.deep.equal([]);
        await failureOf(call(server.client(), { signal, deadline: 1 }));
        expect(getEventListeners(signal, 'abort')).to.deep.equal([]);
      });

      it(`${name}: many calls may share a signal, and Node warns of nothing`, async () => {
        const { signal } = new AbortController();
        const warnings: Error[] = [];
        const onWarning = (warning: Error) => warnings.push(warning);
        process.on('warning', onWarning);
        const client = server.client();
        await Promise.all(Array.from({ length: 12 }, () => call(client, { signal })));
        process.off('warning', onWarning);
        expect(warnings).to.deep.equal([]);
      });

      it(`${name}: a deadline that has passed`, async () => {
        const error = await failureOf(call(server.client(), { deadline: new Date(1) }));
        expect(error.code).to.equal(status.DEADLINE_EXCEEDED);
      });
    }

    it('cancels a stream whose reader stops early', async () => {
      for await (const _ of server.client().watchPayments({ orderId: 'o' })) break;
      await (await server.arrival(1)).closed;
    });
  });

  describe('of a server that keeps calls waiting', () => {
    let handled: Deferred<void>;
    beforeEach(async () => {
      handled = new Deferred();
      const hold = () => handled.resolve();
      const handlers: Partial<SealedPaymentServiceServer> = {
        authorize: hold,
        importPayments: (call) => void call.once('data', hold),
        watchPayments: hold,
        reconcile: (call) => void call.once('data', hold),
      };
      server = await startRecordingServer(handlers);
    });

    for (const [name, call] of kinds) {
      it(`${name}: a signal aborted during the call cancels it on both sides`, async () => {
        const abort = new AbortController();
        const failure = failureOf(call(server.client(), { signal: abort.signal }));
        await handled.promise;
        abort.abort();
        expect((await failure).code).to.equal(status.CANCELLED);
        await (await server.arrival(1)).closed;
        expect(getEventListeners(abort.signal, 'abort')).to.deep.equal([]);
      });

      it(`${name}: closing the client ends the call`, async () => {
        const client = server.client();
        const failure = failureOf(call(client, {}));
        await handled.promise;
        client.close();
        server.close();
        expect((await failure).code).to.be.oneOf([status.CANCELLED, status.UNAVAILABLE]);
      });
    }

    for (const [name, call] of [
      ['client stream', (client, requests) => client.importPayments(requests as never)],
      ['bidi stream', (client, requests) => readAll(client.reconcile(requests))],
    ] as readonly [
      string,
      (client: SealedPaymentServiceClient, requests: AsyncIterable<OpenedReconcileRequest>) => Promise<unknown>,
    ][]) {
      it(`${name}: requests that throw end the call with their error, and cancel it at the server`, async () => {
        const broken = new Error('the file ended in the middle of a line');
        const requests = async function* () {
          yield* lines('1');
          await server.arrival(1);
          throw broken;
        };
        expect(await failureOf(call(server.client(), requests()))).to.equal(broken);
        await (await server.arrival(1)).closed;
      });
    }
  });

  describe('of a server that refuses', () => {
    beforeEach(async () => {
      const metadata = new Metadata();
      metadata.set('why', 'closed');
      const refusal = { code: status.UNAVAILABLE, details: 'closed on Sundays', metadata };
      server = await startRecordingServer({
        authorize: (_call, callback) => callback(refusal),
        importPayments: (_call, callback) => callback(refusal),
        watchPayments: (call) => void call.emit('error', refusal),
        reconcile: (call) => void call.emit('error', refusal),
      });
    });

    for (const [name, call] of kinds) {
      it(`${name}: gives code, text and metadata`, async () => {
        const error = await failureOf(call(server.client(), {}));
        expect(error).to.include({ code: status.UNAVAILABLE, details: 'closed on Sundays' });
        expect(error.metadata.get('why')).to.deep.equal(['closed']);
        expect(errorDetails(error)).to.equal(undefined);
      });
    }

    it('does not wait for requests that never come', async () => {
      const never = async function* (): AsyncGenerator<{ payment: ReturnType<typeof makeRequest> }> {
        yield { payment: makeRequest('one') };
        await new Promise(() => {});
      };
      const error = await failureOf(server.client().importPayments(never()));
      expect(error.code).to.equal(status.UNAVAILABLE);
    });
  });

  it('sends the metadata of the call', async () => {
    const seen = new Deferred<unknown>();
    server = await startRecordingServer({
      authorize({ metadata }, callback) {
        seen.resolve(metadata.get('x-request-id'));
        callback(null, { paymentId: '', status: '', cardLast4: '' });
      },
    });
    const metadata = new Metadata();
    metadata.set('x-request-id', 'r-1');
    await server.client().authorize(makeRequest('o'), { metadata });
    expect(await seen.promise).to.deep.equal(['r-1']);
  });

  it('sends nothing for a stream of answers that nobody reads', async () => {
    server = await startRecordingServer();
    const client = server.client();
    client.watchPayments({ orderId: '' });
    client.reconcile([]);
    expect((await failureOf(client.authorize(makeRequest('o')))).code).to.equal(status.UNIMPLEMENTED);
    expect(server.arrived).to.have.length(1);
  });
});

describe('errorDetails', () => {
  it('is undefined for what is no answer of the service', () => {
    for (const error of [undefined, null, 'text', new Error('x'), { metadata: {} }, { metadata: new Metadata() }]) {
      expect(errorDetails(error)).to.equal(undefined);
    }
  });

  it('is undefined for details that are not what they should be', () => {
    const metadata = new Metadata();
    metadata.set('grpc-status-details-bin', Buffer.from([255, 255, 255]));
    expect(errorDetails({ metadata })).to.equal(undefined);
  });

  it('is undefined for a reason that is not one of ours', () => {
    const told = (reason: string) => {
      const info = ErrorInfo.encode({ reason, domain: 'sealwire', metadata: {} }).finish();
      const details = [{ typeUrl: 'type.googleapis.com/google.rpc.ErrorInfo', value: info }];
      const metadata = new Metadata();
      metadata.set('grpc-status-details-bin', Buffer.from(Status.encode({ code: 3, message: '', details }).finish()));
      return errorDetails({ metadata })?.reason;
    };
    expect(['SEALED_FIELD_STALE', 'SOMETHING_ELSE', 'toString'].map(told)).to.deep.equal([
      'SEALED_FIELD_STALE',
      undefined,
      undefined,
    ]);
  });
});
