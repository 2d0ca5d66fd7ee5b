/** Seals and opens the calls of a page: one agreement session per recipient key, one object per call. */
import { SealwireError } from '../../errors.js';
import { REPLY_FIELD } from '../../profile/replies.js';
import { DEFAULT_BOUNDS, Sessions } from '../../profile/sessions.js';
import { agree } from './agreement.js';
import type { WebKeySource, WebRecipientKey } from './recipient.js';
import { type OpenedWebReply, WebReplyOpener } from './reply.js';
import { WebSession } from './session.js';
import { checkPlatform, sha256, utf8 } from './subtle.js';

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
  /** Whether there is a credential: then every call of a method with sealed fields carries a reply token. */
  readonly hasCredential: boolean;
  readonly #keys: WebKeySource;
  readonly #credential: (method: string) => string | Promise<string>;
  readonly #now: () => number;
  readonly #sessions: Sessions<WebRecipientKey, WebSession>;

  /** @throws SealwireError `OPTIONS_INVALID` where there is no WebCrypto */
  constructor({ keys, credential, now = Date.now, monotonicNow }: WebSealerOptions) {
    checkPlatform();
    this.hasCredential = credential !== undefined;
    this.#keys = keys;
    this.#credential = credential ?? (() => '');
    this.#now = now;
    this.#sessions = new Sessions<WebRecipientKey, WebSession>({
      bounds: DEFAULT_BOUNDS,
      monotonicNow,
      async agree(key) {
        const agreement = await agree(key);
        return (observe) => new WebSession(agreement, observe);
      },
    });
  }

  /**
   * Begins a call. Nothing is sent; the key of the method's owner and an agreement with it are at hand afterwards.
   *
   * @throws SealwireError those of {@link WebKeySource}, `CLOSED`
   */
  async startCall({ recipient, method }: WebCall): Promise<WebSealingCall> {
    const owner = await this.#acquire(recipient);
    /** Of each recipient: sessions end between messages only. */
    const sessions = new Map([[recipient, Promise.resolve(owner)]]);
    let replies: WebReplyOpener | undefined;
    const seconds = () => Math.floor(this.#now() / 1000);
    const cty = 'application/protobuf';
    return {
      seal: async (field, inner, bound) => {
        const session = sessions.get(field.recipient) ?? this.#acquire(field.recipient);
        sessions.set(field.recipient, session);
        const [ready, bnd] = await Promise.all([session, bound && sha256(bound)]);
        return ready.seal(inner, { field: field.fullName, cty, bound: bnd, iat: seconds() }, field.maxBytes);
      },
      replyToken: async (request) => {
        const [credential, req] = await Promise.all([this.#credential(method), request && sha256(request)]);
        const parameters = { field: REPLY_FIELD, cty, call: { mth: method, req }, iat: seconds() } as const;
        const token = await owner.seal(utf8.encode(credential), parameters);
        replies = await WebReplyOpener.create(owner.replyKey, token);
        return token;
      },
      openReply: async (token, { fullName }, bound) => {
        if (replies === undefined) throw new SealwireError('NO_REPLY_KEY', 'the call has no reply token');
        return replies.open(token, fullName, bound);
      },
    };
  }

  /** Looks for a newer key of a recipient, because the service refused the one that was used. */
  refresh(recipient: string): Promise<void> {
    return this.#keys.refresh(recipient);
  }

  /** Forgets all agreements; no call can be begun afterwards. */
  close(): Promise<void> {
    return this.#sessions.close();
  }

  async #acquire(recipient: string): Promise<WebSession> {
    return this.#sessions.acquire(await this.#keys.current(recipient));
  }
}
