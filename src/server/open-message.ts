/**
 * Opens every sealed field of one received message. Checks 1–4 pass for all of its tokens before an
 * agreement (check 5) is made for any; the record is durable before the opened message exists
 * outside this function.
 */
import { SealwireError, withPath } from '../errors.js';
import type { CallerRate } from '../jwe/agreements/caller-rate.js';
import type { Grant } from '../jwe/grant.js';
import type { TokenOpener } from '../jwe/opener.js';
import { sha256 } from '../jwe/sha256.js';
import type { ParsedToken } from '../jwe/token.js';
import { takeMessage } from '../schema/guarded-messages.js';
import { decodeInner, expectationOf, putOpened } from '../schema/open-sites.js';
import type { MessagePlan } from '../schema/plan.js';
import { type Validators, validateInner } from '../schema/validation.js';
import { collectSealed, type SealedSite } from '../schema/walk.js';
import type { AuditSink, CallRecord } from './audit-sink.js';
import type { Granter, GrantMaker } from './granter.js';
import { type CallFacts, createRecord, createRejectRecord, describeField } from './records.js';
import type { GuardedToken } from './replay/replay-guard.js';

export type { CallFacts } from './records.js';

/** Makes tokens single-use (check 8). */
export interface TokenGuard {
  /**
   * Claims all tokens of one message, or none.
   *
   * @param paths of the tokens, for the error
   * @param account whose tokens they are
   * @throws SealwireError `REPLAYED`, `TOKEN_STALE`, `REPLAY_STORE_FULL`
   */
  claim(tokens: readonly GuardedToken[], paths: readonly string[], account: string): void | Promise<void>;
  /** Gives back what was claimed for a message that was not delivered. */
  release(tokens: readonly GuardedToken[], account: string): void | Promise<void>;
}

/** Options of {@link MessageOpener}. */
export interface MessageOpenerOptions {
  readonly tokenOpener: TokenOpener;
  readonly audit: AuditSink;
  /** Recipient names that are this service; fields for others stay tokens. The empty name always is. */
  readonly recipients?: readonly string[];
  /** Default: tokens can be used again. */
  readonly guard?: TokenGuard | undefined;
  /** Messages that hold many others, by caller. Default: any number. */
  readonly messageRate?: CallerRate | undefined;
  /** Default: none. */
  readonly validators?: Validators | undefined;
  /** Makes grants for a reviewer. Default: there is none. */
  readonly granter?: Granter | undefined;
}

/** How one method's messages are opened. */
export interface OpenMode {
  /** Whether its tokens are used up. */
  readonly singleUse: boolean;
  /** Asked before work that takes time: a call that has ended needs none. */
  readonly ended: () => boolean;
}

/** A sealed field on its way from token to inner message. */
interface Opening {
  readonly site: SealedSite;
  readonly token: string;
  /** False: for another recipient, stays a token. */
  readonly ours: boolean;
  parsed: ParsedToken | undefined;
  grant: Grant | undefined;
}

/** Opens messages by plan; stateless apart from the opener's cache. */
export class MessageOpener {
  readonly #tokenOpener: TokenOpener;
  readonly #audit: AuditSink;
  readonly #recipients: ReadonlySet<string>;
  readonly #guard: TokenGuard | undefined;
  readonly #messageRate: CallerRate | undefined;
  readonly #validators: Validators;
  readonly #granter: Granter | undefined;

  constructor(options: MessageOpenerOptions) {
    this.#tokenOpener = options.tokenOpener;
    this.#audit = options.audit;
    this.#recipients = new Set(['', ...(options.recipients ?? [])]);
    this.#guard = options.guard;
    this.#messageRate = options.messageRate;
    this.#validators = options.validators ?? {};
    this.#granter = options.granter;
  }

