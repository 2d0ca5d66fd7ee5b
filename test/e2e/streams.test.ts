/** Long, slow, cancelled and failing streams. */
import { getEventListeners } from 'node:events';
import type { Writable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import {
  type ServerDuplexStream,
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../src/client/client.js';
import { SealwireError } from '../../src/errors.js';
import type {
  OpenedReconcileRequest,
  OpenedReconcileResponse,
  OpenedWatchPaymentsResponse,
} from '../../src/gen/payments/v1/payments_sealed.js';
import type { AuditSink, CallRecord } from '../../src/server/audit-sink.js';
import { Deferred, makeRequest, type RecordingServer, startRecordingServer } from '../client/helpers.js';
import { failureOf } from '../support/harness.js';
import { runLongStream } from '../support/long-stream.js';
import { paymentOf } from '../support/payments-bench.js';
import { readToEnd } from '../support/sealed-bench.js';

/** More than all buffers of both sides and of the transport hold. */
const MANY = 1_000;
const LINE = { value: 'x'.repeat(4_000) };
/** Messages that Node's HTTP/2 and the sockets hold: less than 1 MiB. */
const TRANSPORT = 2 ** 20 / LINE.value.length;
/** grpc-js's own streams hold 16 messages on each side of ours. */
const STREAM_BUFFER = 16;
const READ_AHEAD = 64;

/** An audit sink whose records become durable when told to. */
class GatedSink implements AuditSink {
  readonly commits: { readonly input: CallRecord; readonly done: Deferred<void> }[] = [];
  isOpen = false;

  commit(input: CallRecord): Promise<void> {
    const done = new Deferred<void>();
    this.commits.push({ input, done });
    if (this.isOpen) done.resolve();
    return done.promise;
  }

  note(): void {}

  release(): void {
    this.isOpen = true;
    for (const { done } of this.commits) done.resolve();
  }
}

/** Waits until `look` gives the same for some hundred turns of the event loop and round trips on the wire. */
async function settle(server: RecordingServer, look: () => unknown): Promise<void> {
  let before: unknown;
  for (let same = 0; same < 20; ) {
    await failureOf(server.client().getPayment({ paymentId: 'control' }));
    for (let turns = 0; turns < 20; turns++) await turn();
    const now = look();
    same = now === before ? same + 1 : 0;
    before = now;
  }
}

describe('a sealed stream', () => {
  let server: RecordingServer | undefined;
  afterEach(() => server?.close());

  it('of 2,000 messages in each direction comes in order, and memory stays flat', async function () {
    this.timeout(60_000);
    const { growth, ...rest } = await runLongStream(2_000);
    expect(rest).to.deep.equal({ received: 2_000, inOrder: true });
    // All messages between the two measurements, once kept, would be 15 MB.
    expect(growth).to.be.below(6 * 2 ** 20);
  });

  /** Requests that count how many were taken. */
  function counted(total = MANY) {
    const state = { written: 0, released: false };
    const requests = async function* (): AsyncGenerator<OpenedReconcileRequest> {
      try {
        for (let index = 0; index < total; index++) {
          state.written++;
          yield { paymentId: String(index), statementLine: LINE };
        }
      } finally {
        state.released = true;
      }
    };
    return { state, requests };
  }

  it('is held at its sender by a handler that reads slowly, and goes on when it reads', async () => {
    const begun = new Deferred<ServerDuplexStream<OpenedReconcileRequest, OpenedReconcileResponse>>();
    const running = await startRecordingServer({ reconcile: (call) => begun.resolve(call) });
    server = running;
    const { state, requests } = counted();
    const answers = readToEnd(running.client().reconcile(requests()));
    const call = await begun.promise;
    const ids: string[] = [];
    // One message is taken; then the handler takes its time.
    await new Promise<void>((resolve) =>
      call.once('data', ({ paymentId }: OpenedReconcileRequest) => {
        ids.push(paymentId);
        call.pause();
        resolve();
      }),
    );
    await settle(running, () => state.written);
    const arrived = running.arrived[0]?.messages.length ?? 0;
    expect(arrived).to.be.within(READ_AHEAD, 1 + READ_AHEAD + STREAM_BUFFER);
    expect(state.written).to.be.within(arrived, arrived + 2 * STREAM_BUFFER + TRANSPORT);
    call.on('data', ({ paymentId }: OpenedReconcileRequest) => ids.push(paymentId));
    call.on('end', () => call.end());
    call.resume();
    expect((await answers).error).to.equal(undefined);
    expect(ids).to.deep.equal(Array.from({ length: MANY }, (_, index) => String(index)));
  });

  it('is held at its handler by a client that reads slowly, and goes on when it reads', async () => {
    let written = 0;
    // As long as the field allows, and as many as the transport does not hold.
    const [many, holderName] = [3_000, 'x'.repeat(900)];
    server = await startRecordingServer({
      async watchPayments(call) {
        for (let index = 0; index < many; index++) {
          written++;
          const payment = { ...paymentOf(String(index)), card: { ...makeRequest('').card, holderName } };
          if (!call.write({ payment })) await new Promise((resolve) => call.once('drain', resolve));
        }
        call.end();
      },
    });
    const stream = server.client().watchPayments({ orderId: '' })[Symbol.asyncIterator]();
    const ids = [(await stream.next()).value?.payment?.paymentId];
    await settle(server, () => written);
    expect(written).to.be.below(READ_AHEAD + 4 * STREAM_BUFFER + 2 ** 20 / holderName.length);
    for (let next = await stream.next(); !next.done; next = await stream.next()) {
      ids.push((next.value as OpenedWatchPaymentsResponse).payment?.paymentId);
    }
    expect(ids).to.deep.equal(Array.from({ length: many }, (_, index) => String(index)));
  });

  it('keeps its order when later messages are opened and recorded first', async () => {
    const audit = new GatedSink();
    const ids: string[] = [];
    server = await startRecordingServer(
      {
        importPayments(call, callback) {
          call.on('data', ({ payment }) => ids.push(payment?.orderId ?? ''));
          call.on('end', () => callback(null, { imported: String(ids.length) }));
        },
      },
      { open: { audit } },
    );
    const sent = Array.from({ length: 20 }, (_, index) => `order-${index}`);
    const call = server.client().importPayments(sent.map((orderId) => ({ payment: makeRequest(orderId) })));
    while (audit.commits.length < sent.length) await turn();
    for (const { done } of audit.commits.slice(1).reverse()) {
      done.resolve();
      await turn();
    }
    expect(ids).to.deep.equal([]);
    audit.commits[0]?.done.resolve();
    expect(await call).to.deep.equal({ imported: '20' });
    expect(ids).to.deep.equal(sent);
  });

  for (const [name, code] of [
    ['cancelled by its client', status.CANCELLED],
    ['past its deadline', status.DEADLINE_EXCEEDED],
  ] as const) {
    /** Ends a call in this way. */
    const ending = () => {
      const abort = new AbortController();
      const options = code === status.CANCELLED ? { signal: abort.signal } : { deadline: Date.now() + 3_000 };
      return { options, end: () => abort.abort(), signal: abort.signal };
    };

    it(`${name}: nothing of what is queued is opened, delivered, written or read any more`, async () => {
      const audit = new GatedSink();
      const delivered: unknown[] = [];
      const running = await startRecordingServer(
        { reconcile: (call) => void call.on('data', (message) => delivered.push(message)) },
        { open: { audit } },
      );
      server = running;
      const { state, requests } = counted();
      const { options, end, signal } = ending();
      const answers = readToEnd(running.client().reconcile(requests(), options));
      // The reply token's record comes first where there is a guard; here there is none.
      while (audit.commits.length < READ_AHEAD) await turn();
      end();
      expect(((await answers).error as ServiceError).code).to.equal(code);
      await (await running.arrival(1)).closed;
      const records = audit.commits.length;
      audit.release();
      await settle(running, () => state.released);
      expect(delivered).to.deep.equal([]);
      expect(audit.commits).to.have.length(records);
      expect(running.arrived[0]?.messages.length).to.be.below(MANY / 2);
      expect(state.written).to.be.below(MANY / 2);
      expect(getEventListeners(signal, 'abort')).to.deep.equal([]);
    });

    it(`${name}: replies that are queued are neither sealed nor sent any more`, async () => {
      const audit = new GatedSink();
      const cancelled = new Deferred<void>();
      const running = await startRecordingServer(
        {
          watchPayments(call) {
            call.on('cancelled', () => cancelled.resolve());
            for (let index = 0; index < MANY; index++) call.write({ payment: paymentOf(String(index)) });
            call.end();
          },
        },
        { open: { audit } },
      );
      server = running;
      const { options, end } = ending();
      const answers = readToEnd(running.client().watchPayments({ orderId: '' }, options));
      while (audit.commits.length < READ_AHEAD) await turn();
      end();
      const { messages, error } = await answers;
      expect([messages.length, (error as ServiceError).code]).to.deep.equal([0, code]);
      await cancelled.promise;
      audit.release();
      await settle(running, () => audit.commits.length);
      expect(audit.commits).to.have.length(READ_AHEAD);
    });
  }

  it('lets its source go when the service ends the call', async () => {
    server = await startRecordingServer({
      importPayments: (_call, callback) => callback({ code: status.UNAVAILABLE, details: 'closed' }),
    });
    const more = new Deferred<void>();
    const released = new Deferred<void>();
    const requests = async function* () {
      try {
        yield { payment: makeRequest('first') };
        await more.promise;
        for (;;) yield { payment: makeRequest('later') };
      } finally {
        released.resolve();
      }
    };
    expect((await failureOf(server.client().importPayments(requests()))).code).to.equal(status.UNAVAILABLE);
    more.resolve();
    await released.promise;
  });

  it('whose source fails after the service ended the call has the status of the service', async () => {
    server = await startRecordingServer({
      reconcile: (call) => void call.emit('error', { code: status.UNAVAILABLE, details: 'closed' }),
    });
    const more = new Deferred<void>();
    const failed = new Deferred<void>();
    const requests = async function* () {
      yield { paymentId: 'p', statementLine: LINE };
      await more.promise;
      failed.resolve();
      throw new Error('the file ended in the middle of a line');
    };
    const { error } = await readToEnd(server.client().reconcile(requests()));
    expect((error as ServiceError).code).to.equal(status.UNAVAILABLE);
    more.resolve();
    await failed.promise;
    await turn();
  });

  it('ends once, at the message that is refused, and what came before it was delivered', async () => {
    const delivered: string[] = [];
    const over = new Deferred<void>();
    const endings: string[] = [];
    const { warnings, release } = collectWarnings();
    server = await startRecordingServer(
      {
        importPayments(call) {
          call.on('data', ({ payment }) => delivered.push(payment?.card.number ?? ''));
          call.on('end', () => endings.push('end'));
          call.on('cancelled', () => {
            endings.push('cancelled');
            over.resolve();
          });
        },
      },
      { open: { validators: { 'payments.v1.CardDetails': refuseThird } } },
    );
    const numbers = ['1', '2', 'three', '4', 'five'];
    const error = await failureOf(
      server
        .client()
        .importPayments(
          numbers.map((number) => ({ payment: { ...makeRequest(number), card: { ...makeRequest('').card, number } } })),
        ),
    );
    expect(error.code).to.equal(status.INVALID_ARGUMENT);
    expect(errorDetails(error)?.violations).to.deep.equal([{ path: 'payment.card.number', rule: 'digits only' }]);
    await over.promise;
    expect(delivered).to.deep.equal(['1', '2']);
    expect(endings).to.deep.equal(['cancelled']);
    await turn();
    release();
    expect(warnings, 'nothing that the handler did').to.deep.equal([]);
  });

  it('whose message is refused is no failure of a handler that reads it to the end', async () => {
    const over = new Deferred<void>();
    const { warnings, release } = collectWarnings();
    server = await startRecordingServer(
      {
        async reconcile(call) {
          call.on('cancelled', () => over.resolve());
          for await (const _ of call);
          call.end();
        },
      },
      { open: { validators: { 'google.protobuf.StringValue': () => [{ path: 'value', rule: 'no' }] } } },
    );
    const { error } = await readToEnd(server.client().reconcile([{ paymentId: 'p', statementLine: LINE }]));
    expect((error as ServiceError).code).to.equal(status.INVALID_ARGUMENT);
    await over.promise;
    await turn();
    release();
    expect(warnings).to.deep.equal([]);
  });

  for (const [name, misuse] of [
    ['ends its stream with a message', (call) => call.end({ payment: paymentOf('1') })],
    [
      'ends its stream with a status of wrong metadata',
      (call) => call.emit('error', { code: 5, details: 'x', metadata: {} }),
    ],
    ['writes after the end', (call) => [call.end(), call.write({ payment: paymentOf('1') })]],
  ] as readonly (readonly [string, (call: Writable) => unknown])[]) {
    it(`whose handler ${name} ends as INTERNAL, and the service lives`, async () => {
      server = await startRecordingServer({
        watchPayments(call) {
          call.write({ payment: paymentOf('0') });
          misuse(call);
        },
      });
      for (let count = 0; count < 2; count++) {
        const { messages, error } = await readToEnd(server.client().watchPayments({ orderId: '' }));
        expect(messages.map(({ payment }) => payment?.paymentId)).to.deep.equal(['0']);
        expect(error).to.include({ code: status.INTERNAL, details: 'internal error' });
      }
    });
  }

  for (const [name, fail] of [
    ['throws', () => raise(new Error('canary'))],
    ['rejects', () => Promise.reject(new Error('canary'))],
  ] as const) {
    it(`whose handler ${name} after two writes ends once as INTERNAL, and what was written has arrived`, async () => {
      const { warnings, release } = collectWarnings();
      const statuses: number[] = [];
      const counting: ServerInterceptor = (_definition, call) =>
        new ServerInterceptingCall(call, {
          sendStatus(sent, next) {
            statuses.push(sent.code);
            next(sent);
          },
        });
      server = await startRecordingServer(
        {
          watchPayments(call) {
            for (const id of ['0', '1']) call.write({ payment: paymentOf(id) });
            return fail();
          },
        },
        { inner: [counting] },
      );
      const { messages, error } = await readToEnd(server.client().watchPayments({ orderId: '' }));
      expect(messages.map(({ payment }) => payment?.paymentId)).to.deep.equal(['0', '1']);
      expect(error).to.include({ code: status.INTERNAL, details: 'internal error' });
      expect(statuses).to.deep.equal([status.INTERNAL]);
      await turn();
      release();
      expect(warnings).to.have.length(1);
      expect(warnings[0]).not.to.include('canary');
    });
  }

  for (const [name, code, reason, break_] of [
    ['cannot be sealed', status.INTERNAL, undefined, 'seal'],
    ['cannot be recorded', status.UNAVAILABLE, 'AUDIT_UNAVAILABLE', 'audit'],
  ] as const) {
    it(`ends once, at the reply that ${name}, and what came before it has arrived`, async () => {
      const { warnings, release } = collectWarnings();
      let records = 0;
      const audit: AuditSink = {
        async commit() {
          // Two replies are durable late, the third cannot be.
          if (++records === 3 && break_ === 'audit') throw new SealwireError('AUDIT_FAILED', 'no disk');
          for (let turns = 0; turns < 20; turns++) await turn();
        },
        note() {},
      };
      server = await startRecordingServer(
        {
          watchPayments(call) {
            for (let index = 0; index < 5; index++) {
              const payment = paymentOf(String(index));
              const bad = index === 2 && break_ === 'seal';
              call.write({ payment: bad ? { ...payment, card: 'canary' as never } : payment });
            }
            call.end();
          },
        },
        { open: { audit } },
      );
      const { messages, error } = await readToEnd(server.client().watchPayments({ orderId: '' }));
      expect(messages.map(({ payment }) => payment?.paymentId)).to.deep.equal(['0', '1']);
      expect((error as ServiceError).code).to.equal(code);
      expect((error as ServiceError).message).not.to.include('canary');
      expect(errorDetails(error)?.reason).to.equal(reason);
      release();
      expect(warnings).to.have.length(break_ === 'seal' ? 1 : 0);
    });
  }
});

/** Where handlers' failures are told by default. */
function collectWarnings() {
  const warnings: string[] = [];
  const warn = (warning: Error) => warnings.push(warning.message);
  process.on('warning', warn);
  return { warnings, release: () => process.off('warning', warn) };
}

function refuseThird({ number }: { readonly number: string }) {
  return /^\d+$/.test(number) ? [] : [{ path: 'number', rule: 'digits only' }];
}

function raise(error: Error): never {
  throw error;
}
