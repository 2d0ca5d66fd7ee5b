/** How long a call may take: Connect's options, for what is awaited before the transport has the call. */
import { type CallOptions, Code, ConnectError } from '@connectrpc/connect';

/** Timers have 31 bits. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The signal and the timeout of one call. */
export class CallTime {
  readonly #signal: AbortSignal | undefined;
  readonly #given: number | undefined;
  /** On the monotonic clock, in ms. */
  readonly #endsAt: number;

  constructor({ signal, timeoutMs }: CallOptions) {
    this.#signal = signal;
    this.#given = timeoutMs;
    this.#endsAt = timeoutMs !== undefined && timeoutMs > 0 ? performance.now() + timeoutMs : Number.POSITIVE_INFINITY;
  }

  /** What is left for the transport, in ms. @throws ConnectError `DeadlineExceeded` */
  get timeoutMs(): number | undefined {
    if (this.#endsAt === Number.POSITIVE_INFINITY) return this.#given;
    const left = this.#endsAt - performance.now();
    // For a transport, 0 would mean that there is no end.
    if (left <= 0) throw timedOut();
    return Math.ceil(left);
  }

  /**
   * Waits no longer than the call may take.
   *
   * @param mostMs nor longer than that
   * @throws ConnectError `Canceled`, `DeadlineExceeded`; what `work` rejects with
   */
  async within<T>(work: Promise<T>, mostMs = Number.POSITIVE_INFINITY): Promise<T> {
    const signal = this.#signal;
    const leftMs = Math.min(this.#endsAt - performance.now(), mostMs);
    let stop = () => {};
    const over = new Promise<never>((_resolve, reject) => {
      const cancel = () => reject(ConnectError.from(signal?.reason, Code.Canceled));
      const timer = leftMs > LONGEST_TIMER_MS ? undefined : setTimeout(() => reject(timedOut()), leftMs);
      signal?.addEventListener('abort', cancel);
      if (signal?.aborted) cancel();
      stop = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', cancel);
      };
    });
    try {
      return await Promise.race([over, work]);
    } finally {
      stop();
    }
  }
}

function timedOut(): ConnectError {
  return new ConnectError('the operation timed out', Code.DeadlineExceeded);
}
