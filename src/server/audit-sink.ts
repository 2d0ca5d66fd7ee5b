/** What the open interceptor needs of an audit log; `src/audit` provides one, tests and users may provide others. */

/** One sealed field as it was handled. */
export interface CallRecordField {
  /** Full field name, e.g. `payments.v1.AuthorizeRequest.card`. */
  readonly field: string;
  /** Path in the message, e.g. `items[3].card`. */
  readonly path: string;
  /** The compact JWE exactly as received. */
  readonly token: string;
  /** False for transient fields and refused tokens: only digest, length and header may be stored. */
  readonly keep: boolean;
  /** Parsed header values, when the header was good. */
  readonly header?: { readonly kid: string; readonly alg: string; readonly enc: string } | undefined;
  /** The bound siblings as `[name, value]`. */
  readonly bound: readonly (readonly [string, string | number | boolean])[];
  readonly outcome: 'opened' | 'sealed' | 'refused' | 'passed';
  /** Step code of a refusal, else empty. */
  readonly reason: string;
  /** The token's key, wrapped to a reviewer's; absent when there is no reviewer, and for what is not kept. */
  readonly grant?: string | undefined;
}

/** One call's (or one stream message's) sealed fields. */
export interface CallRecord {
  readonly event: 'open' | 'seal' | 'reject' | 'openStored';
  /** Method path. */
  readonly method: string;
  /** Network address of the connection. */
  readonly peer: string;
  /** Who calls, as the caller function says. */
  readonly principal: string;
  /** What the record's bytes are charged to; not to be recorded. Default: `principal`. */
  readonly account?: string;
  /** `x-request-id` of the call, or empty. */
  readonly requestId: string;
  /** W3C `traceparent` of the call, or empty. */
  readonly traceparent: string;
  /** From receipt of the message to this record, in µs. */
  readonly durationUs: number;
  readonly detail: string;
  readonly fields: readonly CallRecordField[];
}

/** Takes audit records. */
export interface AuditSink {
  /** Resolves when the record is durable; rejects with code `AUDIT_FAILED` when it cannot be. */
  commit(input: CallRecord): Promise<void>;
  /** Takes a record that nobody waits for (`reject`). Never throws. */
  note(input: CallRecord): void;
}
