/**
 * Stored cards outlive the keys they were sealed to: when a key comes to open stored tokens only, its cards are sealed
 * anew.
 */
import { type ErrorCode, reasonByStep, SealwireError } from '../errors.js';
import type { SealedToken } from '../schema/opened.js';
import type { ResealStored } from '../server/stored/reseal-stored.js';
import { cardPlace, type PaymentStore, type StoredPayment } from './payment-store.js';

/** Options of {@link StoredCards}. */
export interface StoredCardsOptions {
  readonly store: PaymentStore;
  /** Whether the key of a stored card ends soon. */
  readonly needsReseal: (card: SealedToken) => boolean;
  readonly resealStored: ResealStored;
  /** Told how many cards were sealed anew, and how many could not be. */
  readonly onSwept: (resealed: number, failed: number) => void;
  /** How long to wait before retrying cards when custody or audit log were unavailable, in ms. Default 60,000. */
  readonly retryMs?: number;
}

/** The outcome for one card. */
type Outcome = 'resealed' | 'failed' | 'unavailable';

/** What may be over later. */
const AWAY: readonly (string | undefined)[] = ['CUSTODY_UNAVAILABLE', 'AUDIT_UNAVAILABLE'];

/** Re-seals stored cards, one after the other. */
export class StoredCards {
  readonly #options: StoredCardsOptions;
  readonly #unwatch: () => void;
  #work: Promise<void> = Promise.resolve();
  #retry: NodeJS.Timeout | undefined;
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

  /** Seals cards anew where needed. @returns when everything requested so far is done */
  sweep(): Promise<void> {
    this.#work = this.#work.then(() => this.#sweep());
    return this.#work;
  }

  /** Ends after the card under way. */
  stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#retry);
    this.#unwatch();
    return this.#work;
  }

  async #sweep(): Promise<void> {
    const counts: Record<Outcome, number> = { resealed: 0, failed: 0, unavailable: 0 };
    for (const payment of [...this.#options.store.all()].filter((each) => this.#isOld(each))) {
      if (this.#stopped) break;
      counts[await this.#reseal(payment)]++;
    }
    const { resealed, failed, unavailable } = counts;
    if (resealed + failed + unavailable > 0) this.#options.onSwept(resealed, failed + unavailable);
    if (unavailable > 0 && !this.#stopped) this.#sweepLater();
  }

  /** Nothing else may trigger a sweep before the key is retired, and the cards are lost with it. */
  #sweepLater(): void {
    const { retryMs = 60_000 } = this.#options;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => void this.sweep(), retryMs);
    this.#retry.unref();
  }

  #isOld({ card }: StoredPayment): boolean {
    return card !== undefined && this.#options.needsReseal(card);
  }

  async #reseal(payment: StoredPayment): Promise<Outcome> {
    const { store, resealStored } = this.#options;
    try {
      store.replaceCard(payment.paymentId, await resealStored(payment.card as string, cardPlace(payment)));
      return 'resealed';
    } catch (error) {
      return isAway(error instanceof SealwireError ? error.code : undefined) ? 'unavailable' : 'failed';
    }
  }
}

function isAway(code: ErrorCode | undefined): boolean {
  return code !== undefined && AWAY.includes((reasonByStep as Partial<Record<ErrorCode, string>>)[code]);
}
