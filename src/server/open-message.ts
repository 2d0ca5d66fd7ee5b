/**
 * Opens every sealed field of one received message. Checks 1–4 pass for all of its tokens before an
 * agreement (check 5) is made for any; the record is durable before the opened message exists
 * outside this function.
 */
import { SealwireError } from '../errors.js';
import type { TokenOpener } from '../jwe/opener.js';
import type { ParsedToken } from '../jwe/token.js';
import { boundDigest, boundValues } from '../schema/binding.js';
import { markHolder, markOpened, recordToken } from '../schema/opened.js';
import type { MessagePlan } from '../schema/plan.js';
import { collectSealed, replaceSealed, type SealedSite } from '../schema/walk.js';
import type { AuditField, AuditInput, AuditSink } from './audit-sink.js';

/** Who and what a message belongs to; one per call. */
export interface CallFacts {
  readonly method: string;
  readonly peer: string;
  readonly principal: string;
  readonly requestId: string;
  readonly traceparent: string;
}

/** Options of {@link MessageOpener}. */
export interface MessageOpenerOptions {
  readonly opener: TokenOpener;
  readonly audit: AuditSink;
  /** Recipient names that are this service; fields for others stay tokens. The empty name always is. */
  readonly recipients?: readonly string[];
}

/** A sealed field on its way from token to inner message. */
interface Opening {
  readonly site: SealedSite;
  readonly token: string;
  /** False: for another recipient, stays a token. */
  readonly ours: boolean;
  parsed: ParsedToken | undefined;
}

/** Opens messages by plan; stateless apart from the opener's cache. */
export class MessageOpener {
  readonly #opener: TokenOpener;
  readonly #audit: AuditSink;
  readonly #recipients: ReadonlySet<string>;

  constructor(options: MessageOpenerOptions) {
    this.#opener = options.opener;
    this.#audit = options.audit;
    this.#recipients = new Set(['', ...(options.recipients ?? [])]);
  }

