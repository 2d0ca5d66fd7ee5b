/** Stored tokens: opened for a handler long after the call that brought them. */
import { SealwireError } from '../errors.js';
import type { TokenOpener } from '../jwe/opener.js';
import type { ParsedToken } from '../jwe/token.js';
import { decodeInner, expectationOf } from '../schema/open-sites.js';
import type { SealedToken } from '../schema/opened.js';
import type { MessagePlan, SealedFieldPlan, ServicePlan } from '../schema/plan.js';
import type { SealedSite } from '../schema/walk.js';
import type { AuditSink } from './audit-sink.js';
import { createRecord, createRejectRecord, describeField, NO_CALL } from './records.js';

/** Where a stored token came from. */
export interface StoredTokenPlace {
  /** Full name of the field it came in, e.g. `payments.v1.AuthorizeRequest.card`. */
  readonly field: string;
  /** The bound siblings as they were, as properties of the message: `{ orderId, amountMinor, currencyCode }`. */
  readonly bound?: object;
}

/**
 * Opens a stored token. Its time and earlier use do not matter; its field and bound siblings do.
 *
 * @returns the inner message, which prints redacted; a durable record was written before
 * @throws SealwireError `PLAN_INVALID` for an unknown field, else with a step code
 */
export type OpenStored = <T extends object>(token: SealedToken | string, place: StoredTokenPlace) => Promise<T>;

/** What {@link createStoredOpener} needs. */
export interface StoredOpenerOptions {
  readonly services: readonly { readonly plan: ServicePlan }[];
  readonly opener: TokenOpener;
  readonly audit: AuditSink;
}

/** Agreements made for stored tokens count against this caller's rate. */
const CALLER = 'openStored';

/** @returns the function for handlers */
export function createStoredOpener({ services, opener, audit }: StoredOpenerOptions): OpenStored {
  const fields = collectFields(services);
  return async <T extends object>(token: string, { field: fullName, bound = {} }: StoredTokenPlace): Promise<T> => {
    const field = fields.get(fullName);
    if (field === undefined) throw new SealwireError('PLAN_INVALID', `no sealed field ${fullName}`);
    const startedAt = performance.now();
    const site: SealedSite = { field, path: field.name, value: token, holder: bound };
    let parsed: ParsedToken | undefined;
    try {
      parsed = opener.check(token, expectationOf(site), 'stored');
      const plaintext = await opener.open(parsed, CALLER, 'stored');
      const inner = decodeInner(site, plaintext, parsed.header.cty);
      const fieldRecord = describeField(site, token, parsed, 'opened', '', !field.transient);
      await audit.commit(createRecord('openStored', NO_CALL, [fieldRecord], '', startedAt));
      return inner as T;
    } catch (error) {
      audit.note(
        createRejectRecord(error, NO_CALL, startedAt, (_path, code) => [
          describeField(site, token, parsed, 'refused', code, false),
        ]),
      );
      throw error;
    }
  };
}

/** All sealed fields that requests and responses can hold, by full name. */
function collectFields(services: StoredOpenerOptions['services']): ReadonlyMap<string, SealedFieldPlan> {
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
