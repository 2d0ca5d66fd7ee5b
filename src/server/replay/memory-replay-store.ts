/** The replay store of one process: bounded, allocated as it fills, and never forgetting a digest early. */
import { checkRange } from '../../profile/check-range.js';
import { DigestTable, NONE } from './digest-table.js';
import type { ReplayEntry, ReplayLife, ReplayResult, ReplayStats, ReplayStore } from './replay-store.js';

/** Options of {@link MemoryReplayStore}. */
export interface MemoryReplayStoreOptions {
  /** Digests remembered at most. Default 4,000,000 (at most 123 MiB, 32 bytes each); 64 to 64,000,000. */
  readonly capacity?: number;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
  /** Clock in ms that nobody can set. Default `performance.now`. */
  readonly monotonic?: () => number;
}

/** What a memory store holds. */
export interface MemoryReplayStats extends ReplayStats {
  /** Bytes allocated; at most 32 per digest of the capacity, rounded up to 224 KiB. */
  readonly bytes: number;
}

/** Digests that expire in the same second of the same clock. */
interface Generation {
  /** Its digests' label in the table. */
  readonly label: number;
  readonly clock: 'wall' | 'monotonic';
  /** Whole seconds of that clock; also its key. */
  readonly second: number;
  /** Alive until the monotonic clock has passed this too, in ms. */
  untilMonotonicMs: number;
  count: number;
  /** Of them, those of each account. */
  readonly accounts: Map<string, number>;
}

interface Time {
  readonly wall: number;
  readonly monotonic: number;
}

/**
 * Slots looked at for each digest that is added: while the hand goes round N slots, N/8 digests are
 * added. What is in a slot was alive one round ago (at most the capacity) or was added since, so
 * the table never has more than 8/7 of the capacity in slots: 28 × 8/7 = 32 bytes per digest.
 */
const SWEPT_PER_ADDED = 8;
/** An account has so many digests at most for each place that is free: there always are some for others. */
const PER_FREE_PLACE = 3;

/**
 * Remembers digests by generation: a digest is forgotten when its generation ends, which takes no
 * work; its slot is freed by a hand that moves on a little with every digest added. No timer, no scan of
 * all entries, no growth in one go.
 *
 * **Clocks.** A token with `iat` is stale when the wall clock says so, and wall clocks are set. Its
 * digest is kept until both clocks agree that its time is over: a wall clock that runs ahead for a
 * moment, or that is set back, makes nothing forgotten that has seconds left on the monotonic one,
 * or on the wall clock itself. If the wall clock is set back behind the end of something
 * forgotten, tokens that end no later are `expired`: they could be used ones, fresh once more by
 * the new time. After a clock that was an hour ahead is corrected, that refuses correct senders until it has
 * caught up; so does their own check against `iat` while it was ahead. A restart, which reads the
 * audit log as far back as the corrected clock demands, ends it at once. Lives given as a duration use the
 * monotonic clock alone.
 */
export class MemoryReplayStore implements ReplayStore {
  readonly #capacity: number;
  readonly #now: () => number;
  readonly #monotonic: () => number;
  readonly #table = new DigestTable();
  readonly #byLabel = new Map<number, Generation>();
  readonly #bySecond = { wall: new Map<number, Generation>(), monotonic: new Map<number, Generation>() };
  #lastLabel = 0;
  /** Digests of the generations above, and those of each account. */
  #count = 0;
  readonly #accounts = new Map<string, number>();
  /** Latest wall-clock second of a generation that was forgotten. */
  #forgottenSecond = Number.NEGATIVE_INFINITY;
  /** When generations were last looked through. */
  #retiredAt: Time = { wall: 0, monotonic: 0 };
  /** The hand. */
  #slot = 0;

