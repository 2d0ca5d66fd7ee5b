/** Seals every sealed field of one message into a copy; the caller's object is never modified. */
import { SealwireError } from '../errors.js';
import type { RecipientKey } from '../jwe/recipient.js';
import type { AgreementSession, SealingSessions } from '../jwe/sender.js';
import { boundDigest } from '../schema/binding.js';
import type { MessagePlan } from '../schema/plan.js';
import { collectSealed, replaceSealed, type SealedSite } from '../schema/walk.js';

/** Keys by recipient name; '' is the service itself. */
export type RecipientKeys = ReadonlyMap<string, RecipientKey>;

/** Options of {@link MessageSealer}. */
export interface MessageSealerOptions {
  readonly sessions: SealingSessions;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
}

/** Seals messages by plan. */
export class MessageSealer {
  readonly #sessions: SealingSessions;
  readonly #now: () => number;

  constructor(options: MessageSealerOptions) {
    this.#sessions = options.sessions;
    this.#now = options.now ?? Date.now;
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
      // A token for another recipient is forwarded as it is.
      if (sessions.has(recipient) || (recipient !== '' && typeof value === 'string')) continue;
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

  #sealAll(
    plan: MessagePlan,
    message: object,
    sites: readonly SealedSite[],
    sessions: ReadonlyMap<string, AgreementSession>,
  ): object {
    const iat = Math.floor(this.#now() / 1000);
    const tokens = sites.map((site) => sealSite(site, sessions.get(site.field.recipient), iat));
    return replaceSealed(plan, message, sites, tokens, { absent: '' });
  }
}

function sealSite(site: SealedSite, session: AgreementSession | undefined, iat: number): string {
  const { field, value, holder, path } = site;
  if (typeof value === 'string' && field.recipient !== '') return value;
  if (session === undefined || typeof value !== 'object' || value === null) {
    throw new SealwireError('SEAL_INPUT', `${path} must be a ${field.codec.typeName}`, { path });
  }
  let plaintext: Uint8Array;
  try {
    plaintext = field.codec.encode(value);
  } catch {
    // The encoder's message may quote the value: it must not become a cause.
    throw new SealwireError('SEAL_INPUT', `${path} is not a valid ${field.codec.typeName}`, { path });
  }
  const bound = boundDigest(field, holder);
  try {
    return session.seal(plaintext, { field: field.fullName, cty: 'application/protobuf', iat, bound });
  } catch (error) {
    if (!(error instanceof SealwireError)) throw error;
    throw new SealwireError(error.code, error.message, { path });
  }
}
