/** The reference service as an app for the host. */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { paymentsDescriptors } from '../gen/descriptors.js';
import { addSealedPaymentService, SealedPaymentService } from '../gen/payments/v1/payments_sealed.js';
import type { AppWeb, HostApp, RunningApp } from '../host/host-app.js';
import { PAYMENTS_NAME } from './name.js';
import { paymentValidators } from './payment-rules.js';
import { PaymentStore } from './payment-store.js';
import { createPaymentHandlers } from './payments.js';
import { StoredCards } from './stored-cards.js';

/** The payments service while it runs. */
export interface RunningPayments extends RunningApp {
  readonly store: PaymentStore;
}

/** @returns `payments.v1.PaymentService`, with payments in memory */
export function createPaymentsApp(): HostApp<RunningPayments> {
  const web = findExample();
  return {
    name: PAYMENTS_NAME,
    services: [SealedPaymentService],
    descriptors: Buffer.from(paymentsDescriptors, 'base64'),
    validators: paymentValidators,
    ...(web && { web }),
    start({ add, logger, openStored, resealStored, needsReseal, onKeysChanged }) {
      const store = new PaymentStore();
      const log = (message: string, facts: object) => logger.debug(message, facts);
      add(addSealedPaymentService, createPaymentHandlers({ store, openStored, createId: randomUUID, log }));
      const onSwept = (resealed: number, failed: number) =>
        logger.info('stored cards sealed anew', { resealed, failed });
      const cards = new StoredCards({ store, needsReseal, resealStored, onSwept });
      onKeysChanged(() => void cards.sweep());
      return { store, drain: () => store.close(), stop: () => cards.stop() };
    },
  };
}

/** The page of examples/browser-checkout, as it is built beside this code; a bundle has left it behind. */
function findExample(): AppWeb | undefined {
  const here = import.meta.dirname;
  const pages = here === undefined ? '' : join(here, '..', '..', 'pages', 'checkout');
  return existsSync(join(pages, 'index.html')) ? { pages, listen: '127.0.0.1:8080', insight: true } : undefined;
}
