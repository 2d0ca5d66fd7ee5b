/**
 * Work that is done together. Calls that are made, or messages that arrive, in one turn of the event loop would each
 * run through all of HTTP/2 and OpenSSL by themselves; one after the other, their code stays in the processor's caches,
 * and what they write to a connection leaves in few system calls.
 */
import { AsyncResource } from 'node:async_hooks';

/** Items per turn: between turns the connection is written to, and the rest of the process gets its time. */
const MOST_PER_TURN = 16;

/**
 * Runs the first task of a turn at once, and those that come after it in the next turns: those of an account in their
 * order, and of the accounts one after the other, so that nobody waits for all that another has sent at once.
 */
export class TurnQueue {
  /** Tasks by account; the account that was served last is the last one. */
  readonly #lines = new Map<string, (() => void)[]>();
  #waiting = 0;
  readonly #run = () => this.#runTurn();
  #scheduled = false;

  /**
   * @param task run in the async context it is added in. What it throws at once is the caller's, later the process's:
   *   it should not
   * @param account whose it is. Default: all such tasks are of one account
   */
  add(task: () => void, account = ''): void {
    if (this.#scheduled) {
      this.#waiting++;
      const line = this.#lines.get(account);
      if (line === undefined) this.#lines.set(account, [inThisContext(task)]);
      else line.push(inThisContext(task));
      return;
    }
    this.#schedule();
    task();
  }

  /** Runs what waits, now. */
  flush(): void {
    this.#runWaiting(this.#waiting);
  }

  #schedule(): void {
    this.#scheduled = true;
    setImmediate(this.#run);
  }

  #runTurn(): void {
    this.#scheduled = false;
    if (this.#waiting === 0) return;
    // Before the tasks: should one throw, the next ones have their turn all the same.
    this.#schedule();
    this.#runWaiting(MOST_PER_TURN);
  }

  #runWaiting(most: number): void {
    for (let done = 0; done < most; done++) {
      const [account, line] = this.#lines.entries().next().value ?? [];
      if (account === undefined || line === undefined) return;
      const task = line.shift();
      this.#waiting--;
      this.#lines.delete(account);
      if (line.length > 0) this.#lines.set(account, line);
      task?.();
    }
  }
}

/** Callers' traces hang on their async context, and tasks of other callers run in the same turn. */
function inThisContext(task: () => void): () => void {
  const context = new AsyncResource('sealwire.turn');
  return () => context.runInAsyncScope(task);
}
