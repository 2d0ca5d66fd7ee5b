import { expect } from 'chai';
import { type ErrorCode, SealwireError } from '../../src/errors.js';
import { PaymentStore } from '../../src/payments/payment-store.js';
import { StoredCards } from '../../src/payments/stored-cards.js';
import type { SealedToken } from '../../src/schema/opened.js';

/** As much of a token as says under which key it is. */
function tokenOf(kid: string): SealedToken {
  return `${Buffer.from(JSON.stringify({ kid })).toString('base64url')}....` as SealedToken;
}

function storeWithOneCard(): PaymentStore {
  const store = new PaymentStore();
  store.add({
    paymentId: 'payment-1',
    orderId: 'order-1',
    amountMinor: '1',
    currencyCode: 'EUR',
    status: 'authorized',
    cardLast4: '1111',
    card: tokenOf('old'),
  });
  return store;
}

/** Sweeps a store whose cards cannot be sealed anew at first. @returns what was told, and how often it was tried */
function sweepFailing(code: ErrorCode, failures: number, onSwept: (told: string) => void) {
  const store = storeWithOneCard();
  let tries = 0;
  const cards = new StoredCards({
    store,
    needsReseal: (card) => card === tokenOf('old'),
    resealStored: async () => {
      tries++;
      if (tries <= failures) throw new SealwireError(code, 'away');
      return tokenOf('new');
    },
    onSwept: (resealed, failed) => onSwept(`${resealed} resealed, ${failed} failed`),
    retryMs: 1,
  });
  return { store, cards, tries: () => tries };
}

describe('StoredCards', () => {
  for (const code of ['CUSTODY_FAILED', 'AUDIT_FAILED'] as const) {
    it(`tries again by itself after ${code}`, async () => {
      const told: string[] = [];
      let finish = () => {};
      const finished = new Promise<void>((resolve) => {
        finish = resolve;
      });
      const { store, cards } = sweepFailing(code, 2, (line) => {
        if (told.push(line) === 3) finish();
      });
      await cards.sweep();
      await finished;
      await cards.stop();
      expect(told).to.deep.equal(['0 resealed, 1 failed', '0 resealed, 1 failed', '1 resealed, 0 failed']);
      expect(store.find('order-1')?.card).to.equal(tokenOf('new'));
    });
  }

  it('does not try again what will never be opened, and nothing once it is stopped', async () => {
    for (const [code, isStopped] of [
      ['DECRYPTION_FAILED', false],
      ['CUSTODY_FAILED', true],
    ] as const) {
      const { cards, tries } = sweepFailing(code, 9, () => {});
      await cards.sweep();
      if (isStopped) await cards.stop();
      // Behind every timer of 1 ms that was started before.
      for (let i = 0; i < 3; i++) await new Promise((resolve) => setTimeout(resolve, 2));
      expect(tries(), code).to.equal(1);
      await cards.stop();
    }
  });
});
