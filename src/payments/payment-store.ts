/** Stored payments, and the callers that wait for them. */
import type { SealedToken } from '../schema/opened.js';
import type { StoredTokenPlace } from '../server/stored/open-stored.js';

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

/** Where the card of a payment came from. */
export function cardPlace({ orderId, amountMinor, currencyCode }: StoredPayment): StoredTokenPlace {
  return { field: 'payments.v1.AuthorizeRequest.card', bound: { orderId, amountMinor, currencyCode } };
}

/** Called with each payment that is added. */
export type PaymentListener = (payment: StoredPayment) => void;

/** Payments by order, in this process. */
export class PaymentStore {
  readonly #byOrder = new Map<string, StoredPayment>();
  readonly #byId = new Map<string, StoredPayment>();
  /** In the order they were added. */
  readonly #ids: string[] = [];
  readonly #listeners = new Map<PaymentListener, () => void>();

  find(orderId: string): StoredPayment | undefined {
    return this.#byOrder.get(orderId);
  }

  findById(paymentId: string): StoredPayment | undefined {
    return this.#byId.get(paymentId);
  }

  add(payment: StoredPayment): void {
    this.#byOrder.set(payment.orderId, payment);
    this.#byId.set(payment.paymentId, payment);
    this.#ids.push(payment.paymentId);
    for (const listener of this.#listeners.keys()) listener(payment);
  }

  /** Replaces the token of a payment's card. Listeners are not called: the payment is the same. */
  replaceCard(paymentId: string, card: SealedToken): void {
    const known = this.#byId.get(paymentId);
    if (known === undefined) return;
    const payment = { ...known, card };
    this.#byOrder.set(payment.orderId, payment);
    this.#byId.set(paymentId, payment);
  }

  /** The payment that was added after `index` others; undefined when there is none yet. */
  at(index: number): StoredPayment | undefined {
    return this.#byId.get(this.#ids[index] ?? '');
  }

  /** All payments, in the order they were added. */
  all(): IterableIterator<StoredPayment> {
    return this.#byOrder.values();
  }

  /**
   * @param closed called when the store closes
   * @returns a function that removes the listener
   */
  watch(listener: PaymentListener, closed: () => void): () => void {
    this.#listeners.set(listener, closed);
    return () => this.#listeners.delete(listener);
  }

  /** Ends everybody's watch, so that a service can stop. */
  close(): void {
    const all = [...this.#listeners.values()];
    this.#listeners.clear();
    for (const closed of all) closed();
  }
}
