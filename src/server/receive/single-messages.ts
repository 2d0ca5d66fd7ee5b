/**
 * Messages a few at a time, and compressed ones one by one. grpc-js decompresses and decodes all that come together,
 * before anybody asks for them: a frame of 16 kB can hold two thousand messages of some bytes, or fifteen of a
 * kilobyte that are a mebibyte each, and a hundred streams a hundred such frames.
 */
import type { ServerHttp2Stream } from 'node:http2';

/** A flag and the length of the message that follows (gRPC over HTTP/2). */
const PREFIX_BYTES = 5;
/**
 * A stream whose handler is slow to ask for more gives up its turn after this: others of its account would wait for it.
 */
const TURN_MS = 1_000;
/** Messages that are handed on together. */
const FEW = 16;

/** Finds where length-prefixed messages end. */
export class MessageBounds {
  readonly #prefix = Buffer.alloc(PREFIX_BYTES);
  #prefixRead = 0;
  /** Bytes of the message that are still to come. */
  #missing = 0;

  /**
   * @returns where the message that the bytes from `at` on belong to ends in the chunk, and whether it is whole then
   */
  take(chunk: Buffer, at: number): { readonly end: number; readonly isWhole: boolean } {
    let end = at;
    if (this.#missing === 0) {
      const count = Math.min(PREFIX_BYTES - this.#prefixRead, chunk.length - end);
      chunk.copy(this.#prefix, this.#prefixRead, end, end + count);
      end += count;
      this.#prefixRead += count;
      if (this.#prefixRead === PREFIX_BYTES) this.#missing = this.#prefix.readUInt32BE(1);
    }
    const count = Math.min(this.#missing, chunk.length - end);
    end += count;
    this.#missing -= count;
    const isWhole = this.#prefixRead === PREFIX_BYTES && this.#missing === 0;
    if (isWhole) this.#prefixRead = 0;
    return { end, isWhole };
  }
}

/** Begins a turn. @returns false if it is not wanted any more */
export type BeginTurn = () => boolean;

/** Turns at decompressing: so many of an account at once, the others wait as they came. */
export class Turns {
  readonly #most: number;
  readonly #accounts = new Map<string, { running: number; readonly waiting: Set<BeginTurn> }>();

  constructor(most: number) {
    this.#most = most;
  }

  /**
   * @param share multiple of everybody's that is the account's
   * @param begin called when it is its turn, at once if that is now
   * @returns gives up the wait
   */
  ask(account: string, share: number, begin: BeginTurn): () => void {
    const line = this.#accounts.get(account) ?? { running: 0, waiting: new Set() };
    this.#accounts.set(account, line);
    if (line.running >= this.#most * share) {
      line.waiting.add(begin);
      return () => line.waiting.delete(begin);
    }
    line.running++;
    if (!begin()) this.end(account);
    return () => {};
  }

  /** Ends a turn that has begun. Of those that wait, many may be gone: they are passed over in a loop. */
  end(account: string): void {
    const line = this.#accounts.get(account);
    if (line === undefined) return;
    for (const begin of line.waiting) {
      line.waiting.delete(begin);
      if (begin()) return;
    }
    if (--line.running === 0) this.#accounts.delete(account);
  }
}

/** How a stream gets its turns. */
export interface StreamTurns {
  /** @returns gives up the wait */
  ask(begin: BeginTurn): () => void;
  end(): void;
}

/** Those who listen to a stream's data, who from now on get what somebody hands on to them. */
function takeListeners(stream: ServerHttp2Stream): readonly ((chunk: Buffer) => void)[] {
  const listeners = stream.listeners('data') as ((chunk: Buffer) => void)[];
  for (const listener of listeners) stream.off('data', listener);
  return listeners;
}

/**
 * Stands before those who listen to a stream's data: after they paused the stream they get no more than what was handed
 * on with the message that they paused it for.
 *
 * @param stream of length-prefixed messages, paused
 */
export function deliverFew(stream: ServerHttp2Stream): void {
  const listeners = takeListeners(stream);
  const bounds = new MessageBounds();
  stream.on('data', (chunk: Buffer) => {
    for (let at = 0; at < chunk.length; ) {
      if (at > 0 && stream.isPaused()) {
        stream.unshift(chunk.subarray(at));
        return;
      }
      let to = at;
      for (let whole = 0; to < chunk.length && whole < FEW; ) {
        const { end, isWhole } = bounds.take(chunk, to);
        to = end;
        if (isWhole) whole++;
      }
      for (const listener of listeners) listener(chunk.subarray(at, to));
      at = to;
    }
  });
}

/**
 * Stands before those who listen to a stream's data: they get a message when it is the stream's turn, and no second one
 * after they paused the stream for the first. The turn ends when they want more.
 *
 * @param stream of length-prefixed messages, paused
 */
export function deliverSingly(stream: ServerHttp2Stream, turns: StreamTurns): void {
  const listeners = takeListeners(stream);
  const bounds = new MessageBounds();
  let turn: 'none' | 'asked' | 'begun' = 'none';
  let timer: NodeJS.Timeout | undefined;
  let giveUp = () => {};
  const end = () => {
    clearTimeout(timer);
    giveUp();
    if (turn !== 'begun') return;
    turn = 'none';
    turns.end();
  };
  const ask = () => {
    turn = 'asked';
    giveUp = turns.ask(() => {
      if (stream.closed) return false;
      turn = 'begun';
      if (isHeld) stream.resume();
      return true;
    });
  };
  let isHeld = false;
  let isBetween = true;
  const take = (chunk: Buffer) => {
    for (let at = 0; at < chunk.length; ) {
      if (isBetween && turn === 'none') ask();
      isHeld = turn === 'asked';
      if (isHeld) stream.pause();
      if (isHeld || (at > 0 && stream.isPaused())) {
        stream.unshift(chunk.subarray(at));
        return;
      }
      const { end: to, isWhole } = bounds.take(chunk, at);
      for (const listener of listeners) listener(chunk.subarray(at, to));
      at = to;
      isBetween = isWhole;
      if (!isWhole) continue;
      if (!stream.isPaused()) end();
      else {
        timer = setTimeout(end, TURN_MS).unref();
        stream.once('resume', end);
      }
    }
  };
  stream.on('data', take);
  stream.once('close', end);
}
