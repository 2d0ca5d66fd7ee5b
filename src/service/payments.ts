/** The reference service's handlers: typed messages in and out, no crypto anywhere. */
import { status } from '@grpc/grpc-js';
import type { AuthorizeResponse } from '../gen/payments/v1/payments.js';
import type { OpenedAuthorizeRequest, SealedPaymentServiceServer } from '../gen/payments/v1/payments_sealed.js';
import { type SealedToken, tokenOf } from '../schema/opened.js';

/** A payment as it is kept: the card as the token it came in, the security code nowhere (PCI DSS 3.3.1). */
export interface StoredPayment {
  readonly paymentId: string;
  readonly orderId: string;
  readonly amountMinor: string;
  readonly currencyCode: string;
  readonly status: 'authorized' | 'declined';
  readonly cardLast4: string;
  readonly card: SealedToken | undefined;
}

/** Payments by order, in this process. */
export class PaymentStore {
  readonly #byOrder = new Map<string, StoredPayment>();

  find(orderId: string): StoredPayment | undefined {
    return this.#byOrder.get(orderId);
  }

  add(payment: StoredPayment): void {
    this.#byOrder.set(payment.orderId, payment);
  }
}

/** What the handlers need. */
export interface PaymentsOptions {
  readonly store: PaymentStore;
  /** Makes a payment's id, unique and not to be guessed. */
  readonly createId: () => string;
  /** Told of each request that reached the handler. */
  readonly log?: (message: string, facts: object) => void;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
}

/** Methods that are not listed here answer UNIMPLEMENTED. */
export function createPaymentHandlers(options: PaymentsOptions): Pick<SealedPaymentServiceServer, 'authorize'> {
  const { store, createId, now = Date.now, log } = options;
  return {
    authorize(call, callback) {
      const { request } = call;
      // The card prints as `[opened payments.v1.CardDetails]`.
      log?.('authorize', { orderId: request.orderId, card: request.card });
      const known = store.find(request.orderId);
      if (known !== undefined && !isSameOrder(known, request)) {
        callback({ code: status.ALREADY_EXISTS, details: 'this order was paid with another amount or currency' });
        return;
      }
      const payment = known ?? authorize(request, createId(), now());
      if (known === undefined) store.add(payment);
      callback(null, toResponse(payment));
    },
  };
}

function authorize(request: OpenedAuthorizeRequest, paymentId: string, nowMs: number): StoredPayment {
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

/** `Authorize` is idempotent per order, for the same order. */
function isSameOrder(known: StoredPayment, request: OpenedAuthorizeRequest): boolean {
  return known.amountMinor === request.amountMinor && known.currencyCode === request.currencyCode;
}

function toResponse({ paymentId, status: result, cardLast4 }: StoredPayment): AuthorizeResponse {
  return { paymentId, status: result, cardLast4 };
}

/** ISO/IEC 7812-1 annex B check digit, for numbers of 12 to 19 digits. */
export function isLuhn(number: string): boolean {
  if (!/^\d{12,19}$/.test(number)) return false;
  let sum = 0;
  for (const [index, digit] of [...number].reverse().entries()) {
    const doubled = Number(digit) * (index % 2 === 1 ? 2 : 1);
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

/** A card is good to the end of its month. */
export function isUnexpired(month: number, year: number, nowMs: number): boolean {
  if (month < 1 || month > 12) return false;
  return nowMs < Date.UTC(year, month, 1);
}
