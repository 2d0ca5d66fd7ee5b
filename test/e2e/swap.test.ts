/** Every token of the payments service in every place but its own; and what no token protects. */
import { readFile } from 'node:fs/promises';
import { credentials, InterceptingCall, type Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../src/client/client.js';
import {
  AuthorizeRequest,
  GetPaymentRequest,
  GetPaymentResponse,
  ImportPaymentsRequest,
  ReconcileRequest,
  ReconcileResponse,
  WatchPaymentsResponse,
} from '../../src/gen/payments/v1/payments.js';
import {
  AuthorizeRequestPlan,
  ReconcileRequestPlan,
  SealedPaymentServiceClient,
} from '../../src/gen/payments/v1/payments_sealed.js';
import { SealingSessions } from '../../src/jwe/sender.js';
import { sha256 } from '../../src/jwe/sha256.js';
import { staticKeySource } from '../../src/keys/key-source.js';
import { KeyRing } from '../../src/keys/ring.js';
import { REPLY_METADATA } from '../../src/profile/replies.js';
import type { SealedFieldPlan } from '../../src/schema/plan.js';
import { encodeSite } from '../../src/schema/seal-sites.js';
import { SubmitRequest } from '../gen/games/v1/games.js';
import { SealedScoreService } from '../gen/games/v1/games_sealed.js';
import { CheckoutRequest } from '../gen/shop/v1/shop.js';
import { SealedCheckoutService } from '../gen/shop/v1/shop_sealed.js';
import { failureOf, visibleParts } from '../support/harness.js';
import { fullOrder, type RelayedHarness, startRelayedHarness } from '../support/relayed-harness.js';
import { type RelayHooks, rewriteAs } from '../support/rewriting-relay.js';
import { type AnyClient, type Bench, readToEnd, startBench } from '../support/sealed-bench.js';

type Client = RelayedHarness['client'];

/** A place in a message where a token can stand. */
interface Place {
  /** As callers are told. */
  readonly path: string;
  /** Makes a call that has a token in this place. */
  call(client: Client, id: string): Promise<unknown>;
  /** Puts something else there. */
  put(token: string): RelayHooks;
}

const line = (paymentId: string) => [{ paymentId, statementLine: { value: `line of ${paymentId}` } }];

async function drain<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const { messages, error } = await readToEnd(stream);
  if (error !== undefined) throw error;
  return messages;
}

const cardKeys = { card: 'card', billing_address: 'billingAddress', security_code: 'securityCode' } as const;
type CardKey = (typeof cardKeys)[keyof typeof cardKeys];

/** Where requests hold tokens. */
const requestPlaces: Place[] = [
  ...Object.entries(cardKeys).flatMap(([path, key]): Place[] => [
    {
      path,
      call: (client, id) => client.authorize(fullOrder(id)),
      put: (token) => ({ request: rewriteAs(AuthorizeRequest, (message) => ({ ...message, [key]: token })) }),
    },
    {
      path: `payment.${path}`,
      call: (client, id) => client.importPayments([{ payment: fullOrder(id) }]),
      put: (token) => ({
        request: rewriteAs(ImportPaymentsRequest, ({ payment }) => ({ payment: { ...payment!, [key]: token } })),
      }),
    },
  ]),
  {
    path: 'statement_line',
    call: (client, id) => drain(client.reconcile(line(id))),
    put: (token) => ({ request: rewriteAs(ReconcileRequest, (message) => ({ ...message, statementLine: token })) }),
  },
];

/** Where replies hold them. */
const replyPlaces: Place[] = [
  {
    path: 'payment.card',
    call: (client, id) => client.getPayment({ paymentId: id }),
    put: (card) => ({ response: rewriteAs(GetPaymentResponse, ({ payment }) => ({ payment: { ...payment!, card } })) }),
  },
  {
    path: 'payment.card',
    call: (client) => drain(client.watchPayments({ orderId: 'paid' })),
    put: (card) => ({
      response: rewriteAs(WatchPaymentsResponse, ({ payment }) => ({ payment: { ...payment!, card } })),
    }),
  },
  {
    path: 'note',
    call: (client, id) => drain(client.reconcile(line(id))),
    put: (note) => ({ response: rewriteAs(ReconcileResponse, (message) => ({ ...message, note })) }),
  },
];

