/** Stored cards outlive the keys they came under: those of a key that opens stored tokens only are sealed anew. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SealwireError } from '../errors.js';
import { peekHeader } from '../jwe/header.js';
import type { KeyRing } from '../keys/ring.js';
import type { ResealStored } from '../server/reseal-stored.js';
import { cardPlace, type PaymentStore, type StoredPayment } from './payment-store.js';

/** Options of {@link StoredCards}. */
export interface StoredCardsOptions {
  readonly store: PaymentStore;
  readonly ring: Pick<KeyRing, 'stateOf'>;
  readonly resealStored: ResealStored;
  /** Told how many cards were sealed anew, and how many could not be. */
  readonly onSwept: (resealed: number, failed: number) => void;
}

/** Agreements are limited per second: cards wait for their turn for so long, in ms. */
const TURN_MS = 100;
const FULL: readonly string[] = ['CALLER_RATE', 'POOL_FULL'];

/** Re-seals stored cards, one after the other. */
export class StoredCards {
  readonly #options: StoredCardsOptions;
  readonly #unwatch: () => void;
  #work: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: StoredCardsOptions) {
    this.#options = options;
    // A call that came under the old key may be stored after the others were sealed anew.
    this.#unwatch = options.store.watch(
      (payment) => {
        if (this.#isOld(payment)) void this.sweep();
      },
      () => {},
    );
  }

  /** Seals anew what has to be. @returns when all that was asked for so far is done */
  sweep(): Promise<void> {
    this.#work = this.#work.then(() => this.#sweep());
    return this.#work;
  }

  /** Ends after the card under way. */
  stop(): Promise<void> {
    this.#stopped = true;
    this.#unwatch();
    return this.#work;
  }

  async #sweep(): Promise<void> {
    let resealed = 0;
    let failed = 0;
    for (const payment of [...this.#options.store.all()].filter((each) => this.#isOld(each))) {
      if (this.#stopped) break;
      if (await this.#reseal(payment)) resealed++;
      else failed++;
    }
    if (resealed + failed > 0) this.#options.onSwept(resealed, failed);
  }

  #isOld({ card }: StoredPayment): boolean {
    const { kid } = card === undefined ? {} : peekHeader(card);
    return kid !== undefined && this.#options.ring.stateOf(kid) === 'stored';
  }

  async #reseal(payment: StoredPayment): Promise<boolean> {
    const { store, resealStored } = this.#options;
    while (!this.#stopped) {
      try {
        store.replaceCard(payment.paymentId, await resealStored(payment.card as string, cardPlace(payment)));
        return true;
      } catch (error) {
        if (!(error instanceof SealwireError && FULL.includes(error.code))) return false;
        await sleep(TURN_MS);
      }
    }
    return false;
  }
}
