/** What the replay guard needs of a store: one in this process, or later one that several processes share. */

/** A token that is about to be used. */
export type ReplayEntry = {
  /** SHA-256 of the token's characters, 32 bytes. */
  readonly digest: Buffer;
} & ReplayLife;

/** How long a store remembers a digest: at least that long, by whatever clock it has. */
export type ReplayLife =
  /** Up to and including this wall-clock time, in ms since 1970: the token says when it becomes stale. */
  | { readonly expiresAtMs: number; readonly lifeMs?: undefined }
  /** For this long from now, in ms: the token never becomes stale by itself. */
  | { readonly lifeMs: number; readonly expiresAtMs?: undefined };

/** What became of a claim; unless it is `claimed`, nothing was taken. Indexes are of the first such entry. */
export type ReplayResult =
  | 'claimed'
  /** The digest was claimed before and has not been released. */
  | { readonly replayed: number }
  /** The entry's time is over, or so close to what was forgotten that the store cannot tell: it must not be used. */
  | { readonly expired: number }
  /** No room, or none for this account. A store never makes room by forgetting a digest whose time is not over. */
  | 'full';

/** What a store holds. */
export interface ReplayStats {
  /** Digests remembered now. */
  readonly count: number;
  /** Most digests that fit. */
  readonly capacity: number;
}

/**
 * Remembers digests of used tokens.
 *
 * Several processes that serve one key ring need one store between them, or a token can be used once
 * per process. Such a store answers with promises; one that cannot be reached rejects, which fails
 * the call: a claim nobody answered is never taken for granted.
 */
export interface ReplayStore {
  /**
   * Takes all digests of a message, or none: when it answers anything but `claimed`, the store is as
   * it was before. Of any number of concurrent claims with a digest in common, one is `claimed`.
   *
   * @param entries distinct digests; the guard has seen to that
   * @param account whose tokens they are, so that a store can see to it that one account does not take all of its room
   */
  claim(entries: readonly ReplayEntry[], account?: string): ReplayResult | Promise<ReplayResult>;

  /**
   * Takes back a claim that led to nothing: the message was not delivered and never will be. Only
   * for digests of one's own claim; unknown ones are ignored.
   *
   * @param account as it was claimed with
   */
  release(digests: readonly Buffer[], account?: string): void | Promise<void>;

  stats(): ReplayStats | Promise<ReplayStats>;
}
