/**
 * Calls of an account, and bytes of whole messages that they hold: a request until its call ends or its handler comes
 * to the next one, a response until its caller takes it. A kilobyte of gzip can be a mebibyte here.
 */
import { SealwireError } from '../errors.js';

/** What each account may hold. */
const ACCOUNT_BYTES = 67_108_864;
/** Calls of an account at a time. */
const ACCOUNT_CALLS = 4_096;

/** What all calls hold, by account. */
export class HeldBytes {
  readonly #shareOf: (account: string) => number;
  readonly #accounts = new Map<string, number>();
  readonly #calls = new Map<string, number>();

  /** @param shareOf an account's share: it may hold so many times as much */
  constructor(shareOf: (account: string) => number) {
    this.#shareOf = shareOf;
  }

  /** @throws SealwireError `RECEIVE_LIMIT` when the account would hold too much; nothing is taken then */
  take(account: string, bytes: number): void {
    const held = (this.#accounts.get(account) ?? 0) + bytes;
    if (held > ACCOUNT_BYTES * this.#shareOf(account)) {
      throw new SealwireError('RECEIVE_LIMIT', 'too many bytes of messages wait');
    }
    this.#accounts.set(account, held);
  }

  give(account: string, bytes: number): void {
    subtract(this.#accounts, account, bytes);
  }

  /** @throws SealwireError `RECEIVE_LIMIT` when the account has too many calls; this one is not counted then */
  begin(account: string): void {
    const calls = (this.#calls.get(account) ?? 0) + 1;
    if (calls > ACCOUNT_CALLS * this.#shareOf(account)) throw new SealwireError('RECEIVE_LIMIT', 'too many calls');
    this.#calls.set(account, calls);
  }

  end(account: string): void {
    subtract(this.#calls, account, 1);
  }
}

function subtract(counts: Map<string, number>, account: string, count: number): void {
  const left = (counts.get(account) ?? 0) - count;
  if (left > 0) counts.set(account, left);
  else counts.delete(account);
}

/** What one call holds. */
export class CallBytes {
  readonly #all: HeldBytes;
  readonly #account: string;
  #held = 0;
  /** Sizes of requests that the handler was given, the latest last: grpc-js keeps some for it. */
  readonly #delivered: number[] = [];
  #waiting: () => number = () => 0;

  constructor(all: HeldBytes, account: string) {
    this.#all = all;
    this.#account = account;
  }

  /** @param waiting how many requests wait in the handler's stream */
  watch(waiting: () => number): void {
    this.#waiting = waiting;
  }

  /** @throws SealwireError `RECEIVE_LIMIT` */
  take(bytes: number): void {
    this.#forget();
    this.#all.take(this.#account, bytes);
    this.#held += bytes;
  }

  give(bytes: number): void {
    // After the end nothing is left to give.
    const given = Math.min(bytes, this.#held);
    this.#held -= given;
    this.#all.give(this.#account, given);
  }

  /** The handler was given a request: with those that wait for it, it is held until the next one. */
  deliver(bytes: number): void {
    this.#delivered.push(bytes);
    this.#forget();
  }

  /** The call's stream is gone, with all that waited in it. */
  end(): void {
    this.give(this.#held);
  }

  #forget(): void {
    const kept = this.#waiting() + 1;
    while (this.#delivered.length > kept) this.give(this.#delivered.shift() as number);
  }
}
