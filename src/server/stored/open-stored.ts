/** Stored tokens: opened for a handler long after the call that brought them. */
import type { Metadata } from '@grpc/grpc-js';
import { SealwireError } from '../../errors.js';
import type { Grant } from '../../jwe/grant.js';
import type { TokenOpener } from '../../jwe/opener.js';
import { sha256 } from '../../jwe/sha256.js';
import type { ParsedToken } from '../../jwe/token.js';
import { decodeInner, expectationOf } from '../../schema/open-sites.js';
import type { SealedToken } from '../../schema/opened.js';
import type { MessagePlan, SealedFieldPlan, ServicePlan } from '../../schema/plan.js';
import { read, type SealedSite } from '../../schema/walk.js';
import type { AuditSink, CallRecord } from '../audit-sink.js';
import type { Granter } from '../granter.js';
import { type CallFacts, createRecord, createRejectRecord, describeField, factsOf } from '../records.js';

/** Where a stored token came from. */
export interface StoredTokenPlace {
  /** Full name of the field it came in, e.g. `payments.v1.AuthorizeRequest.card`. */
  readonly field: string;
  /** The bound siblings as they were, as properties of the message: `{ orderId, amountMinor, currencyCode }`. */
  readonly bound?: object;
  /**
   * The call that asks, as the handler got it: its caller is recorded, and pays for the agreement, for which the call
   * waits its turn until it ends. Default: the service itself, which waits its turn too.
   */
  readonly call?: StoredTokenCall;
}

/** A handler's call, of any kind. */
export interface StoredTokenCall {
  readonly metadata: Metadata;
}

/**
 * Opens a stored token. Its time and earlier use do not matter; its field and bound siblings do.
 *
 * @returns the inner message, which prints redacted; a durable record was written before
 * @throws SealwireError `PLAN_INVALID` for an unknown field, `OPTIONS_INVALID` when the token does not fit and `bound`
 *   lacks a sibling, else with a step code
 */
export type OpenStored = <T extends object>(token: SealedToken | string, place: StoredTokenPlace) => Promise<T>;

/** What {@link createStoredReader} needs. */
export interface StoredOpenerOptions {
  readonly services: readonly { readonly plan: ServicePlan }[];
  readonly tokenOpener: TokenOpener;
  readonly audit: AuditSink;
  /** Makes grants for a reviewer. Default: there is none. */
  readonly granter?: Granter | undefined;
}

/** A stored token that was opened, and nobody has been told of yet. */
export interface OpenedStored {
  readonly site: SealedSite;
  readonly parsed: ParsedToken;
  readonly plaintext: Buffer;
  /** For a reviewer, when there is one. */
  readonly grant: Grant | undefined;
  /** Facts of the asking call. */
  readonly facts: CallFacts;
  readonly startedAt: number;
}

/** Opens a stored token and hands it on; what fails on the way is noted in the audit log and thrown. */
export type WithStored = <T>(
  token: string,
  place: StoredTokenPlace,
  use: (opened: OpenedStored) => Promise<T>,
) => Promise<T>;

/** @returns what opening and re-sealing share */
export function createStoredReader({ services, tokenOpener, audit, granter }: StoredOpenerOptions): WithStored {
  const fields = collectFields(services);
  return async (token, { field: fullName, bound = {}, call }, use) => {
    const field = fields.get(fullName);
    if (field === undefined) throw new SealwireError('PLAN_INVALID', `no sealed field ${fullName}`);
    const startedAt = performance.now();
    const facts = factsOf(call?.metadata);
    const site: SealedSite = { field, path: field.name, value: token, holder: bound };
    let parsed: ParsedToken | undefined;
    try {
      parsed = await tokenOpener.withNewKeys(() => tokenOpener.check(token, expectationOf(site, sha256), 'stored'));
      const grant = field.transient ? undefined : (await granter?.())?.createGrant();
      const plaintext = await tokenOpener.open(parsed, facts.account, 'stored', grant, facts.signal?.());
      return await use({ site, parsed, plaintext, grant, facts, startedAt });
    } catch (error) {
      audit.note(
        createRejectRecord(error, facts, startedAt, (_path, code) => [
          describeField(site, token, { parsed, outcome: 'refused', reason: code }),
        ]),
      );
      const lacking = field.bind.filter((sibling) => !sibling.explicitPresence && read(bound, sibling) === undefined);
      const isMismatch = error instanceof SealwireError && error.code === 'BINDING_MISMATCH';
      if (!isMismatch || lacking.length === 0) throw error;
      throw new SealwireError('OPTIONS_INVALID', `bound lacks ${lacking.map(({ key }) => key).join(', ')}`);
    }
  };
}

/** @returns the function for handlers */
export function createStoredOpener(withStored: WithStored, audit: AuditSink): OpenStored {
  return <T extends object>(token: string, place: StoredTokenPlace): Promise<T> =>
    withStored(token, place, async (opened) => {
      const inner = decodeInner(opened.site, opened.plaintext, opened.parsed.header.cty);
      await audit.commit(createOpenStoredRecord(opened, ''));
      return inner as T;
    });
}

/** The record that a stored token was opened. */
export function createOpenStoredRecord(
  { site, parsed, grant, facts, startedAt }: OpenedStored,
  detail: string,
): CallRecord {
  const field = describeField(site, parsed.token, { parsed, outcome: 'opened', grant: grant?.text });
  return createRecord('openStored', facts, [field], detail, startedAt);
}

/** All sealed fields that requests and responses can hold, by full name. */
export function collectFields(services: StoredOpenerOptions['services']): ReadonlyMap<string, SealedFieldPlan> {
  const fields = new Map<string, SealedFieldPlan>();
  const seen = new Set<MessagePlan>();
  const visit = (plan: MessagePlan | undefined) => {
    if (plan === undefined || seen.has(plan)) return;
    seen.add(plan);
    for (const field of plan.sealed) fields.set(field.fullName, field);
    for (const nested of plan.nested) visit(nested.plan());
  };
  for (const { plan } of services) {
    for (const { request, response } of Object.values(plan.methods)) {
      visit(request);
      visit(response);
    }
  }
  return fields;
}