describe('the swap matrix of the payments service', () => {
  let relayed: RelayedHarness;
  /** Tokens that were never used, by where they come from, and replies that were. */
  const tokens = new Map<string, string>();
  /** Name of the reply token of a call as the tests make it. */
  let sameQuestion = '';
  let paymentId: string;
  let calls = 0;

  before(async function () {
    this.timeout(60_000);
    relayed = await startRelayedHarness();
    ({ paymentId } = await relayed.client.authorize(fullOrder('paid')));
    await collect();
  });
  after(() => relayed.stop());
  afterEach(() => {
    relayed.relay.hooks = {};
  });

  /** One of each token that the service ever sees or makes; requests are held back, so that no guard knows them. */
  async function collect(): Promise<void> {
    const { client, relay } = relayed;
    const add = (name: string, message: Partial<Record<CardKey | 'statementLine', string>>) => {
      for (const [key, token] of Object.entries(message))
        if (token.startsWith('ey')) tokens.set(`${name}.${key}`, token);
    };
    relay.hooks = { fate: () => 'refuse' };
    for (const order of ['order-a', 'order-b']) {
      await failureOf(client.authorize(fullOrder(order)));
      add(`authorize ${order}`, asTokens(AuthorizeRequest.decode(lastRequest())));
      await failureOf(client.importPayments([{ payment: fullOrder(order) }]));
      add(`import ${order}`, asTokens(ImportPaymentsRequest.decode(lastRequest()).payment!));
      await failureOf(drain(client.reconcile(line(order))));
      add(`reconcile ${order}`, { statementLine: ReconcileRequest.decode(lastRequest()).statementLine });
    }
    for (const place of replyPlaces) {
      relay.hooks = { fate: () => 'refuse' };
      await failureOf(place.call(client, paymentId));
      const name = `reply token ${tokens.size}`;
      if (relayed.lastCall().path.endsWith('/GetPayment')) sameQuestion = name;
      tokens.set(name, String(relayed.lastCall().metadata.get(REPLY_METADATA)[0]));
      relay.hooks = {};
      await place.call(client, paymentId);
      const response = relayed.lastCall().responses[0] as Buffer;
      const reply =
        place.path === 'note'
          ? ReconcileResponse.decode(response).note
          : (GetPaymentResponse.decode(response).payment?.card as string);
      tokens.set(`reply ${tokens.size}`, reply);
    }
    relay.hooks = {};
    expect([...tokens.values()].every((token) => token.split('.').length === 5)).to.equal(true);
    expect(new Set(tokens.values()).size).to.equal(2 * 7 + 2 * 3);
  }

  const lastRequest = () => relayed.lastCall().requests[0] as Buffer;
  const asTokens = ({ card, billingAddress, securityCode }: AuthorizeRequest) => ({
    card,
    billingAddress,
    securityCode,
  });
  const handled = () => (relayed.harness.logged().match(/authorize/g) ?? []).length;

  for (const place of requestPlaces) {
    it(`${place.path}: every other token is refused, all with the same status and trailers`, async function () {
      this.timeout(60_000);
      const before = handled();
      const seen = new Map<string, string>();
      for (const [name, token] of tokens) {
        relayed.relay.hooks = place.put(token);
        const error = await failureOf(place.call(relayed.client, `target-${calls++}`));
        expect(errorDetails(error), name).to.deep.include({ reason: 'SEALED_FIELD_INVALID', field: place.path });
        seen.set(visibleParts(error), name);
      }
      expect([...seen.values()]).to.have.length(1);
      expect(handled()).to.equal(before);
    });
  }

  it(`${REPLY_METADATA}: every field's token and other calls' reply tokens are refused alike, one for the same question seen by the client`, async () => {
    const seen = new Set<string>();
    for (const [name, token] of tokens) {
      relayed.relay.hooks = { metadata: (metadata: Metadata) => metadata.set(REPLY_METADATA, token) };
      const error = await failureOf(relayed.client.getPayment({ paymentId }));
      if (name === sameQuestion) expectDetected(error, 'payment.card');
      else {
        expect(errorDetails(error), name).to.deep.include({ reason: 'SEALED_FIELD_INVALID', field: REPLY_METADATA });
        seen.add(visibleParts(error));
      }
    }
    expect([...seen]).to.have.length(1);
  });

  replyPlaces.forEach((place, index) => {
    it(`the reply's ${place.path} (${index}): the client detects every other token`, async () => {
      for (const [name, token] of tokens) {
        relayed.relay.hooks = place.put(token);
        const error = await failureOf(place.call(relayed.client, paymentId));
        expectDetected(error, place.path, name);
      }
    });
  });

  const changes: [CardKey, Partial<AuthorizeRequest>][] = [
    ['card', { orderId: 'other' }],
    ['card', { orderId: '' }],
    ['card', { amountMinor: '199' }],
    ['card', { amountMinor: '-1999' }],
    ['card', { amountMinor: '0' }],
    ['card', { currencyCode: 'USD' }],
    ['card', { currencyCode: '' }],
    // The two texts meet without a border.
    ['card', { orderId: 'x-', currencyCode: '1EUR' }],
  ];
  it('a bound value changed in any way is refused with the status that a foreign token has', async () => {
    for (const [path, wrap] of [
      ['card', (change: Partial<AuthorizeRequest>) => rewriteAs(AuthorizeRequest, (m) => ({ ...m, ...change }))],
      [
        'payment.card',
        (change: Partial<AuthorizeRequest>) =>
          rewriteAs(ImportPaymentsRequest, ({ payment }) => ({ payment: { ...payment!, ...change } })),
      ],
    ] as const) {
      const place = requestPlaces.find((one) => one.path === path)!;
      relayed.relay.hooks = place.put(tokens.get('reconcile order-a.statementLine')!);
      const seen = new Set([visibleParts(await failureOf(place.call(relayed.client, `foreign-${calls++}`)))]);
      for (const [, change] of changes) {
        relayed.relay.hooks = { request: wrap(change) };
        seen.add(visibleParts(await failureOf(place.call(relayed.client, `x-${calls++}`))));
      }
      expect([...seen]).to.have.length(1);
    }
  });

  it('the bound value of a statement line, an address and a code likewise', async () => {
    relayed.relay.hooks = { request: rewriteAs(ReconcileRequest, (m) => ({ ...m, paymentId: 'other' })) };
    const error = await failureOf(drain(relayed.client.reconcile(line('p'))));
    expect(errorDetails(error)).to.deep.include({ reason: 'SEALED_FIELD_INVALID', field: 'statement_line' });
    // The card is bound to the order too and comes first, so it is taken from a call that fits.
    for (const key of ['billingAddress', 'securityCode'] as const) {
      const authorize = requestPlaces.find(({ path }) => path === 'card')!;
      relayed.relay.hooks = { fate: () => 'refuse' };
      await failureOf(authorize.call(relayed.client, 'fits'));
      const { card } = AuthorizeRequest.decode(lastRequest());
      const foreign = tokens.get(`authorize order-a.${key}`)!;
      relayed.relay.hooks = {
        request: rewriteAs(AuthorizeRequest, () => ({
          ...AuthorizeRequest.decode(lastRequest()),
          orderId: 'fits',
          card,
          billingAddress: '',
          securityCode: '',
          [key]: foreign,
        })),
      };
      const refused = await failureOf(authorize.call(relayed.client, 'any'));
      const path = key === 'billingAddress' ? 'billing_address' : 'security_code';
      expect(errorDetails(refused)).to.deep.include({ reason: 'SEALED_FIELD_INVALID', field: path });
    }
  });

  it('a token for another recipient is refused as an unknown key, the same for each, whatever is in it', async () => {
    const stranger = await new SealingSessions().acquire((await KeyRing.create()).current());
    const iat = Math.floor(Date.now() / 1000);
    const fields: [SealedFieldPlan, object, Place][] = [
      ...AuthorizeRequestPlan.sealed.map((field): [SealedFieldPlan, object, Place] => [
        field,
        fullOrder('stranger'),
        requestPlaces.find(({ path }) => path === field.name)!,
      ]),
      [ReconcileRequestPlan.sealed[0]!, line('stranger')[0]!, requestPlaces.at(-1)!],
    ];
    for (const [field, holder, place] of fields) {
      const value = (holder as Record<string, unknown>)[field.key];
      const token = encodeSite({ field, path: field.name, value, holder }, stranger, iat, sha256);
      const changed = token.replace(/.$/, (end) => (end === 'A' ? 'Q' : 'A'));
      const seen = new Set<string>();
      for (const one of [token, changed]) {
        relayed.relay.hooks = place.put(one);
        const error = await failureOf(place.call(relayed.client, 'stranger'));
        expect(error.code).to.equal(status.FAILED_PRECONDITION);
        expect(errorDetails(error)).to.deep.include({ reason: 'SEALED_FIELD_UNKNOWN_KEY', field: field.name });
        seen.add(visibleParts(error));
      }
      expect([...seen]).to.have.length(1);
    }
  });

  for (const place of requestPlaces) {
    it(`${place.path}: its own token a second time is refused as replayed`, async () => {
      const id = `again-${calls++}`;
      await place.call(relayed.client, id);
      const { path, requests, metadata } = relayed.lastCall();
      const sent = relayed.relay.calls.length;
      relayed.relay.hooks = {
        request: () => requests[0] as Buffer,
        metadata: (changed) => {
          // A reply token of an earlier call would be refused before: this one is the caller's new one.
          expect(changed.get(REPLY_METADATA)).to.have.length(metadata.get(REPLY_METADATA).length);
        },
      };
      const error = await failureOf(place.call(relayed.client, id));
      expect(relayed.relay.calls[sent]?.path).to.equal(path);
      expect(error.code).to.equal(status.ALREADY_EXISTS);
      const field = path.endsWith('ImportPayments')
        ? 'payment.card'
        : path.endsWith('Reconcile')
          ? 'statement_line'
          : 'card';
      expect(errorDetails(error)).to.deep.include({ reason: 'SEALED_FIELD_REPLAYED', field });
    });
  }

  function expectDetected(error: ServiceError, path: string, name = ''): void {
    expect(error.code, `${name} ${error.message}`).to.equal(status.DATA_LOSS);
    expect(error.details, name).to.match(/^the sealed reply was refused: [A-Z_]+ at /);
    expect(error.details.endsWith(` at ${path}`), error.details).to.equal(true);
  }
});

