/** The client's half of sealed responses: the reply token it sends, and opening what comes back. */
import { SealwireError } from '../errors.js';
import { type OpenLimits, resolveLimits } from '../jwe/limits.js';
import { REPLY_FIELD, ReplyOpener } from '../jwe/reply.js';
import type { AgreementSession } from '../jwe/sender.js';
import { decodeInner, expectationOf, putOpened } from '../schema/open-sites.js';
import type { MessagePlan } from '../schema/plan.js';
import { collectSealed, type SealedSite } from '../schema/walk.js';

const limits: OpenLimits = resolveLimits();

/** A response that is for others only: its tokens stay, its absent fields become undefined. */
export function keepTokens(plan: MessagePlan, message: object): object {
  const sites = collectSealed(plan, message);
  return putOpened(
    plan,
    message,
    sites,
    sites.map(({ value }) => value),
  );
}

/** The replies of one call. */
export class CallReplies {
  /** Goes into the metadata `sealwire-reply`. */
  readonly token: string;
  readonly #opener: ReplyOpener;

  /**
   * @param session the agreement; its key for replies lives as long as the call
   * @param credential sealed into the token, for the service's `authenticateCaller`
   * @param iat seconds since 1970
   */
  constructor(session: AgreementSession, credential: Uint8Array, iat: number) {
    this.token = session.seal(credential, { field: REPLY_FIELD, cty: 'application/protobuf', iat });
    this.#opener = new ReplyOpener(session.replyKey, this.token, limits);
  }

  /**
   * Opens one response. Messages must be given in the order they came: replies are numbered.
   *
   * @returns a copy with inner messages; fields for a named recipient stay tokens
   * @throws SealwireError with the path: a step code of `ReplyOpener`, `INNER_DECODE`, `FIELD_REQUIRED`
   */
  open(plan: MessagePlan, message: object): object {
    const sites = collectSealed(plan, message);
    if (sites.length > limits.tokensPerMessage) throw new SealwireError('TOO_MANY_TOKENS', 'too many tokens');
    const values = sites.map((site) => (site.field.recipient === '' ? this.#openSite(site) : site.value));
    return putOpened(plan, message, sites, values);
  }

  #openSite(site: SealedSite): object {
    const { value, path } = site;
    if (typeof value !== 'string') throw new SealwireError('TOKEN_ENCODING', 'not a token', { path });
    try {
      const { plaintext, cty } = this.#opener.open(value, expectationOf(site));
      return decodeInner(site, plaintext, cty);
    } catch (error) {
      if (!(error instanceof SealwireError) || error.path !== undefined) throw error;
      throw new SealwireError(error.code, error.message, { path });
    }
  }
}
