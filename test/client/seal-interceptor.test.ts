import { status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../src/client/client.js';
import { SealwireError } from '../../src/errors.js';
import type { AuthorizeRequest } from '../../src/gen/payments/v1/payments.js';
import type { OpenedAuthorizeRequest } from '../../src/gen/payments/v1/payments_sealed.js';
import { sharedPool } from '../../src/jwe/pool.js';
import { SealingSessions } from '../../src/jwe/sender.js';
import { failureOf } from '../support/harness.js';
import {
  createEchoHandlers,
  createTracer,
  Deferred,
  deepFreeze,
  makeRequest,
  PendingKeys,
  type RecordingServer,
  type Step,
  startRecordingServer,
} from './helpers.js';

const TOKEN = /^[\w-]+(\.[\w-]+){4}$/;

describe('the seal interceptor', () => {
  let server: RecordingServer;
  let opened: object[];
  let near: Step[];
  let wire: Step[];
  beforeEach(async () => {
    [opened, near, wire] = [[], [], []];
    server = await startRecordingServer(createEchoHandlers(opened));
  });
  afterEach(() => server.close());

  const tracers = () => ({ interceptors: [createTracer(near)], wireInterceptors: [createTracer(wire)] });
  const names = (steps: readonly Step[]) => steps.map(([name]) => name);
  const statuses = (steps: readonly Step[]) => steps.filter(([name]) => name === 'status').map(([, code]) => code);

  /** Sessions whose first agreement is made when `open` is called. */
  function gatedSessions() {
    const gate = new Deferred<void>();
    const asked = new Deferred<void>();
    const pool = {
      async generate(...args: Parameters<ReturnType<typeof sharedPool>['generate']>) {
        asked.resolve();
        await gate.promise;
        return sharedPool().generate(...args);
      },
    };
    return { sessions: new SealingSessions({ pool }), asked: asked.promise, open: () => gate.resolve() };
  }

  /** A call after which everything sent before it on the same connection has arrived. */
  async function control(client: ReturnType<RecordingServer['client']>): Promise<void> {
    await client.authorize(makeRequest('control'));
  }

  describe('cancelled', () => {
    it('while the key source is asked: sends nothing, now or later, and ends once', async () => {
      const keys = new PendingKeys();
      const client = server.client({ keys, ...tracers() });
      const abort = new AbortController();
      const call = failureOf(client.authorize(makeRequest('cancelled'), { signal: abort.signal }));
      await keys.asked;
      abort.abort();
      expect((await call).code).to.equal(status.CANCELLED);
      keys.answer(server.keys.current());
      await control(client);
      expect(opened).to.have.length(1);
      expect(server.arrived).to.have.length(1);
      expect(statuses(near)).to.deep.equal([status.CANCELLED, status.OK]);
      // The call that was never started is let go, with the timer of its deadline.
      expect(names(wire)).to.deep.equal(['cancel', 'start', 'message', 'halfClose', 'received', 'status']);
    });

    it('while the key source is asked: leaves no timer behind for a deadline that is far away', async () => {
      const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
      const keys = new PendingKeys();
      const client = server.client({ keys });
      const abort = new AbortController();
      await control(server.client());
      const before = timers();
      const deadline = Date.now() + 3_600_000;
      const calls = Array.from({ length: 50 }, () =>
        failureOf(client.authorize(makeRequest('cancelled'), { signal: abort.signal, deadline })),
      );
      await keys.asked;
      expect(timers()).to.be.at.least(before + 50);
      abort.abort();
      await Promise.all(calls);
      expect(timers()).to.be.below(before + 50);
    });

    it('while the agreement is made: the message is not sent, now or later, and the call ends once', async () => {
      const { sessions, asked, open } = gatedSessions();
      const client = server.client({ sessions, ...tracers() });
      const abort = new AbortController();
      const call = failureOf(client.authorize(makeRequest('cancelled'), { signal: abort.signal }));
      const [arrived] = await Promise.all([server.arrival(1), asked]);
      abort.abort();
      expect((await call).code).to.equal(status.CANCELLED);
      await arrived.closed;
      open();
      await control(client);
      expect(arrived.messages).to.deep.equal([]);
      expect(names(wire).filter((step) => step === 'message')).to.have.length(1);
      expect(opened).to.have.length(1);
      expect(statuses(near)).to.deep.equal([status.CANCELLED, status.OK]);
    });

    it('in the middle of a stream: nothing more is sent', async () => {
      const client = server.client(tracers());
      const abort = new AbortController();
      const cut = async function* () {
        yield { payment: makeRequest('first') };
        await server.arrival(1);
        abort.abort();
        yield { payment: makeRequest('second') };
      };
      const error = await failureOf(client.importPayments(cut(), { signal: abort.signal }));
      expect(error.code).to.equal(status.CANCELLED);
      await control(client);
      expect(server.arrived[0]?.messages.length).to.be.at.most(1);
      expect(statuses(near)).to.deep.equal([status.CANCELLED, status.OK]);
    });
  });

  describe('when the key source fails', () => {
    const known = new SealwireError('KEY_NOT_FOUND', "no key for recipient ''");
    const foreign = new TypeError('canary');
    const cases: readonly [name: string, current: () => never | Promise<never>, code: status, text: RegExp][] = [
      ['at once, with a code', () => raise(known), status.FAILED_PRECONDITION, /KEY_NOT_FOUND: no key for recipient/],
      ['later, with a code', () => Promise.reject(known), status.FAILED_PRECONDITION, /KEY_NOT_FOUND: no key for/],
      ['at once, with a foreign error', () => raise(foreign), status.INTERNAL, /^(?!.*canary)/],
      ['later, with a foreign error', () => Promise.reject(foreign), status.INTERNAL, /^(?!.*canary)/],
    ];
    for (const [name, current, code, text] of cases) {
      it(`${name}: the call fails with ${status[code]} and never starts`, async () => {
        const error = await failureOf(
          server.client({ keys: { current }, ...tracers() }).authorize(makeRequest('no key')),
        );
        expect(error.code).to.equal(code);
        expect(error.details).to.match(text);
        await control(server.client());
        expect(server.arrived).to.have.length(1);
        expect(names(wire)).to.deep.equal(['cancel']);
        expect(statuses(near)).to.deep.equal([code]);
      });
    }

    it('the next call asks again', async () => {
      let fails = true;
      const current = () => (fails ? raise(known) : server.keys.current());
      const client = server.client({ keys: { current } });
      await failureOf(client.authorize(makeRequest('first')));
      fails = false;
      expect(await client.authorize(makeRequest('second'))).to.include({ status: 'authorized' });
    });
  });

  describe('keeps the order', () => {
    it('of start, message and half-close when the key comes late', async () => {
      const keys = new PendingKeys();
      const call = server.client({ keys, ...tracers() }).authorize(makeRequest('late'));
      await keys.asked;
      expect(names(near), 'all of the call is waiting').to.deep.equal(['start', 'message', 'halfClose']);
      expect(wire).to.deep.equal([]);
      keys.answer(server.keys.current());
      expect(await call).to.include({ paymentId: 'late' });
      expect(names(wire)).to.deep.equal(['start', 'message', 'halfClose', 'received', 'status']);
    });

    it('of start, message and half-close when the agreement comes late', async () => {
      const { sessions, asked, open } = gatedSessions();
      const call = server.client({ sessions, ...tracers() }).authorize(makeRequest('late'));
      await asked;
      expect(names(near)).to.deep.equal(['start', 'message', 'halfClose']);
      expect(names(wire)).to.deep.equal(['start']);
      open();
      await call;
      expect(names(wire)).to.deep.equal(['start', 'message', 'halfClose', 'received', 'status']);
    });

    it('of the messages of a stream when the key comes late', async () => {
      const keys = new PendingKeys();
      const ids = Array.from({ length: 20 }, (_, index) => `order-${index}`);
      const call = server
        .client({ keys, ...tracers() })
        .importPayments(ids.map((orderId) => ({ payment: makeRequest(orderId) })));
      await keys.asked;
      keys.answer(server.keys.current());
      expect(await call).to.deep.equal({ imported: '20' });
      expect(names(wire)).to.deep.equal(['start', ...ids.map(() => 'message'), 'halfClose', 'received', 'status']);
      expect(opened.map((request) => (request as { payment: OpenedAuthorizeRequest }).payment.orderId)).to.eql(ids);
    });

    it('of messages when every one waits for an agreement of its own', async () => {
      const sessions = new SealingSessions({ maxTokens: 1 });
      const ids = Array.from({ length: 10 }, (_, index) => `payment-${index}`);
      const answered: string[] = [];
      const requests = ids.map((paymentId) => ({ paymentId, statementLine: { value: 'a line' } }));
      for await (const { paymentId } of server.client({ sessions }).reconcile(requests)) answered.push(paymentId);
      expect(answered).to.deep.equal(ids);
    });
  });

  it('ends at the deadline while the agreement is made, and sends nothing afterwards', async () => {
    const { sessions, asked, open } = gatedSessions();
    const client = server.client({ sessions, ...tracers() });
    const call = failureOf(client.authorize(makeRequest('too late'), { deadline: Date.now() + 100 }));
    await asked;
    expect((await call).code).to.equal(status.DEADLINE_EXCEEDED);
    open();
    await control(client);
    expect(opened).to.have.length(1);
    expect(statuses(near)).to.deep.equal([status.DEADLINE_EXCEEDED, status.OK]);
  });

  describe('when sealing throws after the start', () => {
    const card = makeRequest('').card;
    const cases: readonly [name: string, card: unknown, code: status, text: RegExp, reason?: string][] = [
      ['a required field is absent', undefined, status.INVALID_ARGUMENT, /required/, 'SEALED_FIELD_REQUIRED'],
      [
        'a text is where a message must be',
        'canary',
        status.FAILED_PRECONDITION,
        /SEAL_INPUT: card must be a payments/,
      ],
      [
        'the message cannot be encoded',
        { ...card, number: { toString: () => raise(new Error('canary')) } },
        status.FAILED_PRECONDITION,
        /SEAL_INPUT: card\.number is not a valid string/,
      ],
      [
        'a getter throws',
        {
          ...card,
          get holderName() {
            return raise(new Error('canary'));
          },
        },
        status.FAILED_PRECONDITION,
        /SEAL_INPUT: card is not a valid payments\.v1\.CardDetails/,
      ],
    ];
    for (const [name, value, code, text, reason] of cases) {
      it(`${name}: the call ends once, with a clear error that quotes nothing`, async () => {
        const client = server.client(tracers());
        const request = { ...makeRequest('bad'), card: value } as OpenedAuthorizeRequest;
        const error = await failureOf(client.authorize(request));
        expect(error.code).to.equal(code);
        expect(error.details).to.match(text).and.not.include('canary');
        expect(errorDetails(error)?.reason).to.equal(reason);
        await control(client);
        expect(opened).to.have.length(1);
        expect(statuses(near)).to.deep.equal([code, status.OK]);
        expect(names(wire).filter((step) => step === 'message')).to.have.length(1);
      });
    }

    it('in the middle of a stream: the server sees it cancelled', async () => {
      const client = server.client(tracers());
      const cut = async function* () {
        yield { payment: makeRequest('good') };
        await server.arrival(1);
        yield { payment: { ...makeRequest('bad'), card: 'canary' as never } };
        yield { payment: makeRequest('never') };
      };
      const error = await failureOf(client.importPayments(cut()));
      expect(error.code).to.equal(status.FAILED_PRECONDITION);
      expect(error.details).to.include('SEAL_INPUT: payment.card must be a payments.v1.CardDetails');
      const arrived = await server.arrival(1);
      await arrived.closed;
      expect(arrived.messages).to.have.length(1);
      expect(statuses(near)).to.deep.equal([status.FAILED_PRECONDITION]);
    });
  });

  it('never modifies a request, however deep the sealed field lies', async () => {
    const client = server.client();
    const request = deepFreeze(makeRequest('frozen'));
    const copy = structuredClone(request);
    await client.authorize(request);
    await client.importPayments([deepFreeze({ payment: request }), deepFreeze({ payment: undefined })]);
    const line = deepFreeze({ paymentId: 'p', statementLine: { value: 'a line' } });
    for await (const _ of client.reconcile([line]));
    expect(request).to.deep.equal(copy);
    expect(line).to.deep.equal({ paymentId: 'p', statementLine: { value: 'a line' } });
    expect(opened[0]).to.deep.equal({ ...copy, billingAddress: undefined });
  });

  it('shows opened messages to interceptors outside it, and tokens to those inside', async () => {
    const client = server.client(tracers());
    const messages = (steps: readonly Step[]) => steps.filter(([name]) => name === 'message').map(([, value]) => value);
    const request = makeRequest('seen');
    await client.authorize(request);
    await client.importPayments([{ payment: request }]);
    for await (const _ of client.reconcile([{ paymentId: 'p', statementLine: { value: 'a line' } }]));
    expect(messages(near)).to.deep.equal([
      request,
      { payment: request },
      { paymentId: 'p', statementLine: { value: 'a line' } },
    ]);
    const [one, imported, line] = messages(wire) as [
      AuthorizeRequest,
      { payment: AuthorizeRequest },
      { statementLine: string },
    ];
    for (const token of [one.card, one.securityCode, imported.payment.card, line.statementLine]) {
      expect(token).to.match(TOKEN);
    }
    expect(one).to.include({ orderId: 'seen', amountMinor: '4999', billingAddress: '' });
    expect(new Set([one.card, imported.payment.card]).size, 'each message has a token of its own').to.equal(2);
    expect(server.arrived.flatMap((call) => call.messages)).to.deep.equal(messages(wire));
  });
});

function raise(error: Error): never {
  throw error;
}