describe('what no token protects', () => {
  let relayed: RelayedHarness;
  let bench: Bench;
  let shop: AnyClient;
  let scores: AnyClient;
  let received: Record<string, unknown> = {};

  before(async () => {
    relayed = await startRelayedHarness();
    const take = (call: { request: Record<string, unknown> }, answer: (error: null, value: object) => void) => {
      received = call.request;
      answer(null, { orderId: '', best: 0n });
    };
    bench = await startBench({
      services: [
        { service: SealedCheckoutService, handlers: { checkout: take } },
        { service: SealedScoreService, handlers: { submit: take } },
      ],
    });
    shop = bench.connect(SealedCheckoutService);
    scores = bench.connect(SealedScoreService);
  });
  after(async () => {
    bench.stop();
    await relayed.stop();
  });
  afterEach(() => {
    relayed.relay.hooks = {};
    bench.relay.hooks = {};
  });

  const item = (sku: string, text: string) => ({ sku, quantity: 1, gift: { text, from: '' }, extras: [] });
  const cart = () => ({
    cartId: 'cart',
    items: [item('a', 'gift a'), item('b', 'gift b')],
    notes: [{ value: 'one' }, { value: 'two' }, { value: 'three' }],
    substitutes: { x: item('c', 'gift c') },
  });
  const gifts = (items: unknown) => (items as { gift?: { text: string } }[]).map(({ gift }) => gift?.text);
  const importAll = (ids: string[]) => relayed.client.importPayments(ids.map((id) => ({ payment: fullOrder(id) })));

  /** By their names in SECURITY.md. */
  const unprotected: Record<string, () => Promise<void>> = {
    'order and number of repeated elements': async () => {
      bench.relay.hooks = {
        request: rewriteAs(CheckoutRequest, (message) => ({
          ...message,
          notes: [...message.notes].reverse().slice(1),
        })),
      };
      await shop.call('checkout', cart());
      expect((received['notes'] as { value: string }[]).map(({ value }) => value)).to.deep.equal(['two', 'one']);
    },
    'map keys': async () => {
      bench.relay.hooks = {
        request: rewriteAs(SubmitRequest, (message) => ({
          ...message,
          scores: { eve: message.scores['ada'] as string, ada: message.scores['eve'] as string },
        })),
      };
      const score = (points: string) => ({ points: BigInt(points), level: 1, perfect: false });
      await scores.call('submit', { matchId: 'm', mode: 1, scores: { ada: score('9'), eve: score('1') } });
      const { ada, eve } = received['scores'] as Record<string, { points: unknown }>;
      expect([String(ada?.points), String(eve?.points)]).to.deep.equal(['1', '9']);
    },
    'removal of an optional token': async () => {
      relayed.relay.hooks = {
        request: rewriteAs(AuthorizeRequest, (message) => ({ ...message, billingAddress: '', securityCode: '' })),
      };
      expect((await relayed.client.authorize(fullOrder('without address'))).status).to.equal('authorized');
    },
    'siblings that `bind` does not name': async () => {
      bench.relay.hooks = {
        request: rewriteAs(CheckoutRequest, (message) => ({
          ...message,
          items: message.items.map((one) => ({ ...one, quantity: 99 })),
        })),
      };
      await shop.call('checkout', cart());
      expect(gifts(received['items'])).to.deep.equal(['gift a', 'gift b']);
      expect((received['items'] as { quantity: number }[])[0]?.quantity).to.equal(99);
      const { paymentId } = await relayed.client.authorize(fullOrder('unbound'));
      relayed.relay.hooks = {
        response: rewriteAs(GetPaymentResponse, ({ payment }) => ({ payment: { ...payment!, amountMinor: '1' } })),
      };
      const { payment } = await relayed.client.getPayment({ paymentId });
      expect([payment?.amountMinor, payment?.card?.number]).to.deep.equal(['1', '4111111111111111']);
    },
    'the place of a nested message': async () => {
      bench.relay.hooks = {
        request: rewriteAs(CheckoutRequest, (message) => {
          const [first, other] = message.items as [(typeof message.items)[0], (typeof message.items)[0]];
          return { ...message, items: [{ ...other, extras: [first] }] };
        }),
      };
      await shop.call('checkout', cart());
      const [outer] = received['items'] as { gift: { text: string }; extras: unknown }[];
      expect([outer?.gift.text, gifts(outer?.extras)]).to.deep.equal(['gift b', ['gift a']]);
    },
    'the method, where two take the same message': async () => {
      relayed.relay.hooks = { fate: () => 'refuse' };
      await failureOf(relayed.client.authorize(fullOrder('diverted')));
      const payment = AuthorizeRequest.decode(relayed.lastCall().requests[0] as Buffer);
      relayed.relay.hooks = { request: rewriteAs(ImportPaymentsRequest, () => ({ payment })) };
      expect((await importAll(['never sent'])).imported).to.equal('1');
      expect(relayed.harness.service.app.store.find('diverted')?.status).to.equal('authorized');
      expect(relayed.harness.service.app.store.find('never sent')).to.equal(undefined);
    },
    'order and number of messages in a request stream': async () => {
      const held: Buffer[] = [];
      relayed.relay.hooks = {
        request: (bytes) => {
          held.push(bytes);
          return held.length < 3 ? [] : [held[2] as Buffer, held[0] as Buffer];
        },
      };
      expect((await importAll(['s-1', 's-2', 's-3'])).imported).to.equal('2');
      expect(relayed.harness.service.app.store.find('s-2')).to.equal(undefined);
    },
    'the end of a response stream': async () => {
      relayed.relay.hooks = { response: (bytes, _call, index) => (index === 0 ? bytes : []) };
      const lines = ['a', 'b', 'c'].flatMap(line);
      const answers = await drain(relayed.client.reconcile(lines));
      expect(answers.map(({ paymentId }) => paymentId)).to.deep.equal(['a']);
    },
    'requests without sealed fields that the reply token does not name': async () => {
      const [mine, other] = await Promise.all(
        ['mine', 'other'].map((order) => relayed.client.authorize(fullOrder(order))),
      );
      relayed.relay.hooks = { request: rewriteAs(GetPaymentRequest, () => ({ paymentId: other!.paymentId })) };
      expect(errorDetails(await failureOf(relayed.client.getPayment({ paymentId: mine!.paymentId })))).to.deep.include({
        reason: 'SEALED_FIELD_INVALID',
        field: REPLY_METADATA,
      });
      const watching = new SealedPaymentServiceClient(relayed.relay.address, credentials.createInsecure(), {
        keys: staticKeySource(relayed.harness.service.keyRing.current()),
        wireInterceptors: [(options, next) => new InterceptingCall(next(options))],
      });
      const { payment } = await watching.getPayment({ paymentId: mine!.paymentId });
      watching.close();
      // Whoever asks must compare: the reply is bound to the payment that it tells.
      expect(payment?.paymentId).to.equal(other?.paymentId);
    },
    'responses without sealed fields, statuses and metadata': async () => {
      const { paymentId } = await relayed.client.authorize(fullOrder('plain'));
      relayed.relay.hooks = {
        response: rewriteAs(GetPaymentResponse, ({ payment }) => ({
          payment: { ...payment!, status: 'forged', card: '' },
        })),
      };
      const { payment } = await relayed.client.getPayment({ paymentId });
      expect([payment?.status, payment?.card]).to.deep.equal(['forged', undefined]);
    },
  };

  for (const [name, show] of Object.entries(unprotected)) {
    it(`${name.replaceAll('`', '')}: a relay changes it unnoticed`, show);
  }

  it('is listed in SECURITY.md, and nothing else is', async () => {
    const text = await readFile('SECURITY.md', 'utf8');
    const [, section = ''] = /\n## What is not authenticated\n([\s\S]*?)(?=\n## |$)/.exec(text) ?? [];
    const listed = [...section.matchAll(/^- \*\*(.+?)\*\*/gm)].map(([, name]) => name);
    expect(listed).to.deep.equal(Object.keys(unprotected));
  });
});
