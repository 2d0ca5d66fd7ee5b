/** Attacks on replies and reply tokens by a relay that can change everything and open nothing. */
import { createHash } from 'node:crypto';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { credentials, type Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../src/client/client.js';
import { SealwireError } from '../../src/errors.js';
import {
  AuthorizeRequest,
  GetPaymentResponse,
  ReconcileRequest,
  ReconcileResponse,
  WatchPaymentsResponse,
} from '../../src/gen/payments/v1/payments.js';
import { PaymentPlan, SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import { ReplyOpener } from '../../src/jwe/reply.js';
import { type AgreementSession, SealingSessions } from '../../src/jwe/sender.js';
import { sha256 } from '../../src/jwe/sha256.js';
import { staticKeySource } from '../../src/keys/key-source.js';
import { KeyRing } from '../../src/keys/ring.js';
import { resolveLimits } from '../../src/profile/limits.js';
import { REPLY_FIELD, REPLY_METADATA } from '../../src/profile/replies.js';
import { boundDigest } from '../../src/schema/binding.js';
import { ReplayGuard } from '../../src/server/replay/replay-guard.js';
import type { CallerCredential } from '../../src/server/reply-token.js';
import { EchoResponse, StreamResponse } from '../gen/shapes/v1/shapes.js';
import { SealedFirstService, SealedSecondService } from '../gen/shapes/v1/shapes_sealed.js';
import { clientWays, UNNAMED_WAY } from '../support/client-ways.js';
import { failureOf, visibleParts } from '../support/harness.js';
import { orderOf, paymentOf, paymentsService, type Seen, WATCHED } from '../support/payments-bench.js';
import { type RelayedCall, rewriteAs } from '../support/rewriting-relay.js';
import { type AnyClient, type Bench, readToEnd, startBench } from '../support/sealed-bench.js';

type Payments = Bench['client'];
/** The methods whose replies are sealed, as calls that give all that came. */
const calls: Record<string, (client: Payments) => Promise<unknown>> = {
  getPayment: (client) => client.getPayment({ paymentId: 'p-1' }),
  watchPayments: (client) => drain(client.watchPayments({ orderId: 'order-1' })),
  reconcile: (client) => drain(client.reconcile([{ paymentId: 'p-1', statementLine: { value: 'line' } }])),
};

const pathOf = (name: string) => `/payments.v1.PaymentService/${name[0]?.toUpperCase()}${name.slice(1)}`;

async function drain<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const { messages, error } = await readToEnd(stream);
  if (error !== undefined) throw error;
  return messages;
}

function expectRefusedReply(error: ServiceError, step: string, path: string): void {
  expect(error.code, error.message).to.equal(status.DATA_LOSS);
  expect(error.details).to.equal(`the sealed reply was refused: ${step} at ${path}`);
  expect(errorDetails(error)).to.include({ code: step, field: path });
  expect(error.cause).to.be.instanceOf(SealwireError);
}

for (const [way, optionsFor] of Object.entries(clientWays)) {
  describe(`replies behind a hostile relay, of calls ${way}`, () => {
    let bench: Bench;
    let client: Payments;
    let shapes: AnyClient;
    let second: AnyClient;
    let relaySession: AgreementSession;
    const seen: Seen = { calls: [] };

    before(async () => {
      const guard = new ReplayGuard();
      const streams = {
        stream: async (call: ServerDuplexStream<object, object>) => {
          for await (const _ of call) call.write({ values: ['1', '2', '3'].map((seconds) => ({ seconds, nanos: 0 })) });
          call.end();
        },
      };
      const echo = {
        echo: (_call: unknown, answer: (error: null, value: object) => void) => {
          const nested = (text: string) => ({ inner: { text } });
          answer(null, {
            shapes: {
              ...emptyShapes,
              must: { text: 'must' },
              byNumber: { 1: { text: 'one' }, 2: { text: 'two' } },
              manyNested: [nested('first'), nested('second')],
              mapNested: { a: nested('in a'), b: nested('in b') },
            },
          });
        },
      };
      bench = await startBench({
        services: [
          paymentsService(seen),
          { service: SealedFirstService, handlers: echo },
          { service: SealedSecondService, handlers: streams },
        ],
        open: { guard },
      });
      const other = (await KeyRing.create('P-256')).current();
      const keys = staticKeySource({ '': bench.ring.current(), other, insurer: other });
      const options = { keys, ...(await optionsFor(bench.ring.current(), other)) };
      shapes = bench.connect(SealedFirstService, options);
      second = bench.connect(SealedSecondService, options);
      client = new SealedPaymentServiceClient(bench.relay.address, credentials.createInsecure(), options);
      relaySession = await new SealingSessions().acquire(bench.ring.current());
    });
    after(() => {
      client.close();
      bench.stop();
    });
    beforeEach(() => {
      bench.relay.hooks = {};
      bench.relay.calls.length = 0;
      seen.calls.length = 0;
      bench.audit.notes.length = 0;
    });

    const now = () => Math.floor(Date.now() / 1000);
    /** A reply token of the relay's own making: everybody has the public key. */
    const ownReplyToken = (field = REPLY_FIELD, iat = now(), mth = pathOf('getPayment')) =>
      relaySession.seal(Buffer.alloc(0), { field, cty: 'application/protobuf', iat, call: { mth } });
    const replace = (value: string | string[]) => ({
      metadata(metadata: Metadata) {
        metadata.remove(REPLY_METADATA);
        for (const one of [value].flat()) metadata.add(REPLY_METADATA, one);
      },
    });
    const lastCall = () => bench.relay.calls.at(-1) as RelayedCall;
    const tokenSent = () => String(lastCall().metadata.get(REPLY_METADATA)[0]);

    it('come through a relay that changes nothing', async () => {
      const { payment } = await client.getPayment({ paymentId: 'p-1' });
      expect(payment?.card?.number).to.equal('card-of-p-1');
      expect(await drain(client.watchPayments({ orderId: 'order-1' }))).to.have.length(WATCHED);
      const [line] = await drain(client.reconcile([{ paymentId: 'p-1', statementLine: { value: 'x' } }]));
      expect(line?.note?.value).to.equal('note on x');
    });

    describe('the reply token', () => {
      for (const [name, call] of Object.entries(calls)) {
        it(`dropped from ${name}: REPLY_KEY_MISSING, and no handler runs`, async () => {
          bench.relay.hooks = { metadata: (metadata) => metadata.remove(REPLY_METADATA) };
          const error = await failureOf(call(client));
          expect(error.code).to.equal(status.FAILED_PRECONDITION);
          expect(errorDetails(error)).to.deep.include({ reason: 'REPLY_KEY_MISSING', field: REPLY_METADATA });
          expect(seen.calls).to.deep.equal([]);
          expect(bench.audit.notes.map(({ detail }) => detail)).to.deep.equal([`NO_REPLY_KEY at ${REPLY_METADATA}`]);
        });

        it(`of the relay in ${name}: the client sees that the replies are not for it`, async () => {
          bench.relay.hooks = replace(ownReplyToken(REPLY_FIELD, now(), pathOf(name)));
          const error = await failureOf(call(client));
          const place = { getPayment: 'payment.card', watchPayments: 'payment.card', reconcile: 'note' }[
            name
          ] as string;
          expectRefusedReply(error, 'REPLY_MISMATCH', place);
        });
      }

      it('of the relay lets the relay read, which is why authenticateCaller exists', async () => {
        const token = ownReplyToken();
        bench.relay.hooks = replace(token);
        await failureOf(client.getPayment({ paymentId: 'p-1' }));
        const { payment } = GetPaymentResponse.decode(lastCall().responses[0] as Buffer);
        const [field] = PaymentPlan.sealed;
        const expected = {
          field: 'payments.v1.Payment.card',
          bound: boundDigest(field!, payment as object, sha256) as string,
        };
        const opener = new ReplyOpener(relaySession.replyKey, token, resolveLimits());
        const { plaintext } = opener.open(payment!.card, expected);
        expect(plaintext.toString('latin1')).to.contain('card-of-p-1');
      });

      it('in any wrong form is refused with one status, byte for byte, before a handler runs', async () => {
        await client.getPayment({ paymentId: 'p-1' });
        await client.authorize(orderOf('form'));
        const card = AuthorizeRequest.decode(lastCall().requests[0] as Buffer).card;
        seen.calls.length = 0;
        const good = ownReplyToken();
        const wrong = {
          'two tokens': [good, ownReplyToken()],
          'the same twice': [good, good],
          'a joined list': `${good}, ${good}`,
          'a request token': card,
          'a token for another field': ownReplyToken('payments.v1.Payment.card'),
          'four parts': good.split('.').slice(1).join('.'),
          'a changed tag': flip(good, 4),
          'a changed ciphertext': flip(good, 1),
          padding: `${good}=`,
          text: 'x',
          'nothing in it': '.....',
        };
        const statuses = new Set<string>();
        for (const value of Object.values(wrong)) {
          bench.relay.hooks = replace(value);
          const error = await failureOf(client.getPayment({ paymentId: 'p-1' }));
          expect(errorDetails(error)).to.deep.include({ reason: 'SEALED_FIELD_INVALID', field: REPLY_METADATA });
          statuses.add(visibleParts(error));
        }
        expect([...statuses]).to.have.length(1);
        expect(seen.calls).to.deep.equal([]);
        expect(new Set(bench.audit.notes.map(({ event }) => event))).to.deep.equal(new Set(['reject']));
        expect(bench.audit.notes).to.have.length(Object.keys(wrong).length);
      });

      it('that is stale, or for another service, is refused with its own reason', async () => {
        const other = await new SealingSessions().acquire((await KeyRing.create('P-256')).current());
        const call = { mth: pathOf('getPayment') };
        const parameters = { field: REPLY_FIELD, cty: 'application/protobuf', iat: now(), call } as const;
        for (const [token, reason] of [
          [ownReplyToken(REPLY_FIELD, now() - 400), 'SEALED_FIELD_STALE'],
          [ownReplyToken(REPLY_FIELD, now() + 400), 'SEALED_FIELD_STALE'],
          [other.seal(Buffer.alloc(0), parameters), 'SEALED_FIELD_UNKNOWN_KEY'],
        ] as const) {
          bench.relay.hooks = replace(token);
          const error = await failureOf(client.getPayment({ paymentId: 'p-1' }));
          expect(errorDetails(error)).to.deep.include({ reason, field: REPLY_METADATA });
        }
        expect(seen.calls).to.deep.equal([]);
      });

      it("is no card: put into a request's field it is refused", async () => {
        const token = ownReplyToken();
        bench.relay.hooks = { request: rewriteAs(AuthorizeRequest, (message) => ({ ...message, card: token })) };
        const error = await failureOf(client.authorize(orderOf('reply token as card')));
        expect(errorDetails(error)).to.deep.include({ reason: 'SEALED_FIELD_INVALID', field: 'card' });
        expect(seen.calls).to.deep.equal([]);
      });

      it('of an earlier call is refused on a method that is not idempotent', async () => {
        await calls['reconcile']!(client);
        bench.relay.hooks = replace(tokenSent());
        seen.calls.length = 0;
        const error = await failureOf(calls['reconcile']!(client));
        expect(error.code).to.equal(status.ALREADY_EXISTS);
        expect(errorDetails(error)).to.deep.include({ reason: 'SEALED_FIELD_REPLAYED', field: REPLY_METADATA });
        expect(seen.calls).to.deep.equal([]);
      });

      it('of an earlier call of an idempotent method asks the same question only, and its caller alone can read the answer', async () => {
        await client.getPayment({ paymentId: 'p-1' });
        bench.relay.hooks = replace(tokenSent());
        for (const ask of [
          () => client.getPayment({ paymentId: 'p-2' }),
          () => client.getPayment({ paymentId: '' }),
          () => drain(client.watchPayments({ orderId: 'p-1' })),
          () => drain(client.reconcile([])),
        ]) {
          const error = await failureOf(ask());
          const reason = errorDetails(error)?.reason as string;
          expect(reason).to.be.oneOf(['SEALED_FIELD_INVALID', 'SEALED_FIELD_REPLAYED']);
          expect(errorDetails(error)?.field).to.equal(REPLY_METADATA);
        }
        expect(seen.calls).to.deep.equal(['getPayment p-1']);
        const again = await failureOf(client.getPayment({ paymentId: 'p-1' }));
        if (way === UNNAMED_WAY) expect(errorDetails(again)?.reason).to.equal('SEALED_FIELD_REPLAYED');
        else expectRefusedReply(again, 'REPLY_MISMATCH', 'payment.card');
      });

      it('says which request it is for, where the client knows its bytes', async () => {
        const headerOf = (token: string) =>
          JSON.parse(Buffer.from(token.split('.')[0] as string, 'base64url').toString()) as Record<string, unknown>;
        for (const [name, call] of Object.entries(calls)) {
          await call(client);
          const [request] = lastCall().requests;
          const isNamed = way !== UNNAMED_WAY && name !== 'reconcile';
          const req = createHash('sha256')
            .update(request as Buffer)
            .digest('base64url');
          expect(headerOf(tokenSent())['mth']).to.equal(lastCall().path);
          expect(headerOf(tokenSent())['req'], name).to.equal(isNamed ? req : undefined);
        }
      });
    });

    describe('changed on the way', () => {
      it('swapped between two calls at once: both callers see it', async () => {
        const held: { bytes: Buffer; release: (other: Buffer) => void }[] = [];
        bench.relay.hooks = {
          response: (bytes) =>
            new Promise((release) => {
              held.push({ bytes, release });
              const [first, other] = held;
              if (first === undefined || other === undefined) return;
              first.release(other.bytes);
              other.release(first.bytes);
            }),
        };
        const failures = await Promise.all(
          ['p-1', 'p-2'].map((paymentId) => failureOf(client.getPayment({ paymentId }))),
        );
        for (const error of failures) expectRefusedReply(error, 'REPLY_MISMATCH', 'payment.card');
      });

      it("with another call's token beside its own siblings: the client sees it", async () => {
        await client.getPayment({ paymentId: 'p-1' });
        const { payment: earlier } = GetPaymentResponse.decode(lastCall().responses[0] as Buffer);
        bench.relay.hooks = {
          response: rewriteAs(GetPaymentResponse, ({ payment }) => ({ payment: { ...payment!, card: earlier!.card } })),
        };
        // The same payment, so that field and binding fit.
        const error = await failureOf(client.getPayment({ paymentId: 'p-1' }));
        expectRefusedReply(error, 'REPLY_MISMATCH', 'payment.card');
      });

      it('with the token that the client itself sent, or one that the relay made: the client sees it', async () => {
        await client.authorize(orderOf('stored'));
        const stored = AuthorizeRequest.decode(lastCall().requests[0] as Buffer).card;
        const bound = boundDigest(PaymentPlan.sealed[0]!, paymentOf('p-1'), sha256) as string;
        const sealing = { field: 'payments.v1.Payment.card', cty: 'application/protobuf', iat: now(), bound } as const;
        const made = relaySession.seal(Buffer.from('0a0131', 'hex'), sealing);
        for (const card of [stored, made, ownReplyToken()]) {
          bench.relay.hooks = {
            response: rewriteAs(GetPaymentResponse, ({ payment }) => ({ payment: { ...payment!, card } })),
          };
          const error = await failureOf(client.getPayment({ paymentId: 'p-1' }));
          expectRefusedReply(error, 'ALGORITHM_NOT_ALLOWED', 'payment.card');
        }
      });

      it('with the reply token of its call as the reply: the client sees it', async () => {
        bench.relay.hooks = {
          response: rewriteAs(GetPaymentResponse, ({ payment }) => ({ payment: { ...payment!, card: tokenSent() } })),
        };
        const error = await failureOf(client.getPayment({ paymentId: 'p-1' }));
        expectRefusedReply(error, 'ALGORITHM_NOT_ALLOWED', 'payment.card');
      });

      for (const [name, change] of [
        ['another payment id', { paymentId: 'p-2' }],
        ['no payment id', { paymentId: '' }],
        ['another order', { orderId: 'other' }],
      ] as const) {
        it(`with ${name} beside the card: the client sees it`, async () => {
          bench.relay.hooks = {
            response: rewriteAs(GetPaymentResponse, ({ payment }) => ({ payment: { ...payment!, ...change } })),
          };
          const error = await failureOf(client.getPayment({ paymentId: 'p-1' }));
          expectRefusedReply(error, 'BINDING_MISMATCH', 'payment.card');
        });
      }

      it('with a match turned into a mismatch: the client sees it', async () => {
        bench.relay.hooks = { response: rewriteAs(ReconcileResponse, (message) => ({ ...message, matched: false })) };
        expectRefusedReply(await failureOf(calls['reconcile']!(client)), 'BINDING_MISMATCH', 'note');
      });

      it('with one bit flipped in each part, or plaintext: the client sees it', async () => {
        for (const [step, change] of [
          ['DECRYPTION_FAILED', (token: string) => flip(token, 1)],
          ['DECRYPTION_FAILED', (token: string) => flip(token, 2)],
          ['DECRYPTION_FAILED', (token: string) => flip(token, 3)],
          ['DECRYPTION_FAILED', (token: string) => flip(token, 4)],
          ['TOKEN_PART_COUNT', () => '4111111111111111'],
        ] as const) {
          bench.relay.hooks = {
            response: rewriteAs(GetPaymentResponse, ({ payment }) => ({
              payment: { ...payment!, card: change(payment!.card) },
            })),
          };
          const error = await failureOf(client.getPayment({ paymentId: 'p-1' }));
          expectRefusedReply(error, step, 'payment.card');
        }
      });

      it('swapped between two fields, elements, entries or nested messages of one response: the client sees it', async () => {
        type Shapes = NonNullable<EchoResponse['shapes']>;
        const swaps: [string, string, (shapes: Shapes) => Shapes][] = [
          ['FIELD_MISMATCH', 'shapes.must', (s) => ({ ...s, must: s.manyNested[0]!.inner })],
          ['FIELD_MISMATCH', 'shapes.must', (s) => ({ ...s, must: s.byNumber[1] as string })],
          [
            'REPLY_MISMATCH',
            'shapes.by_number["1"]',
            (s) => ({ ...s, byNumber: { 1: s.byNumber[2]!, 2: s.byNumber[1]! } }),
          ],
          ['REPLY_MISMATCH', 'shapes.by_number["1"]', (s) => ({ ...s, byNumber: { 1: s.byNumber[2]! } })],
          ['REPLY_MISMATCH', 'shapes.many_nested[0].inner', (s) => ({ ...s, manyNested: [...s.manyNested].reverse() })],
          ['REPLY_MISMATCH', 'shapes.many_nested[0].inner', (s) => ({ ...s, manyNested: s.manyNested.slice(1) })],
          [
            'REPLY_MISMATCH',
            'shapes.many_nested[1].inner',
            (s) => ({ ...s, manyNested: [s.manyNested[0]!, s.manyNested[0]!] }),
          ],
          [
            'REPLY_MISMATCH',
            'shapes.map_nested["a"].inner',
            (s) => ({ ...s, mapNested: { a: s.mapNested['b']!, b: s.mapNested['a']! } }),
          ],
          [
            'REPLY_MISMATCH',
            'shapes.many_nested[0].inner',
            (s) => ({ ...s, manyNested: [s.mapNested['a']!, s.manyNested[1]!] }),
          ],
        ];
        for (const [step, path, swap] of swaps) {
          bench.relay.hooks = {
            response: rewriteAs(EchoResponse, (message) => ({ ...message, shapes: swap(message.shapes as Shapes) })),
          };
          expectRefusedReply(await failureOf(shapes.call('echo', { shapes: undefined })), step, path);
        }
      });

      it('swapped between positions of a repeated field: the client sees it', async () => {
        bench.relay.hooks = {
          response: rewriteAs(StreamResponse, ({ values: [a, b, c] }) => ({ values: [a!, c!, b!] })),
        };
        const { messages, error } = await readToEnd(second.talk('stream', [{}]));
        expect(messages).to.deep.equal([]);
        expectRefusedReply(error as ServiceError, 'REPLY_MISMATCH', 'values[1]');
      });
    });

    describe('in a stream', () => {
      const watch = () => readToEnd(client.watchPayments({ orderId: 'order-1' }));
      const ids = (messages: { payment?: { paymentId: string } | undefined }[]) =>
        messages.map(({ payment }) => payment?.paymentId);

      /** Sends the messages of a stream in this order. */
      const reorder = (order: readonly number[]) => {
        const held: Buffer[] = [];
        return {
          response: (bytes: Buffer) => {
            held.push(bytes);
            return held.length < WATCHED ? [] : order.map((index) => held[index] as Buffer);
          },
        };
      };

      for (const [name, order, delivered] of [
        ['re-ordered', [0, 2, 1, 3], ['p-0']],
        ['reversed', [3, 2, 1, 0], []],
        ['one dropped', [0, 1, 3], ['p-0', 'p-1']],
        ['the first dropped', [1, 2, 3], []],
        ['one sent twice', [0, 1, 1, 2, 3], ['p-0', 'p-1']],
      ] as const) {
        it(`${name}: the client sees it at the first that is not the next`, async () => {
          bench.relay.hooks = reorder(order);
          const { messages, error } = await watch();
          expectRefusedReply(error as ServiceError, 'REPLY_MISMATCH', 'payment.card');
          // What had been handed over before is good.
          expect(delivered.slice(0, messages.length)).to.deep.equal(ids(messages));
          expect(messages.length).to.be.at.most(delivered.length);
        });
      }

      it('replayed from an earlier call: the client sees it', async () => {
        await watch();
        const earlier = lastCall().responses;
        bench.relay.hooks = { response: (_bytes, _call, index) => earlier[index] as Buffer };
        const { messages, error } = await watch();
        expect(messages).to.deep.equal([]);
        expectRefusedReply(error as ServiceError, 'REPLY_MISMATCH', 'payment.card');
      });

      it('one card put into the next message, or taken from the one before: the client sees it', async () => {
        let before = '';
        bench.relay.hooks = {
          response: rewriteAs(WatchPaymentsResponse, ({ payment }, _call, index) => {
            const card = index === 1 ? before : payment!.card;
            before = payment!.card;
            return { payment: { ...payment!, card } };
          }),
        };
        const { error } = await watch();
        expectRefusedReply(error as ServiceError, 'BINDING_MISMATCH', 'payment.card');
      });

      it('a request line put into a note: the client sees it', async () => {
        const lines: string[] = [];
        bench.relay.hooks = {
          request: rewriteAs(ReconcileRequest, (message) => {
            lines.push(message.statementLine);
            return message;
          }),
          response: rewriteAs(ReconcileResponse, (message) => ({ ...message, note: lines[0] as string })),
        };
        expectRefusedReply(await failureOf(calls['reconcile']!(client)), 'ALGORITHM_NOT_ALLOWED', 'note');
      });
    });
  });
}

describe('replies for authenticated callers', () => {
  const asked: CallerCredential[] = [];
  const seen: Seen = { calls: [] };
  let bench: Bench;
  let answer: (credential: string) => string | undefined | Promise<string | undefined>;

  before(async () => {
    bench = await startBench({
      services: [paymentsService(seen)],
      open: {
        authenticateCaller: (caller) => {
          asked.push({ ...caller, credential: Buffer.from(caller.credential) });
          return answer(caller.credential.toString());
        },
      },
      client: { credential: async (method) => Buffer.from(`secret of Ada for ${method}`) },
    });
  });
  after(() => bench.stop());
  beforeEach(() => {
    asked.length = 0;
    seen.calls.length = 0;
    bench.audit.notes.length = 0;
    bench.audit.records.length = 0;
    bench.relay.hooks = {};
    answer = (credential) => (credential.startsWith('secret of Ada for ') ? 'ada' : undefined);
  });

  it('the hook gets what the client sealed, and its answer is the principal of every record', async () => {
    await drain(bench.client.reconcile([{ paymentId: 'p-1', statementLine: { value: 'x' } }]));
    expect(asked.map(({ credential, method, principal }) => [String(credential), method, principal])).to.deep.equal([
      ['secret of Ada for /payments.v1.PaymentService/Reconcile', '/payments.v1.PaymentService/Reconcile', '127.0.0.1'],
    ]);
    expect(bench.audit.records.map(({ event, principal }) => `${event} ${principal}`)).to.have.members([
      'open 127.0.0.1',
      'open ada',
      'seal ada',
    ]);
    // Nobody sees a credential before its opening is recorded, and nobody reads it there.
    const [first] = bench.audit.records[0]!.fields;
    expect(first).to.deep.include({ field: REPLY_FIELD, path: REPLY_METADATA, keep: false, outcome: 'opened' });
  });

  it("the relay's own reply token is refused before the handler, whatever it puts into it", async () => {
    const session = await new SealingSessions().acquire(bench.ring.current());
    for (const credential of ['', 'guess', 'secret of']) {
      bench.relay.hooks = {
        metadata(metadata, { path }) {
          const iat = Math.floor(Date.now() / 1000);
          const call = { mth: path };
          const parameters = { field: REPLY_FIELD, cty: 'application/protobuf', iat, call } as const;
          metadata.set(REPLY_METADATA, session.seal(Buffer.from(credential), parameters));
        },
      };
      for (const call of Object.values(calls)) {
        const error = await failureOf(call(bench.client));
        expect(error.code).to.equal(status.UNAUTHENTICATED);
        expect(errorDetails(error)).to.deep.include({ reason: 'CALLER_NOT_AUTHENTICATED', field: REPLY_METADATA });
      }
    }
    expect(seen.calls).to.deep.equal([]);
    expect(new Set(bench.audit.notes.map(({ detail }) => detail))).to.deep.equal(
      new Set([`CALLER_REFUSED at ${REPLY_METADATA}`]),
    );
  });

  for (const [name, fail] of [
    [
      'throws',
      () => {
        throw new Error('secret of Ada');
      },
    ],
    ['rejects', () => Promise.reject(new Error('secret of Ada'))],
  ] as [string, () => Promise<string>][]) {
    it(`a hook that ${name} ends the call as INTERNAL without its text, and no handler runs`, async () => {
      answer = fail;
      const error = await failureOf(bench.client.getPayment({ paymentId: 'p-1' }));
      expect([error.code, error.details]).to.deep.equal([status.INTERNAL, 'internal error']);
      expect(visibleParts(error)).not.to.contain('Ada');
      expect(JSON.stringify(bench.audit.notes)).not.to.contain('secret');
      expect(seen.calls).to.deep.equal([]);
    });
  }

  it('the credential reaches no record', async () => {
    await bench.client.getPayment({ paymentId: 'p-1' });
    await calls['reconcile']!(bench.client);
    expect(JSON.stringify(bench.audit.records)).not.to.contain('secret');
  });

  it('a credential function that fails ends the call at the client, and nothing is sent', async () => {
    const before = bench.relay.calls.length;
    const broken = bench.connect(paymentsService(seen).service, {
      credential: () => {
        throw new Error('no token for Ada');
      },
    });
    const error = await failureOf(broken.call('getPayment', { paymentId: 'p-1' }));
    expect([error.code, error.details]).to.deep.equal([status.INTERNAL, 'internal error']);
    expect(bench.relay.calls.length).to.equal(before);
  });
});

/** All fields of `shapes.v1.Shapes` that have no presence. */
const emptyShapes = {
  many: [],
  byNumber: {},
  manyNested: [],
  mapNested: {},
  bInt32: 0,
  bInt64: 0n,
  bUint64: 0n,
  bBool: false,
  bString: '',
  bBytes: Buffer.alloc(0),
  bKind: 0,
};

/** Changes the first byte of one part of a token, leaving it canonical. */
function flip(token: string, part: number): string {
  const parts = token.split('.');
  const bytes = Buffer.from(parts[part] as string, 'base64url');
  bytes[0] = (bytes[0] as number) ^ 1;
  parts[part] = bytes.toString('base64url');
  return parts.join('.');
}
