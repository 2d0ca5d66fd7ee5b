/** Seals every sealed field of one message into a copy; the caller's object is never modified. */
import { SealwireError } from '../errors.js';
import type { RecipientKey } from '../jwe/recipient.js';
import type { AgreementSession, SealingSessions } from '../jwe/sender.js';
import { sha256 } from '../jwe/sha256.js';
import type { ReplyCall } from '../profile/seal-parameters.js';
import { looksLikeToken } from '../profile/token-form.js';
import type { MessagePlan } from '../schema/plan.js';
import { encodeSite, forwardedToken } from '../schema/seal-sites.js';
import { collectToSeal, replaceSealed, type SealedSite } from '../schema/walk.js';
import { CallReplies } from './open-reply.js';

/** Keys by recipient name; '' is the service itself. */
export type RecipientKeys = ReadonlyMap<string, RecipientKey>;

/** Gives such keys when something is sealed to them, at once where they are at hand. */
export interface KeyLookup {
  get(recipient: string): RecipientKey | Promise<RecipientKey> | undefined;
}

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
   * @param keys asked for the recipients of what is in the message
   * @returns the message with tokens: at once when the agreement sessions are ready, else a promise
   * @throws SealwireError `FIELD_REQUIRED`, `TOO_MANY_TOKENS`, `INNER_TOO_LARGE`, `SEAL_INPUT`, with the field's path
   */
  seal(plan: MessagePlan, message: object, keys: KeyLookup): object | Promise<object> {
    const sites = collectToSeal(plan, message);
    const sessions = new Map<string, AgreementSession>();
    const pending: Promise<unknown>[] = [];
    this.#forEachKey(sites, keys, (recipient, key) => {
      const acquire = (ready: RecipientKey) => this.#sessions.acquire(ready);
      const session = key instanceof Promise ? key.then(acquire) : acquire(key);
      if (!(session instanceof Promise)) {
        sessions.set(recipient, session);
        return;
      }
      const added = session.then((ready) => sessions.set(recipient, ready));
      // If a later recipient fails at once, this one's failure must not go unhandled.
      added.catch(() => {});
      pending.push(added);
    });
    if (pending.length === 0) return this.#sealAll(plan, message, sites, sessions);
    return Promise.all(pending).then(() => this.#sealAll(plan, message, sites, sessions));
  }

  /**
   * As {@link seal}, if it can be done at once.
   *
   * @returns undefined when a key or an agreement has to be waited for; none is begun
   */
  sealNow(plan: MessagePlan, message: object, keys: KeyLookup): object | undefined {
    const sites = collectToSeal(plan, message);
    const sessions = new Map<string, AgreementSession>();
    let isReady = true;
    this.#forEachKey(sites, keys, (recipient, key) => {
      // Whoever asks for it again gets its error.
      if (key instanceof Promise) key.catch(() => {});
      const session = key instanceof Promise ? undefined : this.#sessions.acquireNow(key);
      if (session === undefined) isReady = false;
      else sessions.set(recipient, session);
    });
    return isReady ? this.#sealAll(plan, message, sites, sessions) : undefined;
  }

  /**
   * Begins the replies of a call.
   *
   * @param key the service's own
   * @param credential for the service's `authenticateCaller`; may be empty
   * @param call what the reply token is good for
   */
  beginReplies(key: RecipientKey, credential: Uint8Array, call: ReplyCall): CallReplies | Promise<CallReplies> {
    const begin = (session: AgreementSession) => CallReplies.begin(session, credential, call, this.#seconds());
    const session = this.#sessions.acquire(key);
    return session instanceof Promise ? session.then(begin) : begin(session);
  }

  /** As {@link beginReplies}, for later; undefined when an agreement has to be waited for. */
  prepareReplies(key: RecipientKey): ((credential: Uint8Array, call: ReplyCall) => CallReplies) | undefined {
    const session = this.#sessions.acquireNow(key);
    return session && ((credential, call) => CallReplies.begin(session, credential, call, this.#seconds()));
  }

  /** The key of each recipient that something is sealed to. */
  #forEachKey(
    sites: readonly SealedSite[],
    keys: KeyLookup,
    visit: (recipient: string, key: RecipientKey | Promise<RecipientKey>) => void,
  ): void {
    const visited = new Set<string>();
    for (const site of sites) {
      const { recipient } = site.field;
      if (visited.has(recipient) || this.#forwarded(site) !== undefined) continue;
      const key = keys.get(recipient);
      if (key === undefined) throw new SealwireError('KEY_NOT_FOUND', `no key for recipient '${recipient}'`);
      visited.add(recipient);
      visit(recipient, key);
    }
  }

  #seconds(): number {
    return Math.floor(this.#now() / 1000);
  }

  /** The token that goes out as it is; one for another recipient always does. */
  #forwarded(site: SealedSite): string | undefined {
    const { value } = site;
    const isToken = this.#forwardTokens && typeof value === 'string' && looksLikeToken(value);
    return isToken ? value : forwardedToken(site);
  }

  #sealAll(
    plan: MessagePlan,
    message: object,
    sites: readonly SealedSite[],
    sessions: ReadonlyMap<string, AgreementSession>,
  ): object {
    const iat = this.#seconds();
    const tokens = sites.map(
      (site) => this.#forwarded(site) ?? sealSite(site, sessions.get(site.field.recipient), iat),
    );
    return replaceSealed(plan, message, sites, tokens, { absent: '' });
  }
}

function sealSite(site: SealedSite, session: AgreementSession | undefined, iat: number): string {
  const { field, path } = site;
  if (session === undefined) {
    throw new SealwireError('SEAL_INPUT', `${path} must be a ${field.codec.typeName}`, { path });
  }
  return encodeSite(site, session, iat, sha256);
}