  /**
   * @param plan the message's sealed fields
   * @param received the message with its tokens, as it was deserialized; never modified
   * @param call whose message it is
   * @param mode how the method's messages are opened. Default: single-use, never ended
   * @returns a copy with inner messages in place of tokens; the message itself when nothing is sealed
   * @throws SealwireError with a step code and the path of the field; the refusal is already noted
   */
  async open(plan: MessagePlan, received: object, call: CallFacts, mode: OpenMode = SINGLE_USE): Promise<object> {
    const startedAt = performance.now();
    let openings: Opening[] = [];
    try {
      const { tokensPerMessage, messagesPerMessage } = this.#tokenOpener;
      const message = this.#take(received, call);
      // Counted while they are found: a message with a million bad tokens costs no more than one with the limit.
      const sitesFound = collectSealed(plan, message, tokensPerMessage, messagesPerMessage + 1);
      openings = sitesFound.map((site) => this.#begin(site));
      const sealed = openings.filter((opening) => opening.ours);
      if (openings.length === 0) return putOpened(plan, message, [], []);
      for (const { site, token, ours } of openings) if (!ours) at(site, () => this.#tokenOpener.checkForm(token));
      const decrypt = () => this.#decryptAll(sealed, call.account);
      const plaintexts = sealed.length === 0 ? [] : await this.#tokenOpener.withNewKeys(decrypt);
      if (mode.ended()) return message;
      const values = this.#decodeAll(openings, plaintexts);
      const record = openRecord(openings, call, startedAt);
      if (this.#guard === undefined || !mode.singleUse || sealed.length === 0) await this.#audit.commit(record);
      else await this.#commitOnce(this.#guard, sealed, record, call.account);
      const sites = openings.map(({ site }) => site);
      return putOpened(plan, message, sites, values);
    } catch (error) {
      this.#audit.note(rejectRecord(error, openings, call, startedAt));
      throw error;
    }
  }

  /**
   * Takes a message without sealed fields: what it holds costs as much as in one that has some.
   *
   * @returns the decoded message
   * @throws SealwireError as {@link takeMessage}; the refusal is already noted
   */
  take(received: object, call: CallFacts): object {
    const startedAt = performance.now();
    try {
      return this.#take(received, call);
    } catch (error) {
      this.#audit.note(createRejectRecord(error, call, startedAt, () => []));
      throw error;
    }
  }

  #take(received: object, { account }: CallFacts): object {
    const charge = (count: number) => this.#messageRate?.take(account, count);
    return takeMessage(received, this.#tokenOpener.messagesPerMessage, charge);
  }

  #begin(site: SealedSite): Opening {
    if (typeof site.value !== 'string') throw new SealwireError('TOKEN_ENCODING', 'not a token', { path: site.path });
    const ours = this.#recipients.has(site.field.recipient);
    return { site, token: site.value, ours, parsed: undefined, grant: undefined };
  }

  #decryptAll(sealed: readonly Opening[], caller: string): Promise<Buffer[]> | Buffer[] {
    const tokens: ParsedToken[] = [];
    for (const opening of sealed) {
      const { site, token } = opening;
      opening.parsed = at(site, () => this.#tokenOpener.check(token, expectationOf(site, sha256)));
      tokens.push(opening.parsed);
    }
    this.#tokenOpener.checkMessage(tokens);
    const maker = this.#granter?.();
    if (maker instanceof Promise) return maker.then((ready) => this.#openAll(sealed, tokens, caller, ready));
    return this.#openAll(sealed, tokens, caller, maker);
  }

  #openAll(
    sealed: readonly Opening[],
    tokens: readonly ParsedToken[],
    caller: string,
    maker: GrantMaker | undefined,
  ): Promise<Buffer[]> | Buffer[] {
    const opened = sealed.map((opening, index) => {
      // What is not kept must not be opened later either.
      if (!opening.site.field.transient) opening.grant = maker?.createGrant();
      return at(opening.site, () => this.#tokenOpener.open(tokens[index]!, caller, 'wire', opening.grant));
    });
    const allReady = opened.every((plaintext): plaintext is Buffer => Buffer.isBuffer(plaintext));
    if (allReady) return opened as Buffer[];
    return Promise.all(opened.map((plaintext, index) => atAsync(sealed[index]!.site, plaintext)));
  }

  /** Check 7. @returns the inner messages, and the tokens of other recipients */
  #decodeAll(openings: readonly Opening[], plaintexts: readonly Buffer[]): unknown[] {
    let next = 0;
    const values = openings.map(({ site, token, ours, parsed }) =>
      ours ? decodeInner(site, plaintexts[next++] as Buffer, parsed?.header.cty) : token,
    );
    const sites = openings.map(({ site }) => site);
    validateInner(this.#validators, sites, values);
    return values;
  }

  /** Check 8, for all tokens of the message at once; without a record nothing was opened and nothing is used up. */
  async #commitOnce(guard: TokenGuard, sealed: readonly Opening[], record: CallRecord, account: string): Promise<void> {
    const tokens = sealed.map(({ parsed }) => parsed as ParsedToken);
    const paths = sealed.map(({ site }) => site.path);
    await guard.claim(tokens, paths, account);
    try {
      await this.#audit.commit(record);
    } catch (error) {
      await guard.release(tokens, account);
      throw error;
    }
  }
}

const SINGLE_USE: OpenMode = { singleUse: true, ended: () => false };

function openRecord(openings: readonly Opening[], call: CallFacts, startedAt: number) {
  const fields = openings.map(({ site, token, ours, parsed, grant }) =>
    describeField(site, token, { parsed, outcome: ours ? 'opened' : 'passed', grant: grant?.text }),
  );
  return createRecord('open', call, fields, '', startedAt);
}

function rejectRecord(error: unknown, openings: readonly Opening[], call: CallFacts, startedAt: number) {
  return createRejectRecord(error, call, startedAt, (path, code) =>
    openings.map(({ site, token, parsed }) =>
      describeField(site, token, { parsed, outcome: 'refused', reason: site.path === path ? code : '' }),
    ),
  );
}

/** Runs one field's step and gives its error the field's path. */
function at<T>(site: SealedSite, step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw withPath(error, site.path);
  }
}

async function atAsync(site: SealedSite, plaintext: Buffer | Promise<Buffer>): Promise<Buffer> {
  try {
    return await plaintext;
  } catch (error) {
    throw withPath(error, site.path);
  }
}
