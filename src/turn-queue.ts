/**
 * Work that is done together. Calls that are made, or messages that arrive, in one turn of the event loop would each run through
 * all of HTTP/2 and OpenSSL by themselves; one after the other, their code stays in the processor's caches, and what they write
 * to a connection leaves in few system calls.
 */
import { AsyncResource } from 'node:async_hooks';

/** Items per turn: between turns the connection is written to, and the rest of the process gets its time. */
const MOST_PER_TURN = 16;

/** Runs the first task of a turn at once, and those that come after it in the next turns, in order. */
export class TurnQueue {
  readonly #waiting: (() => void)[] = [];
  readonly #run = () => this.#runTurn();
  #scheduled = false;

  /** @param task run in the async context it is added in. What it throws at once is the caller's, later the process's: it should not */
  add(task: () => void): void {
    if (this.#scheduled) {
      this.#waiting.push(inThisContext(task));
      return;
    }
    this.#schedule();
    task();
  }

  /** Runs what waits, now. */
  flush(): void {
    this.#runWaiting(this.#waiting.length);
  }

  #schedule(): void {
    this.#scheduled = true;
    setImmediate(this.#run);
  }

  #runTurn(): void {
    this.#scheduled = false;
    if (this.#waiting.length === 0) return;
    // Before the tasks: should one throw, the next ones have their turn all the same.
    this.#schedule();
    this.#runWaiting(MOST_PER_TURN);
  }

  #runWaiting(most: number): void {
    for (let done = 0; done < most; done++) this.#waiting.shift()?.();
  }
}

/** Callers' traces hang on their async context, and tasks of other callers run in the same turn. */
function inThisContext(task: () => void): () => void {
  const context = new AsyncResource('sealwire.turn');
  return () => context.runInAsyncScope(task);
}