  /**
   * @param plan the message's sealed fields
   * @param message the decoded message with its tokens; never modified
   * @param call whose message it is
   * @returns a copy with inner messages in place of tokens; the message itself when nothing is sealed
   * @throws SealwireError with a step code and the path of the field; the refusal is already noted
   */
  async open(plan: MessagePlan, message: object, call: CallFacts): Promise<object> {
    const startedAt = performance.now();
    let openings: Opening[] = [];
    try {
      openings = collectSealed(plan, message).map((site) => this.#begin(site));
      const sealed = openings.filter((opening) => opening.ours);
      const plaintexts = sealed.length === 0 ? [] : await this.#decryptAll(sealed, call.principal);
      if (openings.length === 0) return assemble(plan, message, openings, new Map());
      const inner = decodeAll(sealed, plaintexts);
      await this.#audit.commit(openRecord(openings, call, startedAt));
      return assemble(plan, message, openings, inner);
    } catch (error) {
      this.#audit.note(rejectRecord(error, openings, call, startedAt));
      throw error;
    }
  }

  #begin(site: SealedSite): Opening {
    if (typeof site.value !== 'string') throw new SealwireError('TOKEN_ENCODING', 'not a token', { path: site.path });
    return { site, token: site.value, ours: this.#recipients.has(site.field.recipient), parsed: undefined };
  }

  #decryptAll(sealed: readonly Opening[], caller: string): Promise<Buffer[]> | Buffer[] {
    const tokens: ParsedToken[] = [];
    // Counted before anything is parsed: a message of a million bad tokens costs one comparison.
    this.#opener.checkCount(sealed.length);
    for (const opening of sealed) {
      const { site, token } = opening;
      opening.parsed = at(site, () => this.#opener.check(token, expectation(site)));
      tokens.push(opening.parsed);
    }
    this.#opener.checkMessage(tokens);
    const opened = sealed.map(({ site }, index) => at(site, () => this.#opener.open(tokens[index]!, caller)));
    const allReady = opened.every((plaintext): plaintext is Buffer => Buffer.isBuffer(plaintext));
    if (allReady) return opened as Buffer[];
    return Promise.all(opened.map((plaintext, index) => atAsync(sealed[index]!.site, plaintext)));
  }
}

/** The binding is computed only when check 4 asks for it: rubbish is refused before. */
function expectation(site: SealedSite): { field: string; readonly bound?: string } {
  const { field, holder } = site;
  if (field.bind.length === 0) return { field: field.fullName };
  return {
    field: field.fullName,
    get bound() {
      try {
        return boundDigest(field, holder) as string;
      } catch {
        // E.g. an enum value this service does not know: nothing can have been bound to it here.
        throw new SealwireError('BOUND_VALUE', 'a bound sibling has no valid value');
      }
    },
  };
}

function decodeAll(sealed: readonly Opening[], plaintexts: readonly Buffer[]): Map<Opening, object> {
  const inner = new Map<Opening, object>();
  sealed.forEach((opening, index) => {
    const { site, parsed } = opening;
    const plaintext = plaintexts[index] as Buffer;
    // Strict demands `cty`; without one (interop) stock JOSE clients mean JSON.
    const protobuf = parsed?.header.cty === 'application/protobuf';
    const { codec } = site.field;
    let value: unknown;
    try {
      value = protobuf ? codec.decode(plaintext) : codec.decodeJson(plaintext.toString('utf8'));
    } catch {
      // The decoder's message may quote the plaintext: it must not become a cause.
      throw new SealwireError('INNER_DECODE', 'the inner message is malformed', { path: site.path });
    }
    inner.set(opening, markOpened(codec.typeName, value as object));
  });
  return inner;
}

function assemble(
  plan: MessagePlan,
  message: object,
  openings: readonly Opening[],
  inner: Map<Opening, object>,
): object {
  const sites = openings.map((opening) => opening.site);
  const values = openings.map((opening) => inner.get(opening) ?? opening.token);
  const opened = replaceSealed(plan, message, sites, values, {
    absent: undefined,
    observe(copy, { field, index, value }) {
      markHolder(copy);
      if (!field.transient) recordToken(copy, field.key, index, value as string);
    },
  });
  if (opened !== message) markHolder(opened);
  return opened;
}

function openRecord(openings: readonly Opening[], call: CallFacts, startedAt: number): AuditInput {
  const fields = openings.map((opening) =>
    describe(opening, opening.ours ? 'opened' : 'passed', '', !opening.site.field.transient),
  );
  return createRecord('open', call, fields, '', startedAt);
}

function rejectRecord(error: unknown, openings: readonly Opening[], call: CallFacts, startedAt: number): AuditInput {
  const code = error instanceof SealwireError ? error.code : 'INTERNAL';
  const path = error instanceof SealwireError ? error.path : undefined;
  const fields = openings.map((opening) => describe(opening, 'refused', opening.site.path === path ? code : '', false));
  return createRecord('reject', call, fields, path === undefined ? code : `${code} at ${path}`, startedAt);
}

// Literals without spread: these are made for every message.

function createRecord(
  event: AuditInput['event'],
  { method, peer, principal, requestId, traceparent }: CallFacts,
  fields: readonly AuditField[],
  detail: string,
  startedAt: number,
): AuditInput {
  const durationUs = elapsedUs(startedAt);
  return { event, method, peer, principal, requestId, traceparent, durationUs, detail, fields };
}

function describe(
  { site, token, parsed }: Opening,
  outcome: AuditField['outcome'],
  reason: string,
  keep: boolean,
): AuditField {
  const { field, path } = site;
  return { field: field.fullName, path, token, keep, header: parsed?.header, bound: boundFacts(site), outcome, reason };
}

/** For a record; a refused message may hold values that cannot be bound at all. */
function boundFacts({ field, holder }: SealedSite): [string, string | number | boolean][] {
  if (field.bind.length === 0) return [];
  try {
    return boundValues(field, holder);
  } catch {
    return [];
  }
}

function elapsedUs(startedAt: number): number {
  return Math.round((performance.now() - startedAt) * 1000);
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

function withPath(error: unknown, path: string): unknown {
  if (!(error instanceof SealwireError) || error.path !== undefined) return error;
  return new SealwireError(error.code, error.message, { path });
}
