/** How many streams of a kind one caller may have open: each of them holds something until it ends. */
import type { ServerWritableStream } from '@grpc/grpc-js';
import { askCaller, type CallerFunction, createAccount, createCaller, identityOf, peerAddress } from '../caller.js';

type Stream = Pick<ServerWritableStream<unknown, unknown>, 'getAuthContext' | 'getPeer' | 'metadata'> & {
  once(event: 'cancelled', listener: () => void): unknown;
};

/** Counts open streams by account. */
export class StreamShares {
  readonly #most: number;
  readonly #caller: CallerFunction;
  readonly #open = new Map<string, number>();

  /**
   * @param most streams of one account
   * @param caller whose a stream is. Default: as the open interceptor's
   */
  constructor(most: number, caller: CallerFunction = createCaller()) {
    this.#most = most;
    this.#caller = caller;
  }

  /** Counts a stream until it has ended. @returns false for one more than its caller may have, which is not counted */
  take(call: Stream): boolean {
    const account = this.#accountOf(call);
    const open = this.#open.get(account) ?? 0;
    if (open >= this.#most) return false;
    this.#open.set(account, open + 1);
    // Every stream ends with this, when all has been sent or the connection is gone. Until then it holds an answer.
    call.once('cancelled', () => {
      const left = (this.#open.get(account) as number) - 1;
      if (left === 0) this.#open.delete(account);
      else this.#open.set(account, left);
    });
    return true;
  }

  #accountOf(call: Stream): string {
    const certificate = call.getAuthContext().sslPeerCertificate;
    const peer = call.getPeer();
    try {
      const tlsIdentity = certificate && identityOf(certificate);
      return askCaller(this.#caller, { peer, metadata: call.metadata, tlsIdentity }).account;
    } catch {
      return createAccount('address', peerAddress(peer));
    }
  }
}
