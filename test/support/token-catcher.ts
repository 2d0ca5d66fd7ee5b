/** Sees the tokens that a client sends, and seals more with the very agreement that made them. */
import type { InterceptingCall as Call, Interceptor } from '@grpc/grpc-js';
import { InterceptingCall } from '@grpc/grpc-js';
import type { AuthorizeRequest } from '../../src/gen/payments/v1/payments.js';
import { peekHeader } from '../../src/jwe/header.js';

type Sent = Partial<AuthorizeRequest>;

export class TokenCatcher {
  readonly sent: Sent[] = [];

  /** For a client's `wireInterceptors`. */
  readonly interceptor: Interceptor = (options, nextCall): Call =>
    new InterceptingCall(nextCall(options), {
      sendMessage: (message: Sent, next) => {
        if (message.card) this.sent.push(message);
        next(message);
      },
    });

  static kidOf(token: string): string {
    return peekHeader(token).kid ?? '';
  }

  /** Of the cards sent so far, in their order. */
  get kids(): string[] {
    return this.sent.map(({ card }) => TokenCatcher.kidOf(card ?? ''));
  }
}
