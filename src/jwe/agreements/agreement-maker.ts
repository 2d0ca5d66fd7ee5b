/** Makes agreements: paid for by an account, in its turn, and shared by the tokens that wait for the same one. */
import type { KeyObject } from 'node:crypto';
import { SealwireError } from '../../errors.js';
import { curves } from '../../profile/algorithms.js';
import { deriveKey, deriveReplyKey, replyKid } from '../agreement.js';
import type { TokenHeader } from '../header.js';
import { KeyUnwrapper } from '../key-wrap.js';
import type { OpeningKeys, TokenOrigin } from '../recipient.js';
import { ReplyKey } from '../reply-key.js';
import type { AgreementCache } from './agreement-cache.js';
import { CallerRate, type CallerRateOptions } from './caller-rate.js';
import { FairQueue } from './fair-queue.js';

/** What is kept of an agreement: the CEK itself (`ECDH-ES`), or what unwraps CEKs; and the key for replies. */
export type AgreementKeys = { readonly reply: ReplyKey } & (
  | { readonly direct: KeyObject; readonly unwrapper?: never }
  | { readonly direct?: never; readonly unwrapper: KeyUnwrapper }
);

/** Which bound refused an agreement. */
export type RefusalKind = 'rate' | 'account' | 'queue';

/** Counters since start. */
export interface AgreementStats {
  /** Agreements made. */
  readonly fresh: number;
  /** Agreements that wait for their turn now, and that are being made. */
  readonly waiting: number;
  readonly running: number;
  /** Agreements that were refused: by a caller's rate, because too many of the caller's waited, or too many of all. */
  readonly refused: Readonly<Record<RefusalKind, number>>;
}

/** Options of {@link AgreementMaker}. */
export interface AgreementMakerOptions {
  readonly keys: Pick<OpeningKeys, 'custody'>;
  readonly cache: AgreementCache<AgreementKeys>;
  /** Of all accounts, and of one: how many may be made or wait. */
  readonly maxPending: number;
  readonly maxPerAccount: number;
  readonly rate: CallerRateOptions;
  /** An account's share; 1 is what everybody has. */
  readonly shareOf: (account: string) => number;
}

/** Which agreement, and who asks. */
export interface AgreementAsk {
  readonly id: string;
  readonly header: TokenHeader;
  readonly account: string;
  /** Agreements for stored tokens have a rate of their own, and wait for it. */
  readonly origin: TokenOrigin;
  /** Ends the wait of a stored token. */
  readonly signal: AbortSignal | undefined;
}

/** An agreement, and what becomes of it: one of the two is called, once the token that asked is opened or refused. */
export interface MadeAgreement {
  readonly keys: AgreementKeys;
  /** Only a verified tag proves that somebody holds the other half: rubbish cannot fill the cache. */
  readonly keep: () => void;
  /** Who paid for the agreement pays more. */
  readonly chargeRubbish: () => void;
}

/** What a token costs its account that made for an agreement and was rubbish, on top of what a good one does. */
const RUBBISH_COST = 3;
/** Concurrency of custodies that do not state theirs. */
const CONCURRENCY = 8;

/** Agreements in the making. */
export class AgreementMaker {
  readonly #keys: Pick<OpeningKeys, 'custody'>;
  readonly #cache: AgreementCache<AgreementKeys>;
  readonly #rate: CallerRate;
  readonly #queue: FairQueue;
  /** Concurrent misses of one account share one. */
  readonly #pending = new Map<string, Promise<AgreementKeys>>();
  readonly #refused: Record<RefusalKind, number> = { rate: 0, account: 0, queue: 0 };
  #fresh = 0;

  /** @throws SealwireError `OPTIONS_INVALID`; `CUSTODY_FAILED` of a custody that cannot begin */
  constructor({ keys, cache, maxPending, maxPerAccount, rate, shareOf }: AgreementMakerOptions) {
    this.#keys = keys;
    this.#cache = cache;
    const concurrency = () => keys.custody.concurrency ?? CONCURRENCY;
    // Asked once now: a custody without threads says so here, not to the first caller.
    concurrency();
    this.#queue = new FairQueue({ concurrency, maxPending, maxPerAccount, shareOf });
    this.#rate = new CallerRate({ shareOf, ...rate });
  }

  stats(): AgreementStats {
    const { waiting, running } = this.#queue;
    return { fresh: this.#fresh, waiting, running, refused: { ...this.#refused } };
  }

  /** @throws SealwireError `CALLER_RATE`, `POOL_FULL`, `CUSTODY_FAILED` */
  async make({ id, header, account, origin, signal }: AgreementAsk): Promise<MadeAgreement> {
    // A caller that reads what it stored must still be able to begin a session.
    const payer = origin === 'stored' ? `stored ${account}` : account;
    // One account does not wait for what another has waiting, even for the same agreement.
    const name = `${payer} ${id}`;
    const shared = this.#pending.get(name);
    // Paid before anything waits in the queue. Not awaited for the wire: all tokens of a message come at once and
    // share.
    if (shared === undefined && origin === 'stored') await this.#rate.turn(payer, signal);
    else if (shared === undefined) this.#takeRate(payer);
    const firstUse = this.#cache.time();
    // After the wait another token may have brought it.
    const known = origin === 'stored' ? this.#cache.get(id) : undefined;
    const keys = await (shared ?? known ?? this.#share(name, header, account, payer));
    return {
      keys,
      keep: () => this.#cache.add(id, keys, header.kid, account, firstUse),
      chargeRubbish: () => {
        if (shared === undefined) this.#rate.charge(payer, RUBBISH_COST);
      },
    };
  }

  #takeRate(payer: string): void {
    try {
      this.#rate.take(payer);
    } catch (error) {
      this.#refused.rate++;
      throw error;
    }
  }

  #share(name: string, header: TokenHeader, account: string, payer: string): Promise<AgreementKeys> {
    const pending = this.#pending.get(name);
    if (pending !== undefined) return pending;
    const refuse = (why: RefusalKind) => {
      this.#refused[why]++;
      // The rate is for agreements that are made.
      this.#rate.charge(payer, -1);
    };
    const isPatient = payer !== account;
    const agreement = this.#queue
      .run(account, () => this.#agree(header), refuse, isPatient)
      .finally(() => this.#pending.delete(name));
    this.#pending.set(name, agreement);
    return agreement;
  }

  async #agree({ kid, alg, enc, epk, apu, apv }: TokenHeader): Promise<AgreementKeys> {
    this.#fresh++;
    let z: Buffer;
    try {
      z = await this.#keys.custody.agree(kid, epk);
    } catch (error) {
      if (error instanceof SealwireError) throw error;
      throw new SealwireError('CUSTODY_FAILED', 'the key custody failed', { cause: error });
    }
    // A short Z would derive another key than the sender's and look like a bad token.
    if (z.length !== curves[epk.crv].coordinateBytes) {
      throw new SealwireError('CUSTODY_FAILED', 'the key custody gave a shared secret of the wrong length');
    }
    const reply = new ReplyKey(deriveReplyKey(z, kid), replyKid(epk.x, epk.y));
    const key = deriveKey(z, alg, enc, apu, apv);
    return alg === 'ECDH-ES' ? { direct: key, reply } : { unwrapper: new KeyUnwrapper(key), reply };
  }
}
