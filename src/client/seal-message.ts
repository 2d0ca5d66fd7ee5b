/** Seals every sealed field of one message into a copy; the caller's object is never modified. */
import { SealwireError } from '../errors.js';
import type { RecipientKey } from '../jwe/recipient.js';
import type { AgreementSession, SealingSessions } from '../jwe/sender.js';
import { looksLikeToken } from '../jwe/token.js';
import type { MessagePlan } from '../schema/plan.js';
import { encodeSite } from '../schema/seal-sites.js';
import { collectSealed, replaceSealed, type SealedSite } from '../schema/walk.js';
import { CallReplies } from './open-reply.js';

/** Keys by recipient name; '' is the service itself. */
export type RecipientKeys = ReadonlyMap<string, RecipientKey>;

/** Options of {@link MessageSealer}. */
export interface MessageSealerOptions {
  readonly sessions: SealingSessions;
  /** Whether what looks like a token goes out as it is in fields of the service too. Default false. */
  readonly forwardTokens?: boolean | undefined;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
}

/** Seals messages by plan. */
export class MessageSealer {
  readonly #sessions: SealingSessions;
  readonly #now: () => number;
  readonly #forwardTokens: boolean;

  constructor(options: MessageSealerOptions) {
    this.#sessions = options.sessions;
    this.#now = options.now ?? Date.now;
    this.#forwardTokens = options.forwardTokens ?? false;
  }

  /**
   * @param plan the message's sealed fields
   * @param message the opened message; never modified
   * @param keys a key for every recipient of the plan
   * @returns the message with tokens: at once when the agreement sessions are ready, else a promise
   * @throws SealwireError `FIELD_REQUIRED`, `TOO_MANY_TOKENS`, `INNER_TOO_LARGE`, `SEAL_INPUT`, with the field's path
   */
  seal(plan: MessagePlan, message: object, keys: RecipientKeys): object | Promise<object> {
    const sites = collectSealed(plan, message);
    const sessions = new Map<string, AgreementSession>();
    const pending: Promise<unknown>[] = [];
    for (const { field, value } of sites) {
      const { recipient } = field;
      if (sessions.has(recipient) || this.#isForwarded(recipient, value)) continue;
      const key = keys.get(recipient);
      if (key === undefined) throw new SealwireError('KEY_NOT_FOUND', `no key for recipient '${recipient}'`);
      const session = this.#sessions.acquire(key);
      if (session instanceof Promise) {
        const added = session.then((ready) => sessions.set(recipient, ready));
        // Should a later recipient fail at once, this one's failure must not go unhandled.
        added.catch(() => {});
        pending.push(added);
      } else {
        sessions.set(recipient, session);
      }
    }
    if (pending.length === 0) return this.#sealAll(plan, message, sites, sessions);
    return Promise.all(pending).then(() => this.#sealAll(plan, message, sites, sessions));
  }

  /**
   * Begins the replies of a call.
   *
   * @param key the service's own
   * @param credential for the service's `authenticateCaller`; may be empty
   */
  beginReplies(key: RecipientKey, credential: Uint8Array): CallReplies | Promise<CallReplies> {
    const begin = (session: AgreementSession) => {
      return CallReplies.begin(session, credential, Math.floor(this.#now() / 1000));
    };
    const session = this.#sessions.acquire(key);
    return session instanceof Promise ? session.then(begin) : begin(session);
  }

  /** A token for another recipient always is. */
  #isForwarded(recipient: string, value: unknown): value is string {
    if (typeof value !== 'string') return false;
    return recipient !== '' || (this.#forwardTokens && looksLikeToken(value));
  }

  #sealAll(
    plan: MessagePlan,
    message: object,
    sites: readonly SealedSite[],
    sessions: ReadonlyMap<string, AgreementSession>,
  ): object {
    const iat = Math.floor(this.#now() / 1000);
    const tokens = sites.map((site) => {
      const { field, value } = site;
      return this.#isForwarded(field.recipient, value) ? value : sealSite(site, sessions.get(field.recipient), iat);
    });
    return replaceSealed(plan, message, sites, tokens, { absent: '' });
  }
}

function sealSite(site: SealedSite, session: AgreementSession | undefined, iat: number): string {
  const { field, path } = site;
  if (session === undefined) {
    throw new SealwireError('SEAL_INPUT', `${path} must be a ${field.codec.typeName}`, { path });
  }
  return encodeSite(site, session, iat);
}
