/**
 * Responses of one call on their way to the wire: sealed one after the other, each sent when its record is
 * durable. The handler may run ahead by as much as {@link WriteAhead} says; what the wire has not taken
 * counts, so that a slow reader holds the handler.
 */
import type { CallBytes } from './held-bytes.js';
import { sizeOf } from './receive/message-size.js';
import type { SealedReply } from './seal-reply.js';

/** How far a handler may run ahead of the wire. */
export interface WriteAhead {
  readonly messages: number;
  /** Bytes of them, about. */
  readonly bytes: number;
}

/** What {@link OutgoingMessages} needs of its call. */
export interface OutgoingOptions {
  readonly writeAhead: WriteAhead;
  /** What the call holds; asked for when there is something to hold. */
  readonly bytes: () => Pick<CallBytes, 'take' | 'give'>;
  readonly seal: (message: object) => SealedReply | Promise<SealedReply>;
  /** Resolves when the record is durable. */
  readonly commit: (reply: SealedReply) => Promise<void> | undefined;
  /** Sends one message; `done` is called when the wire has taken it. */
  readonly send: (message: object, done: () => void) => void;
  /** Told of the first failure; nothing is sent after it. */
  readonly fail: (error: unknown) => void;
}

interface Sealed {
  readonly message: object;
  /** Known when the record is durable, or cannot be. */
  readonly failure: Promise<{ readonly reason: unknown } | undefined>;
}

/** Seals, records and sends in order. */
export class OutgoingMessages {
  readonly #options: OutgoingOptions;
  /** Ends with the sealing of the last message: replies are numbered in order. */
  #sealed: Promise<unknown> = Promise.resolve();
  /** Ends with the sending of the last message. */
  #sent: Promise<void> = Promise.resolve();
  #held = 0;
  #heldBytes = 0;
  /** Callbacks of the handler's writes that have to wait. */
  readonly #waiting: (() => void)[] = [];
  /** Nothing is sealed after a message that could not be; what came before it is still sent. */
  #broken = false;
  #stopped = false;

  constructor(options: OutgoingOptions) {
    this.#options = options;
  }

  /** @param callback the handler's: called when it may write again */
  add(message: object, callback: () => void): void {
    if (this.#stopped) return;
    const size = sizeOf(message);
    try {
      this.#options.bytes().take(size);
    } catch (error) {
      this.stop();
      this.#options.fail(error);
      return;
    }
    this.#held++;
    this.#heldBytes += size;
    const sealing = this.#sealed.then(() => this.#seal(message));
    this.#sealed = sealing;
    this.#sent = Promise.all([sealing, this.#sent]).then(([ready]) => this.#send(ready, size));
    const { messages, bytes } = this.#options.writeAhead;
    if (this.#held < messages && this.#heldBytes < bytes) process.nextTick(callback);
    else this.#waiting.push(callback);
  }

  /** Runs `work` after everything was sent, unless something failed. */
  afterAll(work: () => void): void {
    this.#sent = this.#sent.then(() => {
      if (!this.#stopped) work();
    });
  }

  /** Drops what waits. */
  stop(): void {
    this.#stopped = true;
    this.#waiting.length = 0;
  }

  /** @returns the sealed message, or what went wrong; undefined when the call is over */
  async #seal(message: object): Promise<Sealed | undefined> {
    if (this.#stopped || this.#broken) return undefined;
    try {
      const reply = await this.#options.seal(message);
      if (this.#stopped) return undefined;
      const committed = this.#options.commit(reply) ?? Promise.resolve();
      const failure = committed.then(
        () => undefined,
        (reason: unknown) => ({ reason }),
      );
      return { message: reply.message, failure };
    } catch (reason) {
      this.#broken = true;
      return { message: {}, failure: Promise.resolve({ reason }) };
    }
  }

  async #send(sealed: Sealed | undefined, size: number): Promise<void> {
    const failure = await sealed?.failure;
    if (sealed === undefined || this.#stopped) return;
    if (failure !== undefined) {
      this.stop();
      this.#options.fail(failure.reason);
      return;
    }
    this.#options.send(sealed.message, () => {
      this.#held--;
      this.#heldBytes -= size;
      this.#options.bytes().give(size);
      const callback = this.#waiting.shift();
      callback?.();
    });
  }
}
