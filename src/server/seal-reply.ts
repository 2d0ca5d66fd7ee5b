/** Seals the sealed fields of one response: for the caller with its reply agreement, for others with their keys. */
import { SealwireError } from '../errors.js';
import type { RecipientKey } from '../jwe/recipient.js';
import type { ReplySealer } from '../jwe/reply.js';
import type { AgreementSession, SealingSessions } from '../jwe/sender.js';
import type { KeySource } from '../keys/key-source.js';
import type { MessagePlan } from '../schema/plan.js';
import { encodeSite } from '../schema/seal-sites.js';
import { collectSealed, replaceSealed, type SealedSite } from '../schema/walk.js';
import type { AuditInput } from './audit-sink.js';
import { type CallFacts, createRecord, describeField } from './records.js';

/** Options of {@link MessageReplier}. */
export interface MessageReplierOptions {
  /** Public keys of named recipients. */
  readonly keys: KeySource;
  /** Agreements with them. */
  readonly sessions: () => SealingSessions;
  /** Clock in ms since 1970. */
  readonly now: () => number;
}

/** A response as it goes to the wire, and the record that must be durable before it goes. */
export interface SealedReply {
  readonly message: object;
  /** Undefined when there was nothing to seal. */
  readonly record: AuditInput | undefined;
}

/** Seals responses by plan. */
export class MessageReplier {
  readonly #options: MessageReplierOptions;

  constructor(options: MessageReplierOptions) {
    this.#options = options;
  }

  /**
   * @param plan the response's sealed fields
   * @param message the handler's message; never modified
   * @param sealer the call's, for fields without a named recipient
   * @returns at once unless the key of a named recipient has to be waited for
   * @throws SealwireError `FIELD_REQUIRED`, `SEAL_INPUT`, `INNER_TOO_LARGE`, `NO_REPLY_KEY`, with the field's path
   */
  seal(
    plan: MessagePlan,
    message: object,
    sealer: ReplySealer | undefined,
    call: CallFacts,
  ): SealedReply | Promise<SealedReply> {
    const startedAt = performance.now();
    const sites = collectSealed(plan, message);
    const named = sites.filter(({ field, value }) => field.recipient !== '' && typeof value !== 'string');
    const finish = (sessions: ReadonlyMap<string, AgreementSession>): SealedReply => {
      const iat = Math.floor(this.#options.now() / 1000);
      const tokens = sites.map((site) => sealSite(site, sessions, sealer, iat));
      const sealed = replaceSealed(plan, message, sites, tokens, { absent: '' });
      return { message: sealed, record: createSealRecord(sites, tokens, call, startedAt) };
    };
    if (named.length === 0) return finish(new Map());
    const recipients = [...new Set(named.map(({ field }) => field.recipient))];
    return this.#findSessions(recipients).then(finish);
  }

  async #findSessions(recipients: readonly string[]): Promise<ReadonlyMap<string, AgreementSession>> {
    const { keys, sessions } = this.#options;
    const entries = recipients.map(async (recipient): Promise<[string, AgreementSession]> => {
      const key: RecipientKey = await keys.current(recipient);
      return [recipient, await sessions().acquire(key)];
    });
    return new Map(await Promise.all(entries));
  }
}

function sealSite(
  site: SealedSite,
  sessions: ReadonlyMap<string, AgreementSession>,
  sealer: ReplySealer | undefined,
  iat: number,
): string {
  const { field, value, path } = site;
  // A token for another recipient is forwarded as it is.
  if (typeof value === 'string' && field.recipient !== '') return value;
  const target = field.recipient === '' ? sealer : sessions.get(field.recipient);
  if (target === undefined) throw new SealwireError('NO_REPLY_KEY', 'no agreement to seal with', { path });
  return encodeSite(site, target, iat);
}

function createSealRecord(
  sites: readonly SealedSite[],
  tokens: readonly string[],
  call: CallFacts,
  startedAt: number,
): AuditInput | undefined {
  if (sites.length === 0) return undefined;
  const fields = sites.map((site, index) =>
    describeField(
      site,
      tokens[index] as string,
      undefined,
      typeof site.value === 'string' ? 'passed' : 'sealed',
      '',
      !site.field.transient,
    ),
  );
  return createRecord('seal', call, fields, '', startedAt);
}
