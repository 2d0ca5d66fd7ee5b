/**
 * Messages of one call on their way to the handler. grpc-js hands out one message per read, and a durable
 * record for each would make a stream wait for the disk at every message: so reads run ahead of the
 * handler, messages open beside each other, and are delivered in order, when the handler asks.
 */
import type { TurnQueue } from '../turn-queue.js';
import type { CallBytes } from './held-bytes.js';

/** How far reads run ahead of the handler. */
export interface ReadAhead {
  /** Messages. */
  readonly messages: number;
  /** Characters of their tokens. */
  readonly bytes: number;
}

/** What {@link IncomingMessages} needs of its call. */
export interface IncomingOptions {
  readonly readAhead: ReadAhead;
  /** Whose the call is; asked when a message has come. */
  readonly account: () => string;
  /** What the call holds; asked for when there is something to hold. */
  readonly bytes: () => Pick<CallBytes, 'take' | 'deliver'>;
  /** Asks the wire for one message. */
  readonly read: () => void;
  /** Opens one message. */
  readonly open: (message: object) => Promise<object>;
  /** Where messages of all calls are opened together. */
  readonly turns: Pick<TurnQueue, 'add'>;
  /** Told of each opened message, in order. */
  readonly deliver: (message: object) => void;
  /** Told after the last message that there are no more. */
  readonly end: () => void;
  /** Told of the first failure; nothing is delivered after it. */
  readonly fail: (error: unknown) => void;
}

interface Entry {
  readonly size: number;
  value: object | undefined;
  error: { readonly reason: unknown } | undefined;
}

/** Reads ahead, opens, and delivers in order. */
export class IncomingMessages {
  readonly #options: IncomingOptions;
  readonly #queue: Entry[] = [];
  #bytes = 0;
  /** Messages that the handler has asked for and not got. */
  #wanted = 0;
  #reading = false;
  #halfClosed = false;
  #stopped = false;
  #pumping = false;

  constructor(options: IncomingOptions) {
    this.#options = options;
  }

  /** The handler wants one more message. */
  want(): void {
    this.#wanted++;
    this.#pump();
  }

  /** A message came. @param size bytes of it, about */
  add(message: object, size: number): void {
    this.#reading = false;
    if (this.#stopped) return;
    try {
      this.#options.bytes().take(size);
    } catch (error) {
      this.stop();
      this.#options.fail(error);
      return;
    }
    const entry: Entry = { size, value: undefined, error: undefined };
    this.#queue.push(entry);
    this.#bytes += size;
    this.#options.turns.add(() => this.#open(message, entry), this.#options.account());
    this.#pump();
  }

  #open(message: object, entry: Entry): void {
    if (this.#stopped) return;
    this.#options.open(message).then(
      (value) => {
        entry.value = value;
        this.#pump();
      },
      (reason: unknown) => {
        entry.error = { reason };
        this.#pump();
      },
    );
  }

  /** No more messages will come. */
  halfClose(): void {
    this.#reading = false;
    this.#halfClosed = true;
    this.#pump();
  }

  /** Drops what waits. */
  stop(): void {
    this.#stopped = true;
    this.#queue.length = 0;
  }

  #pump(): void {
    // A delivery may ask for the next message at once.
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (!this.#stopped && this.#deliverNext());
      this.#pumping = false;
      if (this.#stopped) return;
      // Either may come back here at once: what is read may be at hand already.
      if (!this.#halfClosed) this.#readMore();
      else if (this.#queue.length === 0) this.#end();
    } catch (error) {
      this.#pumping = false;
      // Thrown by a handler's listener. It goes on to whoever sees to such errors, but no caller is left hanging.
      this.stop();
      this.#options.fail(error);
      throw error;
    }
  }

  #end(): void {
    this.#stopped = true;
    this.#options.end();
  }

  /** @returns whether there was something to deliver */
  #deliverNext(): boolean {
    const [head] = this.#queue;
    if (head === undefined || (head.value === undefined && head.error === undefined)) return false;
    if (head.error !== undefined) {
      this.stop();
      this.#options.fail(head.error.reason);
      return false;
    }
    if (this.#wanted === 0) return false;
    this.#wanted--;
    this.#queue.shift();
    this.#bytes -= head.size;
    this.#options.bytes().deliver(head.size);
    this.#options.deliver(head.value as object);
    return true;
  }

  #readMore(): void {
    if (this.#reading || (this.#wanted === 0 && this.#queue.length === 0)) return;
    const { messages, bytes } = this.#options.readAhead;
    // What the handler asked for is read in any case.
    const asked = this.#wanted > this.#queue.length;
    if (!asked && (this.#queue.length >= messages || this.#bytes >= bytes)) return;
    this.#reading = true;
    this.#options.read();
  }
}
