/** The client's half of sealed responses: the reply token it sends, and opening what comes back. */
import { createSecretKey } from 'node:crypto';
import { SealwireError, withPath } from '../errors.js';
import { ReplyOpener } from '../jwe/reply.js';
import { ReplyKey } from '../jwe/reply-key.js';
import type { AgreementSession } from '../jwe/sender.js';
import { sha256 } from '../jwe/sha256.js';
import { DEFAULT_LIMITS } from '../profile/limits.js';
import { REPLY_FIELD } from '../profile/replies.js';
import type { ReplyCall } from '../profile/seal-parameters.js';
import { decodeInner, expectationOf, putOpened } from '../schema/open-sites.js';
import type { MessagePlan } from '../schema/plan.js';
import { collectSealed, type SealedSite } from '../schema/walk.js';

/** A response meant for others only: its tokens stay, its absent fields become undefined. */
export function keepTokens(plan: MessagePlan, message: object): object {
  const sites = collectSealed(plan, message);
  return putOpened(
    plan,
    message,
    sites,
    sites.map(({ value }) => value),
  );
}

/** The replies of one call, outside of the process that made it. */
export interface SavedReplies {
  readonly token: string;
  /** `kid` of the replies. */
  readonly kid: string;
  /** 32 bytes that open every reply of the agreement. */
  readonly key: Uint8Array;
}

/** The replies of one call. */
export class CallReplies {
  /** Goes into the metadata `sealwire-reply`. */
  readonly token: string;
  readonly #opener: ReplyOpener;

  readonly #key: ReplyKey;

  /** @param token the reply token that was made with the key's agreement */
  constructor(key: ReplyKey, token: string) {
    this.token = token;
    this.#key = key;
    this.#opener = new ReplyOpener(key, token, DEFAULT_LIMITS);
  }

  /**
   * Makes the reply token of a call.
   *
   * @param session the agreement; its key for replies lives as long as the call
   * @param credential sealed into the token, for the service's `authenticateCaller`
   * @param call what the token is good for
   * @param iat seconds since 1970
   */
  static begin(session: AgreementSession, credential: Uint8Array, call: ReplyCall, iat: number): CallReplies {
    const token = session.seal(credential, { field: REPLY_FIELD, cty: 'application/protobuf', iat, call });
    return new CallReplies(session.replyKey, token);
  }

  /** What opens the replies of this call later, in another process: the key is a secret. */
  export(): SavedReplies {
    return { token: this.token, kid: this.#key.kid, key: this.#key.export() };
  }

  /** From what {@link export} gave; replies are counted from the first again. */
  static restore({ token, kid, key }: SavedReplies): CallReplies {
    return new CallReplies(new ReplyKey(createSecretKey(key), kid), token);
  }

  /**
   * Opens one response. Messages must be given in the order they came: replies are numbered.
   *
   * @returns a copy with inner messages; fields for a named recipient stay tokens
   * @throws SealwireError with the path: a step code of `ReplyOpener`, `INNER_DECODE`, `FIELD_REQUIRED`
   */
  open(plan: MessagePlan, message: object): object {
    const sites = collectSealed(plan, message);
    if (sites.length > DEFAULT_LIMITS.tokensPerMessage) throw new SealwireError('TOO_MANY_TOKENS', 'too many tokens');
    const values = sites.map((site) => (site.field.recipient === '' ? this.#openSite(site) : site.value));
    return putOpened(plan, message, sites, values);
  }

  #openSite(site: SealedSite): object {
    const { value, path } = site;
    if (typeof value !== 'string') throw new SealwireError('TOKEN_ENCODING', 'not a token', { path });
    try {
      const { plaintext, cty } = this.#opener.open(value, expectationOf(site, sha256));
      return decodeInner(site, plaintext, cty);
    } catch (error) {
      throw withPath(error, path);
    }
  }
}
