/** Opens tokens: the checks 1 to 6 in their order. */
import { SealwireError } from '../errors.js';
import { checkRange } from '../profile/check-range.js';
import { type OpenLimits, resolveLimits } from '../profile/limits.js';
import { checkPolicy, type Expected, type PolicyName } from '../profile/policy.js';
import { REPLY_FIELD } from '../profile/replies.js';
import { AgreementCache, type AgreementCacheOptions, agreementId } from './agreements/agreement-cache.js';
import { type AgreementKeys, AgreementMaker, type AgreementStats } from './agreements/agreement-maker.js';
import type { CallerRateOptions } from './agreements/caller-rate.js';
import { decryptContent, headerAad } from './content.js';
import type { Grant } from './grant.js';
import type { TokenHeader } from './header.js';
import { HeaderCache } from './header-cache.js';
import type { OpeningKeys, TokenOrigin } from './recipient.js';
import { ReplySealer } from './reply.js';
import { type ParsedToken, parseToken } from './token.js';

export type { AgreementCacheOptions } from './agreements/agreement-cache.js';
export type { AgreementStats, RefusalKind } from './agreements/agreement-maker.js';
export type { CallerRateOptions } from './agreements/caller-rate.js';

/** Options of {@link TokenOpener}. */
export interface TokenOpenerOptions {
  readonly keys: OpeningKeys;
  /** Default `strict`. */
  readonly policy?: PolicyName;
  readonly limits?: Partial<OpenLimits>;
  readonly cache?: AgreementCacheOptions;
  readonly rate?: CallerRateOptions;
  /**
   * Fresh agreements that are made or wait, of all callers; past it the caller with the most waiting loses its latest
   * with `POOL_FULL`. Default 1,024; 1 to 65,536. Callers are served in turns.
   */
  readonly maxPendingAgreements?: number;
  /** The same of one caller. Default 128; 1 to 65,536. */
  readonly maxPendingPerCaller?: number;
  /**
   * Accounts that stand for many senders, such as a proxy's, as `kind:name`: their rate, cache places and places in the
   * queue are so many times as large, 1 to 1,000. Default: 1 for all.
   */
  readonly shares?: Readonly<Record<string, number>>;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
}

/** Counters since start. */
export interface OpenerStats extends AgreementStats {
  /** Agreements in the cache now. */
  readonly cached: number;
  /** Tokens opened with a cached agreement. */
  readonly hits: number;
}

/** An opened reply token. */
export interface OpenedReplyToken {
  /** What the caller put into it, for `authenticateCaller`; empty when it says nothing. */
  readonly credential: Buffer;
  readonly sealer: ReplySealer;
}

/** Opens tokens sealed to one recipient's keys. */
export class TokenOpener {
  readonly #keys: OpeningKeys;
  readonly #policy: PolicyName;
  readonly #limits: OpenLimits;
  readonly #cache: AgreementCache<AgreementKeys>;
  readonly #headers = new HeaderCache();
  readonly #maker: AgreementMaker;
  readonly #now: () => number;
  #hits = 0;

  /** @throws SealwireError `OPTIONS_INVALID`; `CUSTODY_FAILED` of a custody that cannot begin */
  constructor(options: TokenOpenerOptions) {
    const { keys } = options;
    this.#keys = keys;
    this.#policy = options.policy ?? 'strict';
    this.#limits = resolveLimits(options.limits, this.#policy);
    const { maxPendingAgreements: maxPending = 1_024, maxPendingPerCaller: maxPerAccount = 128 } = options;
    checkRange('maxPendingAgreements', maxPending, [1, 65_536]);
    checkRange('maxPendingPerCaller', maxPerAccount, [1, 65_536]);
    const shares = new Map(Object.entries(options.shares ?? {}));
    for (const [account, share] of shares) checkRange(`shares: ${account}`, share, [1, 1_000]);
    const shareOf = (account: string) => shares.get(account) ?? 1;
    this.#now = options.now ?? Date.now;
    // Ages and rates must not follow a wall clock that is set back.
    const monotonic = options.now ?? (() => performance.now());
    const cache = new AgreementCache<AgreementKeys>({ now: monotonic, shareOf, ...options.cache });
    this.#cache = cache;
    const rate = { now: monotonic, ...options.rate };
    this.#maker = new AgreementMaker({ keys, cache, maxPending, maxPerAccount, rate, shareOf });
  }

