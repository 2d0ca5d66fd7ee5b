/** What is counted for each account within a window of time. */

/** Counts of the first accounts of a window, and one more for all others: memory and disk stay bounded. */
export class AccountTable<T> {
  readonly #maxAccounts: number;
  readonly #windowMs: number;
  readonly #create: (account: string | undefined) => T;
  readonly #accounts = new Map<string, T>();
  #rest: T | undefined;
  #startedAt = Number.NEGATIVE_INFINITY;

  /** @param create makes the counts of an account; of all accounts for which there is no place, without a name */
  constructor(maxAccounts: number, windowMs: number, create: (account: string | undefined) => T) {
    this.#maxAccounts = maxAccounts;
    this.#windowMs = windowMs;
    this.#create = create;
  }

  /** @param now ms since 1970; a clock that was set back begins a new window too */
  of(account: string, now: number): T {
    if (Math.abs(now - this.#startedAt) >= this.#windowMs) {
      this.#accounts.clear();
      this.#rest = undefined;
      this.#startedAt = now;
    }
    const known = this.#accounts.get(account);
    if (known !== undefined) return known;
    if (this.#accounts.size >= this.#maxAccounts) {
      this.#rest ??= this.#create(undefined);
      return this.#rest;
    }
    const made = this.#create(account);
    this.#accounts.set(account, made);
    return made;
  }

  values(): T[] {
    return [...this.#accounts.values(), ...(this.#rest === undefined ? [] : [this.#rest])];
  }
}
