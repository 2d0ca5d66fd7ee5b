/** Payments handlers that answer from what they were asked, for attacks on what lies between. */
import type { ServerDuplexStream, ServerReadableStream, ServerUnaryCall, ServerWritableStream } from '@grpc/grpc-js';
import type {
  AuthorizeResponse,
  GetPaymentRequest,
  ImportPaymentsResponse,
  WatchPaymentsRequest,
} from '../../src/gen/payments/v1/payments.js';
import {
  type OpenedAuthorizeRequest,
  type OpenedGetPaymentResponse,
  type OpenedImportPaymentsRequest,
  type OpenedPayment,
  type OpenedReconcileRequest,
  type OpenedReconcileResponse,
  type OpenedWatchPaymentsResponse,
  SealedPaymentService,
} from '../../src/gen/payments/v1/payments_sealed.js';
import type { BenchService } from './sealed-bench.js';

/** What the handlers saw, in order. */
export interface Seen {
  /** Method names, with what was asked. */
  readonly calls: string[];
}

/** Payments that a watch of any order gives. */
export const WATCHED = 4;

type Answer<T> = (error: null, value: T) => void;

/** A payment whose card tells its id. */
export function paymentOf(paymentId: string, orderId = `order-of-${paymentId}`): OpenedPayment {
  const card = { number: `card-of-${paymentId}`, expiryMonth: 1, expiryYear: 2031, holderName: 'Ada' };
  return { paymentId, orderId, amountMinor: '1999', currencyCode: 'EUR', status: 'authorized', card };
}

/** All five methods. */
export function paymentsService(seen: Seen): BenchService {
  const handlers = {
    authorize(call: ServerUnaryCall<OpenedAuthorizeRequest, AuthorizeResponse>, answer: Answer<AuthorizeResponse>) {
      const { orderId, card } = call.request;
      seen.calls.push(`authorize ${orderId} ${card.number}`);
      answer(null, { paymentId: `paid-${orderId}`, status: 'authorized', cardLast4: card.number.slice(-4) });
    },
    getPayment(
      call: ServerUnaryCall<GetPaymentRequest, OpenedGetPaymentResponse>,
      answer: Answer<OpenedGetPaymentResponse>,
    ) {
      seen.calls.push(`getPayment ${call.request.paymentId}`);
      answer(null, { payment: paymentOf(call.request.paymentId) });
    },
    async importPayments(
      call: ServerReadableStream<OpenedImportPaymentsRequest, ImportPaymentsResponse>,
      answer: Answer<ImportPaymentsResponse>,
    ) {
      let imported = 0;
      for await (const { payment } of call as AsyncIterable<OpenedImportPaymentsRequest>) {
        seen.calls.push(`import ${payment?.orderId} ${payment?.card.number}`);
        imported++;
      }
      answer(null, { imported: String(imported) });
    },
    watchPayments(call: ServerWritableStream<WatchPaymentsRequest, OpenedWatchPaymentsResponse>) {
      const { orderId } = call.request;
      seen.calls.push(`watchPayments ${orderId}`);
      for (let index = 0; index < WATCHED; index++) call.write({ payment: paymentOf(`p-${index}`, orderId) });
      call.end();
    },
    async reconcile(call: ServerDuplexStream<OpenedReconcileRequest, OpenedReconcileResponse>) {
      seen.calls.push('reconcile');
      for await (const { paymentId, statementLine } of call as AsyncIterable<OpenedReconcileRequest>) {
        seen.calls.push(`line ${paymentId} ${statementLine?.value}`);
        call.write({ paymentId, matched: true, note: { value: `note on ${statementLine?.value}` } });
      }
      call.end();
    },
  };
  return { service: SealedPaymentService, handlers };
}

/** A request that is authorized. */
export function orderOf(orderId: string, amountMinor = '1999'): OpenedAuthorizeRequest {
  const card = { number: `card-of-${orderId}`, expiryMonth: 12, expiryYear: 2031, holderName: 'Ada' };
  return { orderId, amountMinor, currencyCode: 'EUR', card };
}