  /** The most tokens that a message may have (check 1). */
  get tokensPerMessage(): number {
    return this.#limits.tokensPerMessage;
  }

  /** The most nested messages and map entries that a message may have (check 1). */
  get messagesPerMessage(): number {
    return this.#limits.messagesPerMessage;
  }

  /**
   * Checks 1 to 3, as far as they need no key, for a token that is somebody else's to open.
   *
   * @throws SealwireError with the step's code
   */
  checkForm(token: string): void {
    parseToken(token, this.#limits);
  }

  /**
   * Checks 1 to 4 for one token.
   *
   * @param token a compact JWE
   * @param expected field and binding at this place
   * @param origin `stored`: the age does not matter, and keys count that are good for stored tokens. Default `wire`
   * @throws SealwireError with the step's code
   */
  check(token: string, expected: Expected, origin: TokenOrigin = 'wire'): ParsedToken {
    const innerBytes = Math.min(this.#limits.innerBytes, expected.maxBytes ?? this.#limits.innerBytes);
    // The length of the ciphertext tells, up to its padding: nothing is decoded of what is too long.
    const parsed = parseToken(token, { ...this.#limits, innerBytes }, this.#headers);
    this.#checkKey(parsed.header, origin);
    checkPolicy(parsed.header, expected, this.#policy, this.#now(), { freshness: origin === 'wire' });
    return parsed;
  }

  /**
   * The last of check 1, which needs the parsed headers of all tokens of a message.
   *
   * @throws SealwireError `TOO_MANY_TOKENS`, `TOO_MANY_AGREEMENTS`
   */
  checkMessage(tokens: readonly ParsedToken[]): void {
    if (tokens.length > this.#limits.tokensPerMessage) throw new SealwireError('TOO_MANY_TOKENS', 'too many tokens');
    if (tokens.length <= this.#limits.agreementsPerMessage) return;
    const points = new Set(
      tokens.map(({ header: { epk } }) => `${epk.crv}${epk.x.toString('latin1')}${epk.y.toString('latin1')}`),
    );
    if (points.size > this.#limits.agreementsPerMessage) {
      throw new SealwireError('TOO_MANY_AGREEMENTS', 'too many agreements in one message');
    }
  }

  /**
   * Checks 5 and 6.
   *
   * @param parsed a token that passed {@link check}
   * @param caller the account whose rate and cache places an agreement counts against
   * @param origin as it was given to {@link check}. Agreements for stored tokens have a rate of their own, and wait for
   *   it
   * @param signal ends the wait of a stored token
   * @param grant given the token's content encryption key, once its tag is verified
   * @returns the plaintext: at once when the agreement is cached, else a promise
   * @throws SealwireError `DECRYPTION_FAILED`, `INNER_TOO_LARGE`, `CALLER_RATE`, `POOL_FULL`, `CUSTODY_FAILED`
   */
  open(
    parsed: ParsedToken,
    account: string,
    origin: TokenOrigin = 'wire',
    grant?: Grant,
    signal?: AbortSignal,
  ): Buffer | Promise<Buffer> {
    const id = parsed.agreementId ?? agreementId(parsed.header);
    const keys = this.#cache.get(id);
    if (keys === undefined) {
      const opening = this.#openFresh(id, parsed, account, origin, { grant, signal }).then(
        ({ plaintext }) => plaintext,
      );
      // Another token of the message may throw at once: nobody awaits this one then, and an unhandled
      // rejection would let a sender of bad tokens end the process. Who awaits it still gets the error.
      opening.catch(() => {});
      return opening;
    }
    this.#hits++;
    return this.#decrypt(parsed, keys, grant);
  }

  /**
   * Checks 1 to 4 for a reply token. It is ours only, so that the whole profile is demanded whatever the policy.
   *
   * @param method full path of the method that is really called
   * @throws SealwireError with the step's code; `METHOD_MISMATCH` for a token that was made for another method
   */
  checkReplyToken(token: string, method: string): ParsedToken {
    const parsed = parseToken(token, this.#limits, this.#headers);
    this.#checkKey(parsed.header, 'wire');
    checkPolicy(parsed.header, { field: REPLY_FIELD }, 'strict', this.#now());
    const { mth } = parsed.header;
    if (mth === undefined) throw new SealwireError('POLICY_MISSING_HEADER', 'the header has no mth');
    if (mth !== method) throw new SealwireError('METHOD_MISMATCH', 'made for another method');
    return parsed;
  }

  /**
   * Checks 5 and 6 for a reply token.
   *
   * @param parsed a token that passed {@link checkReplyToken}
   * @returns what the caller put into it, and what seals the replies of its call
   * @throws SealwireError as {@link open}
   */
  openReplyToken(parsed: ParsedToken, account: string): OpenedReplyToken | Promise<OpenedReplyToken> {
    const id = parsed.agreementId ?? agreementId(parsed.header);
    const cached = this.#cache.get(id);
    const finish = (plaintext: Buffer, { reply }: AgreementKeys): OpenedReplyToken => ({
      credential: plaintext,
      sealer: new ReplySealer(reply, parsed.token, this.#limits),
    });
    if (cached === undefined) {
      return this.#openFresh(id, parsed, account, 'wire').then(({ plaintext, keys }) => finish(plaintext, keys));
    }
    this.#hits++;
    return finish(this.#decrypt(parsed, cached), cached);
  }

  /**
   * Does what may fail for an unknown key, and does it again after newer keys were looked for.
   *
   * @param step checks tokens before it does anything else
   */
  async withNewKeys<T>(step: () => T | Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      const isUnknown = error instanceof SealwireError && error.code === 'KEY_UNKNOWN';
      if (!isUnknown || this.#keys.refresh === undefined) throw error;
      await this.#keys.refresh().catch(() => {
        throw error;
      });
    }
    return step();
  }

  /** Forgets all agreements with a key at once, because it was retired. */
  purge(kid: string): void {
    this.#cache.purge(kid);
  }

  stats(): OpenerStats {
    return { cached: this.#cache.size, hits: this.#hits, ...this.#maker.stats() };
  }

  #checkKey({ kid, alg, enc, epk }: TokenHeader, origin: TokenOrigin): void {
    const keys = this.#keys;
    const key = origin === 'stored' && keys.findStored ? keys.findStored(kid) : keys.find(kid);
    if (key === undefined) {
      const retired = keys.isRetired?.(kid) === true;
      throw new SealwireError(retired ? 'KEY_RETIRED' : 'KEY_UNKNOWN', 'the key is not in use');
    }
    if (key.algorithms?.includes(alg) === false || key.encryptions?.includes(enc) === false) {
      throw new SealwireError('ALGORITHM_NOT_ALLOWED', 'not allowed for this key');
    }
    if (epk.crv !== key.crv) throw new SealwireError('CURVE_NOT_ALLOWED', "not on the key's own curve");
  }

  async #openFresh(
    id: string,
    parsed: ParsedToken,
    account: string,
    origin: TokenOrigin,
    { grant, signal }: { readonly grant?: Grant | undefined; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<{ readonly plaintext: Buffer; readonly keys: AgreementKeys }> {
    const { header } = parsed;
    const { keys, keep, chargeRubbish } = await this.#maker.make({ id, header, account, origin, signal });
    // The key may have been retired meanwhile.
    this.#checkKey(header, origin);
    let plaintext: Buffer;
    try {
      plaintext = this.#decrypt(parsed, keys, grant);
    } catch (error) {
      chargeRubbish();
      throw error;
    }
    keep();
    return { plaintext, keys };
  }

  #decrypt(parsed: ParsedToken, keys: AgreementKeys, grant?: Grant): Buffer {
    const { header, headerPart, encryptedKey } = parsed;
    const { enc } = header;
    const cek = keys.direct ?? keys.unwrapper.unwrap(encryptedKey, enc);
    let plaintext: Buffer;
    try {
      plaintext = decryptContent(enc, cek, headerAad(headerPart), parsed);
    } catch (error) {
      keys.unwrapper?.evenOut(enc);
      throw error;
    }
    if (plaintext.length > this.#limits.innerBytes) {
      throw new SealwireError('INNER_TOO_LARGE', 'the inner message is too large');
    }
    grant?.take(cek);
    if (parsed.agreementId === undefined) this.#headers.remember(headerPart, header);
    return plaintext;
  }
}
