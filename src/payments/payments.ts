/** The reference service's handlers: typed messages in and out, no crypto anywhere. */
import { type ServerWritableStream, status } from '@grpc/grpc-js';
import type { AuthorizeResponse, CardDetails, WatchPaymentsRequest } from '../gen/payments/v1/payments.js';
import type {
  OpenedAuthorizeRequest,
  OpenedPayment,
  OpenedReconcileRequest,
  OpenedReconcileResponse,
  OpenedWatchPaymentsResponse,
  SealedPaymentServiceServer,
} from '../gen/payments/v1/payments_sealed.js';
import { tokenOf } from '../schema/opened.js';
import type { OpenStored, StoredTokenCall } from '../server/stored/open-stored.js';
import { isLuhn, isUnexpired } from './payment-rules.js';
import { cardPlace, type PaymentStore, type StoredPayment } from './payment-store.js';

/** What the handlers need. */
export interface PaymentsOptions {
  readonly store: PaymentStore;
  /** Opens the stored card of a payment that somebody asks for. */
  readonly openStored: OpenStored;
  /** Makes a payment's id, unique and unguessable. */
  readonly createId: () => string;
  /** Called for each request that reaches the handler. */
  readonly log?: (message: string, facts: object) => void;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
}

const OTHER_ORDER = { code: status.ALREADY_EXISTS, details: 'this order was paid with another amount or currency' };

/** @returns the handlers of `payments.v1.PaymentService` */
export function createPaymentHandlers(options: PaymentsOptions): SealedPaymentServiceServer {
  const { store, openStored, createId, now = Date.now, log } = options;

  /** `Authorize` is idempotent per order, for the same order. */
  function authorize(request: OpenedAuthorizeRequest): StoredPayment {
    // The card prints as `[opened payments.v1.CardDetails]`.
    log?.('authorize', { orderId: request.orderId, card: request.card });
    const known = store.find(request.orderId);
    if (known !== undefined && !isSameOrder(known, request)) throw OTHER_ORDER;
    if (known !== undefined) return known;
    const payment = decide(request, createId(), now());
    store.add(payment);
    return payment;
  }

  /** The card is opened again; the interceptor seals it for the caller. */
  async function toOpenedPayment(payment: StoredPayment, call: StoredTokenCall): Promise<OpenedPayment> {
    const { paymentId, orderId, amountMinor, currencyCode, status: result, card } = payment;
    const opened = card && (await openStored<CardDetails>(card, { ...cardPlace(payment), call }));
    return { paymentId, orderId, amountMinor, currencyCode, status: result, card: opened };
  }

  return {
    authorize(call, callback) {
      callback(null, toResponse(authorize(call.request)));
    },

    async getPayment(call, callback) {
      const payment = store.findById(call.request.paymentId);
      if (payment === undefined) callback({ code: status.NOT_FOUND, details: 'no such payment' });
      else callback(null, { payment: await toOpenedPayment(payment, call) });
    },

    async importPayments(call, callback) {
      let imported = 0n;
      for await (const { payment } of call) {
        if (payment === undefined) throw { code: status.INVALID_ARGUMENT, details: 'a message without a payment' };
        authorize(payment);
        imported++;
      }
      callback(null, { imported: imported.toString() });
    },

    /** An order has one payment, which never changes: the stream ends after it. Without an order it goes on. */
    async watchPayments(call) {
      for await (const payment of paymentsOf(store, call)) {
        const opened = await toOpenedPayment(payment, call);
        if (call.cancelled) return;
        if (!call.write({ payment: opened })) await drained(call);
        if (call.cancelled) return;
        if (call.request.orderId !== '') break;
      }
      call.end();
    },

    async reconcile(call) {
      for await (const request of call) {
        if (!call.write(reconcile(store, request as OpenedReconcileRequest))) await drained(call);
      }
      call.end();
    },
  };
}

function decide(request: OpenedAuthorizeRequest, paymentId: string, nowMs: number): StoredPayment {
  const { card, orderId, amountMinor, currencyCode } = request;
  const accepted = isLuhn(card.number) && isUnexpired(card.expiryMonth, card.expiryYear, nowMs);
  return {
    paymentId,
    orderId,
    amountMinor,
    currencyCode,
    status: accepted ? 'authorized' : 'declined',
    cardLast4: card.number.slice(-4),
    card: tokenOf(request, 'card'),
  };
}

function isSameOrder(known: StoredPayment, request: OpenedAuthorizeRequest): boolean {
  return known.amountMinor === request.amountMinor && known.currencyCode === request.currencyCode;
}

function toResponse({ paymentId, status: result, cardLast4 }: StoredPayment): AuthorizeResponse {
  return { paymentId, status: result, cardLast4 };
}

/** Yields existing payments, then new ones, until the caller leaves or the store closes. */
async function* paymentsOf(
  store: PaymentStore,
  call: ServerWritableStream<WatchPaymentsRequest, OpenedWatchPaymentsResponse>,
): AsyncGenerator<StoredPayment, void, undefined> {
  const { orderId } = call.request;
  const isAsked = (payment: StoredPayment) => orderId === '' || payment.orderId === orderId;
  let wake = () => {};
  let over = false;
  const end = () => {
    over = true;
    wake();
  };
  const unwatch = store.watch(() => wake(), end);
  call.once('cancelled', end);
  try {
    // Its place in the store is all that a slow reader costs.
    for (let index = 0; ; ) {
      const next = store.at(index);
      if (next !== undefined) {
        index++;
        if (isAsked(next)) yield next;
      } else if (over) return;
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    unwatch();
  }
}

/** A statement line matches a payment whose order, or whose amount, it names. */
function reconcile(store: PaymentStore, request: OpenedReconcileRequest): OpenedReconcileResponse {
  const { paymentId, statementLine } = request;
  const payment = store.findById(paymentId);
  if (payment === undefined) return { paymentId, matched: false, note: { value: 'no such payment' } };
  if (statementLine === undefined) return { paymentId, matched: false, note: { value: 'no statement line' } };
  const { orderId, amountMinor, currencyCode } = payment;
  const words = statementLine.value.split(/[\s,;:]+/);
  const matched = words.includes(orderId) || words.includes(amountMinor);
  const what = `order ${orderId}, ${amountMinor} ${currencyCode} minor units`;
  return { paymentId, matched, note: { value: matched ? `matches ${what}` : `does not name ${what}` } };
}

/** Resolves when the caller has caught up, or is gone. */
function drained(call: ServerWritable): Promise<void> {
  return new Promise((resolve) => {
    const events = ['drain', 'close', 'cancelled'] as const;
    const done = () => {
      for (const event of events) call.removeListener(event, done);
      resolve();
    };
    for (const event of events) call.once(event, done);
    // An event that has passed does not come again.
    if (call.cancelled || call.destroyed) done();
  });
}

type ServerWritable = NodeJS.EventEmitter & { readonly cancelled: boolean; readonly destroyed: boolean };
