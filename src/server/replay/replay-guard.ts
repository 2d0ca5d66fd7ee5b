/** Check 8: a token is used once within its time window. */
import { createHash } from 'node:crypto';
import { SealwireError } from '../../errors.js';
import { decodeCanonical } from '../../jwe/base64url.js';
import { MAX_AGE_SECONDS, MAX_SKEW_SECONDS } from '../../profile/policy.js';
import { MemoryReplayStore } from './memory-replay-store.js';
import type { ReplayEntry, ReplayResult, ReplayStats, ReplayStore } from './replay-store.js';

/**
 * How long a token can be used at most, in ms: a token from 60 s in the future is good until it is 300 s
 * old. So much of the audit log a starting guard needs, and so long a token without `iat` is
 * remembered.
 */
export const REPLAY_WINDOW_MS = (MAX_AGE_SECONDS + MAX_SKEW_SECONDS) * 1_000;

/** A token as far as the guard looks at it. */
export interface GuardedToken {
  readonly token: string;
  readonly header: { readonly iat?: number | undefined };
}

/** A token that was used before this process started. */
export interface UsedToken {
  /** base64url SHA-256 of the token's characters. */
  readonly digest: string;
  /** When it was used, in ms since 1970. */
  readonly timeMs: number;
  /** Its `iat`, if it has one. */
  readonly iat?: number | undefined;
}

/** Options of {@link ReplayGuard}. */
export interface ReplayGuardOptions {
  /** Default: a {@link MemoryReplayStore} with this clock. */
  readonly store?: ReplayStore;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
}

const DIGEST_BYTES = 32;

/**
 * Refuses tokens that were used before.
 *
 * A token is known by the SHA-256 of its text, and no other text opens to the same content: each
 * part is canonical base64url (check 2); the header text is the additional authenticated data, so no other JSON,
 * `iat` or point with the same shared secret (such as the negated `epk`) will do; IV, ciphertext and a
 * tag of full length are authenticated under a CEK that only the sender knows; and one KEK wraps one CEK to one
 * encrypted key. A sender can seal the same content again, of course: that is a new token.
 *
 * Claim after every other check, right before the audit record: a token that fails one of them has not
 * been used, and must take no room. Check 4 may have passed a while ago (agreements queue up): a
 * token that became stale since is refused, or it could be claimed, forgotten at once and claimed again.
 *
 * @example
 * ```ts
 * import { REPLAY_WINDOW_MS, ReplayGuard } from 'sealwire';
 * import { readRecentTokens } from 'sealwire/audit';
 *
 * const guard = new ReplayGuard();
 * await guard.restore(readRecentTokens('audit', Date.now() - REPLAY_WINDOW_MS));
 * ```
 */
export class ReplayGuard {
  readonly #store: ReplayStore;
  readonly #now: () => number;

  constructor(options: ReplayGuardOptions = {}) {
    this.#now = options.now ?? Date.now;
    this.#store = options.store ?? new MemoryReplayStore({ now: this.#now });
  }

  /**
   * Claims all tokens of a message, or none.
   *
   * @param tokens tokens that passed checks 1 to 7
   * @param paths the tokens' paths, for the error
   * @param account whose tokens they are. Default: nobody's, who may take all the room there is
   * @returns a promise only if the store is asynchronous
   * @throws SealwireError with the path of the first such token: `REPLAYED` (used before, or twice in this
   *   message), `TOKEN_STALE` (its time ended while it was being opened), `REPLAY_STORE_FULL`
   */
  claim(tokens: readonly GuardedToken[], paths: readonly string[] = [], account?: string): void | Promise<void> {
    if (tokens.length === 0) return;
    const entries = tokens.map(toEntry);
    refuseRepeated(entries, paths);
    const result = this.#store.claim(entries, account);
    if (typeof result === 'object' && 'then' in result) return result.then((settled) => settle(settled, paths));
    settle(result, paths);
  }

  /**
   * Makes tokens usable again whose message was claimed but not delivered, because its audit record
   * failed: nothing has come of it, and the caller may try again with the same tokens. A record that reaches
   * the disk after all does no harm; at worst a restart in between refuses the second try. Never
   * for a claim that was refused (the tokens are somebody else's claim), nor once a handler could have the message.
   */
  release(tokens: readonly GuardedToken[], account?: string): void | Promise<void> {
    const digests = tokens.map(({ token }) => digestOf(token));
    return this.#store.release(digests, account);
  }

  /**
   * Claims what was used before this process started; to be awaited before calls are served. What is no
   * longer usable is skipped.
   *
   * @param used tokens of the last {@link REPLAY_WINDOW_MS}, in any order
   * @returns how many tokens are remembered
   * @throws SealwireError `REPLAY_STORE_FULL`: they do not fit, and used tokens would be accepted;
   *   `OPTIONS_INVALID` for an entry that is malformed
   */
  async restore(used: AsyncIterable<UsedToken>): Promise<number> {
    let restored = 0;
    for await (const token of used) {
      const entry = this.#toRestored(token);
      if (entry === undefined) continue;
      const result = await this.#store.claim([entry]);
      if (result === 'full')
        throw new SealwireError('REPLAY_STORE_FULL', 'more tokens were used than can be remembered');
      if (result === 'claimed') restored++;
    }
    return restored;
  }

  stats(): ReplayStats | Promise<ReplayStats> {
    return this.#store.stats();
  }

  #toRestored({ digest, timeMs, iat }: UsedToken): ReplayEntry | undefined {
    const bytes = decodeCanonical(digest);
    if (bytes?.length !== DIGEST_BYTES || !Number.isFinite(timeMs)) {
      throw new SealwireError('OPTIONS_INVALID', 'a used token to restore has no SHA-256 digest or no time');
    }
    if (iat !== undefined) return { digest: bytes, expiresAtMs: expiryOf(iat) };
    // It was used before now, so no more than the window is left, whatever the clock said then.
    const lifeMs = Math.min(timeMs + REPLAY_WINDOW_MS - this.#now(), REPLAY_WINDOW_MS);
    return lifeMs < 0 ? undefined : { digest: bytes, lifeMs };
  }
}

function toEntry({ token, header }: GuardedToken): ReplayEntry {
  const digest = digestOf(token);
  return header.iat === undefined
    ? { digest, lifeMs: REPLAY_WINDOW_MS }
    : { digest, expiresAtMs: expiryOf(header.iat) };
}

/** As check 4: the last moment at which a token is not stale, in ms since 1970. */
function expiryOf(iat: number): number {
  return (iat + MAX_AGE_SECONDS) * 1_000;
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** The same token twice in one message is a replay; stores need not see to that. */
function refuseRepeated(entries: readonly ReplayEntry[], paths: readonly string[]): void {
  if (entries.length === 1) return;
  const seen = new Set<string>();
  entries.forEach(({ digest }, index) => {
    const key = digest.toString('latin1');
    if (seen.has(key)) throw replayed(paths[index]);
    seen.add(key);
  });
}

function settle(result: ReplayResult, paths: readonly string[]): void {
  if (result === 'claimed') return;
  if (result === 'full') throw new SealwireError('REPLAY_STORE_FULL', 'the replay store is full');
  if ('replayed' in result) throw replayed(paths[result.replayed]);
  throw new SealwireError('TOKEN_STALE', 'the time of the token has ended', { path: paths[result.expired] });
}

function replayed(path: string | undefined): SealwireError {
  return new SealwireError('REPLAYED', 'the token was used before', { path });
}