  /** @throws SealwireError `OPTIONS_INVALID` */
  constructor(options: MemoryReplayStoreOptions = {}) {
    this.#capacity = options.capacity ?? 4_000_000;
    checkRange('capacity', this.#capacity, [64, 64_000_000]);
    this.#now = options.now ?? Date.now;
    this.#monotonic = options.monotonic ?? (() => performance.now());
  }

  claim(entries: readonly ReplayEntry[], account = ''): ReplayResult {
    const time = this.#tick();
    for (let index = 0; index < entries.length; index++) {
      const entry = entries[index] as ReplayEntry;
      if (this.#isOver(entry, time)) return { expired: index };
      if (this.#isTaken(entry.digest)) return { replayed: index };
    }
    if (!this.#hasRoom(entries.length, account)) return 'full';
    this.#sweep(entries.length * SWEPT_PER_ADDED);
    this.#table.reserve(entries.length);
    for (const entry of entries) {
      const generation = this.#generation(entry, time);
      this.#table.add(entry.digest, generation.label);
      this.#add(1, generation, account);
    }
    return 'claimed';
  }

  release(digests: readonly Buffer[], account = ''): void {
    for (const digest of digests) {
      const slot = this.#table.find(digest);
      if (slot === NONE) continue;
      const generation = this.#byLabel.get(this.#table.label(slot));
      if (generation !== undefined) this.#add(-1, generation, account);
      this.#table.remove(slot);
    }
  }

  stats(): MemoryReplayStats {
    this.#tick();
    return { count: this.#count, capacity: this.#capacity, bytes: this.#table.bytes };
  }

  /** The empty account is nobody's: tokens from before a restart. */
  #hasRoom(count: number, account: string): boolean {
    const free = this.#capacity - this.#count;
    const own = account === '' ? 0 : (this.#accounts.get(account) ?? 0);
    return count <= free && (own === 0 || own + count <= PER_FREE_PLACE * free);
  }

  #add(count: number, generation: Generation, account: string): void {
    generation.count += count;
    this.#count += count;
    if (account === '') return;
    for (const counts of [generation.accounts, this.#accounts]) addTo(counts, account, count);
  }

  /** Generations end with whole seconds: once in each it is seen to. */
  #tick(): Time {
    const time = { wall: this.#now(), monotonic: this.#monotonic() };
    if (!isSameSecond(time, this.#retiredAt)) this.#retire(time);
    return time;
  }

  /** Whether a token must be refused because the store would not, or may not any more, remember it. */
  #isOver({ expiresAtMs }: ReplayLife, { wall }: Time): boolean {
    if (expiresAtMs === undefined) return false;
    return expiresAtMs < wall || secondOf(expiresAtMs) <= this.#forgottenSecond;
  }

  #isTaken(digest: Buffer): boolean {
    const slot = this.#table.find(digest);
    if (slot === NONE) return false;
    if (this.#byLabel.has(this.#table.label(slot))) return true;
    // Else the digest would soon be in the table twice, and the forgotten one might be found.
    this.#table.remove(slot);
    return false;
  }

  /** The generation that an entry belongs to. */
  #generation({ expiresAtMs, lifeMs }: ReplayLife, time: Time): Generation {
    const clock = expiresAtMs === undefined ? 'monotonic' : 'wall';
    const second = secondOf(expiresAtMs ?? time.monotonic + (lifeMs as number));
    const untilMonotonicMs = second * 1_000 + (clock === 'wall' ? time.monotonic - time.wall : 0);
    const known = this.#bySecond[clock].get(second);
    if (known !== undefined) {
      known.untilMonotonicMs = Math.max(known.untilMonotonicMs, untilMonotonicMs);
      return known;
    }
    const generation: Generation = {
      label: ++this.#lastLabel,
      clock,
      second,
      untilMonotonicMs,
      count: 0,
      accounts: new Map(),
    };
    this.#byLabel.set(generation.label, generation);
    this.#bySecond[clock].set(second, generation);
    return generation;
  }

  /** Forgets generations that ended. There is one per second: some hundreds. */
  #retire(time: Time): void {
    this.#retiredAt = time;
    for (const generation of this.#byLabel.values()) {
      if (isAlive(generation, time)) continue;
      const { label, clock, second, count, accounts } = generation;
      this.#byLabel.delete(label);
      this.#bySecond[clock].delete(second);
      this.#count -= count;
      for (const [account, own] of accounts) addTo(this.#accounts, account, -own);
      if (clock === 'wall') this.#forgottenSecond = Math.max(this.#forgottenSecond, second);
    }
  }

  /** Frees the slots of forgotten digests among the next `slots` ones. */
  #sweep(slots: number): void {
    const table = this.#table;
    for (let left = Math.min(slots, table.slots); left > 0; left--) {
      if (this.#slot >= table.slots) this.#slot = 0;
      const label = table.label(this.#slot);
      if (label !== 0 && !this.#byLabel.has(label)) table.remove(this.#slot);
      this.#slot++;
    }
  }
}

function addTo(counts: Map<string, number>, account: string, count: number): void {
  const sum = (counts.get(account) ?? 0) + count;
  if (sum > 0) counts.set(account, sum);
  else counts.delete(account);
}

function isAlive({ clock, second, untilMonotonicMs }: Generation, { wall, monotonic }: Time): boolean {
  return monotonic <= untilMonotonicMs || (clock === 'wall' && wall <= second * 1_000);
}

function isSameSecond(one: Time, other: Time): boolean {
  return secondOf(one.wall) === secondOf(other.wall) && secondOf(one.monotonic) === secondOf(other.monotonic);
}

/** The whole second at or after a time in ms. */
function secondOf(ms: number): number {
  return Math.ceil(ms / 1_000);
}
