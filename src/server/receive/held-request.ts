/** The one request of a call, read before its handler asks for it, since the reply token is compared with it first. */

/** Reads one request and keeps it. */
export class HeldRequest {
  readonly #read: () => void;
  #message: object | undefined;
  #settle: ((message: readonly object[]) => void) | undefined;

  /** @param read asks the wire for one message */
  constructor(read: () => void) {
    this.#read = read;
  }

  /**
   * @returns a list of the request; empty when the caller sends none. Never settles for a call that ends before. A
   *   promise of the request itself would look into it, and so have it decoded
   */
  read(): Promise<readonly object[]> {
    return new Promise((resolve) => {
      this.#settle = resolve;
      this.#read();
    });
  }

  /** What came. @param message undefined: the caller sends none */
  take(message: object | undefined): void {
    this.#message = message;
    this.#settle?.(message === undefined ? [] : [message]);
  }

  /** Hands over what came. */
  release(deliver: (message: object) => void, end: () => void): void {
    if (this.#message === undefined) end();
    else deliver(this.#message);
  }
}
