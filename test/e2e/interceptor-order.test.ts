/** Other grpc-js interceptors around ours: outside (nearer to the wire) they see tokens, inside opened messages. */
import { ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { expect } from 'chai';
import { isOpened } from '../../src/schema/opened.js';
import { createTracer, type Step } from '../client/helpers.js';
import { orderOf, paymentsService, WATCHED } from '../support/payments-bench.js';
import { type Bench, readToEnd, startBench } from '../support/sealed-bench.js';

const TOKEN = /^[\w-]+(\.[\w-]+){4}$/;

/** What one interceptor saw of the messages that pass it, in both directions. */
interface Seen {
  readonly requests: object[];
  readonly responses: object[];
  /** How many reply tokens the metadata had. */
  readonly replyTokens: number[];
  readonly halfCloses: string[];
}

const emptySeen = (): Seen => ({ requests: [], responses: [], replyTokens: [], halfCloses: [] });

/** A server interceptor that notes all that passes it. */
function spyOn(seen: Seen): ServerInterceptor {
  return (_definition, call) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata(metadata, pass) {
            seen.replyTokens.push(metadata.get('sealwire-reply').length);
            pass(metadata);
          },
          onReceiveMessage(message, pass) {
            seen.requests.push(message as object);
            pass(message);
          },
          onReceiveHalfClose(pass) {
            seen.halfCloses.push('halfClose');
            pass();
          },
        }),
      sendMessage(message, pass) {
        seen.responses.push(message as object);
        pass(message);
      },
    });
}

/** Every sealed field of some messages, wherever it stands. */
function sealedFields(messages: readonly unknown[]): unknown[] {
  return (messages as Record<string, Record<string, unknown>>[]).flatMap((message) => {
    const holder = message['payment'] ?? message;
    return ['card', 'statementLine', 'note'].filter((name) => name in holder).map((name) => holder[name]);
  });
}

const sent = (steps: readonly Step[]) => steps.filter(([name]) => name === 'message').map(([, message]) => message);
const received = (steps: readonly Step[]) =>
  steps.filter(([name]) => name === 'received').map(([, message]) => message);

describe('interceptors around ours', () => {
  let bench: Bench;
  let near: Step[];
  let wire: Step[];
  let outer: Seen;
  let inner: Seen;

  beforeEach(async () => {
    [near, wire, outer, inner] = [[], [], emptySeen(), emptySeen()];
    bench = await startBench({
      services: [paymentsService({ calls: [] })],
      client: { interceptors: [createTracer(near)], wireInterceptors: [createTracer(wire)] },
      around: [[spyOn(outer)], [spyOn(inner)]],
    });
  });
  afterEach(() => bench.stop());

  const lines = ['a', 'b', 'c'].map((paymentId) => ({ paymentId, statementLine: { value: `line ${paymentId}` } }));
  const cases: readonly [name: string, requests: number, responses: number, call: () => Promise<unknown>][] = [
    ['a unary request', 1, 0, () => bench.client.authorize(orderOf('one'))],
    ['a unary response', 0, 1, () => bench.client.getPayment({ paymentId: 'p' })],
    [
      'a request stream',
      3,
      0,
      () => bench.client.importPayments(['1', '2', '3'].map((id) => ({ payment: orderOf(id) }))),
    ],
    ['a response stream', 0, WATCHED, () => readToEnd(bench.client.watchPayments({ orderId: 'o' }))],
    ['streams in both directions', 3, 3, () => readToEnd(bench.client.reconcile(lines))],
  ];
  for (const [name, requests, responses, call] of cases) {
    it(`${name}: on client and server, tokens outside and opened messages inside`, async () => {
      await call();
      for (const [side, messages, count] of [
        ['client, wire, sent', sent(wire), requests],
        ['server, outer, received', outer.requests, requests],
        ['server, outer, sent', outer.responses, responses],
        ['client, wire, received', received(wire), responses],
      ] as const) {
        const fields = sealedFields(messages);
        expect(fields, side).to.have.length(count);
        for (const field of fields) expect(field, side).to.match(TOKEN);
      }
      for (const [side, messages, count, marked] of [
        ['client, near, sent', sent(near), requests, false],
        ['server, inner, received', inner.requests, requests, true],
        ['server, inner, sent', inner.responses, responses, false],
        ['client, near, received', received(near), responses, true],
      ] as const) {
        const fields = sealedFields(messages);
        expect(fields, side).to.have.length(count);
        for (const field of fields) {
          expect(field, side).to.be.an('object');
          if (marked) expect(isOpened(field), side).to.equal(true);
        }
      }
      // Nothing is added, lost or put in another order between the two sides of ours.
      expect(outer.requests).to.have.length(inner.requests.length);
      expect(outer.responses).to.have.length(inner.responses.length);
      expect([outer.halfCloses.length, inner.halfCloses.length]).to.deep.equal([1, 1]);
      expect(near.map(([step]) => step)).to.deep.equal(wire.map(([step]) => step));
      expect(outer.replyTokens).to.deep.equal([responses > 0 ? 1 : 0]);
      expect(inner.replyTokens).to.deep.equal(outer.replyTokens);
    });
  }

  it('an inner one may refuse a call before its handler, an outer one before anything is opened', async () => {
    for (const place of ['outer', 'inner'] as const) {
      const calls: string[] = [];
      const refusing: ServerInterceptor = (_definition, call) =>
        new ServerInterceptingCall(call, {
          start: (next) =>
            next({ onReceiveMessage: () => call.sendStatus({ code: 7, details: 'not today', metadata: null }) }),
        });
      const other = await startBench({
        services: [paymentsService({ calls })],
        around: place === 'outer' ? [[refusing], []] : [[], [refusing]],
      });
      const error = await other.client.authorize(orderOf('one')).catch((e: unknown) => e);
      expect(error).to.include({ code: 7, details: 'not today' });
      expect(calls).to.deep.equal([]);
      expect(other.audit.records).to.have.length(place === 'outer' ? 0 : 1);
      other.stop();
    }
  });
});
