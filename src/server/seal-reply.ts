/** Seals the sealed fields of one response: for the caller with its reply agreement, for others with their keys. */
import { SealwireError } from '../errors.js';
import type { Grant } from '../jwe/grant.js';
import type { RecipientKey } from '../jwe/recipient.js';
import type { ReplySealer } from '../jwe/reply.js';
import type { AgreementSession, SealingSessions } from '../jwe/sender.js';
import { sha256 } from '../jwe/sha256.js';
import type { KeySource } from '../keys/key-source.js';
import type { MessagePlan } from '../schema/plan.js';
import { encodeSite, forwardedToken } from '../schema/seal-sites.js';
import { collectToSeal, replaceSealed, type SealedSite } from '../schema/walk.js';
import type { CallRecord } from './audit-sink.js';
import type { Granter, GrantMaker, Grants } from './granter.js';
import { type CallFacts, createRecord, describeField } from './records.js';

/** Options of {@link MessageReplier}. */
export interface MessageReplierOptions {
  /** Public keys of named recipients. */
  readonly keys: KeySource;
  /** Agreements with them. */
  readonly sessions: () => SealingSessions;
  /** Clock in ms since 1970. */
  readonly now: () => number;
  /** Makes grants for a reviewer. Default: there is none. */
  readonly granter?: Granter | undefined;
}

/** A response as it goes to the wire, and the record that must be durable before it goes. */
export interface SealedReply {
  readonly message: object;
  /** Undefined when there was nothing to seal. */
  readonly record: CallRecord | undefined;
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
    const sites = collectToSeal(plan, message);
    const named = sites.filter((site) => site.field.recipient !== '' && forwardedToken(site) === undefined);
    const finish = (sessions: ReadonlyMap<string, AgreementSession>, maker: GrantMaker | undefined): SealedReply => {
      const iat = Math.floor(this.#options.now() / 1000);
      const grants = sites.map(({ field }) => (field.transient ? undefined : maker?.createGrant()));
      const tokens = sites.map((site, index) => sealSite(site, sessions, sealer, iat, grants[index]));
      const sealed = replaceSealed(plan, message, sites, tokens, { absent: '' });
      return { message: sealed, record: createSealRecord(sites, tokens, grants, call, startedAt) };
    };
    const maker = sites.length === 0 ? undefined : this.#options.granter?.();
    if (named.length === 0 && !(maker instanceof Promise)) return finish(new Map(), maker);
    const recipients = [...new Set(named.map(({ field }) => field.recipient))];
    return Promise.all([this.#findSessions(recipients), maker]).then((ready) => finish(...ready));
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
  grant: Grant | undefined,
): string {
  const { field, path } = site;
  const forwarded = forwardedToken(site);
  if (forwarded !== undefined) return forwarded;
  const target = field.recipient === '' ? sealer : sessions.get(field.recipient);
  if (target === undefined) throw new SealwireError('NO_REPLY_KEY', 'no agreement to seal with', { path });
  if (grant === undefined) return encodeSite(site, target, iat, sha256);
  return encodeSite(site, { seal: (plaintext, parameters) => target.seal(plaintext, parameters, grant) }, iat, sha256);
}

function createSealRecord(
  sites: readonly SealedSite[],
  tokens: readonly string[],
  grants: Grants,
  call: CallFacts,
  startedAt: number,
): CallRecord | undefined {
  if (sites.length === 0) return undefined;
  const fields = sites.map((site, index) =>
    describeField(site, tokens[index] as string, {
      outcome: typeof site.value === 'string' ? 'passed' : 'sealed',
      grant: grants[index]?.text,
    }),
  );
  return createRecord('seal', call, fields, '', startedAt);
}
