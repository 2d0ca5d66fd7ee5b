/** Seals and opens the calls of a page: one agreement session per recipient key, one object per call. */
import type { WebKeySource } from './recipient.js';

/** Options of {@link WebSealer}. */
export interface WebSealerOptions {
  readonly keys: WebKeySource;
  /**
   * Gives what the reply token of each call carries for the service's `authenticateCaller`, such as an access token:
   * at most a few hundred bytes. Default: nothing.
   *
   * @param method path, e.g. `/payments.v1.PaymentService/GetPayment`
   */
  readonly credential?: (method: string) => string | Promise<string>;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
  /** Monotonic clock in ms. Default `performance.now`. */
  readonly monotonicNow?: () => number;
}

/** Which call is sealed. */
export interface WebCall {
  /** Who owns the method; '' is the service itself. */
  readonly recipient: string;
  /** Path, e.g. `/payments.v1.PaymentService/GetPayment`. */
  readonly method: string;
}

/** A field to seal; a `SealedFieldPlan` is one. */
export interface WebSealedField {
  /** Full name, e.g. `payments.v1.AuthorizeRequest.card`. */
  readonly fullName: string;
  /** Who can open it; '' is the service itself. */
  readonly recipient: string;
  /** Longest inner message, in bytes. Default: the general limit. */
  readonly maxBytes?: number | undefined;
}

/** What was in a sealed reply. */
export interface OpenedWebReply {
  /** The encoded inner message. */
  readonly plaintext: Uint8Array;
  /** How it is encoded. */
  readonly cty: 'application/protobuf' | 'application/json';
}

/** One call: all its tokens to one recipient are of one agreement. */
export interface WebSealingCall {
  /**
   * @param inner the encoded inner message (protobuf)
   * @param bound the encoded bound siblings (`encodeBound`); undefined where the field binds none
   * @returns a compact JWE
   * @throws SealwireError `INNER_TOO_LARGE`, `HEADER_TOO_LARGE`; for another recipient those of {@link WebKeySource}
   */
  seal(field: WebSealedField, inner: Uint8Array, bound: Uint8Array | undefined): Promise<string>;
  /**
   * The reply token, once per call; asks for the credential.
   *
   * @param request the exact bytes of a single request message, or undefined: then the token is not tied to them
   * @throws SealwireError `INNER_TOO_LARGE`, `HEADER_TOO_LARGE`; what the credential function throws
   */
  replyToken(request: Uint8Array | undefined): Promise<string>;
  /**
   * Opens one reply. Replies are numbered: to be asked in the order they came; need not be awaited in between.
   *
   * @param bound as for {@link seal}, of the response message
   * @throws SealwireError a step code of `ReplyOpener`; `NO_REPLY_KEY` before {@link replyToken}
   */
  openReply(
    token: string,
    field: Pick<WebSealedField, 'fullName'>,
    bound: Uint8Array | undefined,
  ): Promise<OpenedWebReply>;
}

/** Seals calls. One for a page; several clients may share it. */
export class WebSealer {
  /** @throws SealwireError `OPTIONS_INVALID` */
  constructor(_options: WebSealerOptions) {}

  /** Whether there is a credential: then every call of a method with sealed fields carries a reply token. */
  get hasCredential(): boolean {
    throw new Error('not yet');
  }

  /**
   * Begins a call. Nothing is sent; the key of the method's owner and an agreement with it are at hand afterwards.
   *
   * @throws SealwireError those of {@link WebKeySource}, `CLOSED`
   */
  startCall(_call: WebCall): Promise<WebSealingCall> {
    throw new Error('not yet');
  }

  /** Looks for a newer key of a recipient, because the service refused the one that was used. */
  refresh(_recipient: string): Promise<void> {
    throw new Error('not yet');
  }

  /** Forgets all agreements; nothing can be sealed afterwards. */
  close(): void {}
}
