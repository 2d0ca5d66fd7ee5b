/** Audit records of calls. Literals without spread: these are made for every message. */
import type { Metadata } from '@grpc/grpc-js';
import { SealwireError } from '../errors.js';
import type { ParsedToken } from '../jwe/token.js';
import { boundValues } from '../schema/binding.js';
import type { SealedSite } from '../schema/walk.js';
import type { CallRecord, CallRecordField } from './audit-sink.js';

/** Who and what a message belongs to; one per call. */
export interface CallFacts {
  readonly method: string;
  readonly peer: string;
  readonly principal: string;
  /** What the call's costs are charged to, see `Caller`. */
  readonly account: string;
  readonly requestId: string;
  readonly traceparent: string;
  /** Aborted when the call ends, by whomever; absent outside of calls. */
  readonly signal?: () => AbortSignal;
  /** Takes note of how to find out how many requests wait in the handler's stream. */
  readonly watch?: (waiting: () => number) => void;
  /** Takes note of whom to tell that what the handler gave for a reply cannot be sealed. */
  readonly onBadReply?: (tell: (error: unknown) => void) => void;
}

/** Facts of something that belongs to no call. */
export const NO_CALL: CallFacts = {
  method: '',
  peer: '',
  principal: '',
  account: 'internal:',
  requestId: '',
  traceparent: '',
};

/** Under which a call's metadata carries its facts to {@link factsOf}; a symbol cannot come from a request. */
const FACTS = Symbol('sealwire.call');
type Marked = Metadata & { [FACTS]?: CallFacts };

/** Lets whoever has the handler's call find out whose it is. */
export function attachFacts(metadata: Metadata, facts: CallFacts): void {
  (metadata as Marked)[FACTS] = facts;
}

/** @returns {@link NO_CALL} for metadata of a call that is not ours */
export function factsOf(metadata: Metadata | undefined): CallFacts {
  return (metadata as Marked | undefined)?.[FACTS] ?? NO_CALL;
}

export function createRecord(
  event: CallRecord['event'],
  { method, peer, principal, account, requestId, traceparent }: CallFacts,
  fields: readonly CallRecordField[],
  detail: string,
  startedAt: number,
): CallRecord {
  const durationUs = Math.round((performance.now() - startedAt) * 1000);
  return { event, method, peer, principal, account, requestId, traceparent, durationUs, detail, fields };
}

/** What became of a token. */
export interface FieldOutcome {
  readonly outcome: CallRecordField['outcome'];
  /** Why it was refused. Default: empty. */
  readonly reason?: string;
  /** The token, if it was read. */
  readonly parsed?: ParsedToken | undefined;
  readonly grant?: string | undefined;
}

/** A field as it goes into a record: of a transient field or a refused token the digest only. */
export function describeField(site: SealedSite, token: string, result: FieldOutcome): CallRecordField {
  const { field, path, holder } = site;
  const { outcome, reason = '', parsed, grant } = result;
  const keep = outcome !== 'refused' && !field.transient;
  const bound = boundFacts(field, holder);
  return { field: field.fullName, path, token, keep, header: parsed?.header, bound, outcome, reason, grant };
}

/** The record of a refusal: which step, at which field. */
export function createRejectRecord(
  error: unknown,
  call: CallFacts,
  startedAt: number,
  describe: (failedPath: string | undefined, code: string) => readonly CallRecordField[],
): CallRecord {
  const code = error instanceof SealwireError ? error.code : 'INTERNAL';
  const path = error instanceof SealwireError ? error.path : undefined;
  return createRecord(
    'reject',
    call,
    describe(path, code),
    path === undefined ? code : `${code} at ${path}`,
    startedAt,
  );
}

/** A refused message may hold values that cannot be bound at all. */
function boundFacts(field: SealedSite['field'], holder: object): [string, string | number | boolean][] {
  if (field.bind.length === 0) return [];
  try {
    return boundValues(field, holder);
  } catch {
    return [];
  }
}
