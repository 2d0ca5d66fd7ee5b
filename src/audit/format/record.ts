import { peekHeader } from '../../jwe/header.js';
import { sha256 } from '../../jwe/sha256.js';

/** What happened. */
export type AuditEvent =
  | 'open'
  | 'seal'
  | 'reject'
  | 'openStored'
  | 'rotate'
  | 'retire'
  | 'reveal'
  | 'start'
  | 'recover';

/** One sealed field as it was handled. */
export interface RecordFieldInput {
  /** Full field name. */
  readonly field: string;
  readonly path: string;
  /** The compact JWE as received. */
  readonly token: string;
  /** False: only the token's digest, length and header are stored. */
  readonly keep: boolean;
  /** Checked header values; without them the record shows what the header claims. */
  readonly header?: { readonly kid: string; readonly alg: string; readonly enc: string } | undefined;
  /** The bound siblings as `[name, value]`. */
  readonly bound: readonly (readonly [string, string | number | boolean])[];
  readonly outcome: 'opened' | 'sealed' | 'refused' | 'passed';
  /** Step code of a refusal, else empty. */
  readonly reason: string;
  /** The token's key, wrapped to a reviewer's. */
  readonly grant?: string | undefined;
  /** The record that has the token whole already: this one gets its digest and the reference. */
  readonly ref?: TokenRef | undefined;
}

/** A record of a log. */
export interface TokenRef {
  readonly origin: string;
  readonly seq: number;
}

/** What a record is made of; the log adds version, sequence number, time and origin. */
export interface RecordInput {
  readonly event: AuditEvent;
  readonly method: string;
  readonly peer: string;
  readonly principal: string;
  /** What its bytes are charged to; not recorded. Default: `principal`. */
  readonly account?: string;
  readonly requestId: string;
  readonly traceparent: string;
  readonly durationUs: number;
  readonly detail: string;
  readonly fields: readonly RecordFieldInput[];
}

/** What the log adds. */
export interface RecordFrame {
  readonly seq: number;
  /** ms since 1970. */
  readonly time: number;
  readonly origin: string;
}

/** Version of the record format. */
const RECORD_VERSION = 1;
/** Longest stored text that a caller chose, in UTF-16 units. */
const MAX_TEXT = 512;
/** Longest stored bound value; longer ones are cut. */
const MAX_BOUND = 256;

/** Characters that JSON does not escape but that end lines, steer terminals or change the direction of text. */
const UNSAFE = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** @returns one line of JSON without its newline; no text in it can start a new line or steer a terminal */
export function encodeRecord(input: RecordInput, frame: RecordFrame): string {
  const { event, method, peer, principal, requestId, traceparent, durationUs, detail, fields } = input;
  const line = JSON.stringify({
    v: RECORD_VERSION,
    seq: frame.seq,
    time: new Date(frame.time).toISOString(),
    event,
    origin: frame.origin,
    method: cut(method),
    peer: cut(peer),
    principal: cut(principal),
    requestId: cut(requestId),
    traceparent: cut(traceparent),
    fields: fields.map((field) => encodeField(field, event)),
    durationUs,
    detail: cut(detail),
  });
  return escapeUnsafe(line);
}

/** @param json JSON text @returns the same value in characters that steer no terminal */
export function escapeUnsafe(json: string): string {
  return json.replace(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function encodeField(input: RecordFieldInput, event: AuditEvent): object {
  const { field, path, token, bound, outcome, reason, ref } = input;
  // Whatever the caller says: a refused call's tokens are unchecked text, which must not fill the disk.
  const keep = input.keep && event !== 'reject' && outcome !== 'refused';
  const { kid = '', alg = '', enc = '' } = input.header ?? peekHeader(token);
  return {
    field,
    path: cut(path),
    kid,
    alg,
    enc,
    token: !keep ? tokenDigest(token) : ref === undefined ? token : tokenPointer(token, ref),
    bound: bound.map(([name, value]) => [name, typeof value === 'string' ? cutBound(value) : value]),
    outcome,
    reason,
    // A grant is useless without its token, and a token that is referred to has its own.
    grant: keep && ref === undefined ? (input.grant ?? null) : null,
  };
}

/** What is kept of a token that must not be stored: enough to recognise it. */
export interface TokenDigest {
  /** base64url SHA-256 of the token's characters. */
  readonly digest: string;
  /** In characters. */
  readonly length: number;
  /** The decoded header, at most 2 KiB. */
  readonly header: string;
}

/** What stands for a token that another record has whole. */
export interface TokenPointer {
  /** As in {@link TokenDigest}. */
  readonly digest: string;
  readonly length: number;
  readonly ref: TokenRef;
}

function tokenPointer(token: string, { origin, seq }: TokenRef): TokenPointer {
  return { digest: sha256(token), length: token.length, ref: { origin, seq } };
}

/** @returns bytes of the record's line with its newline, about: sequence numbers differ in length */
export function encodedBytes(input: RecordInput, origin: string): number {
  return Buffer.byteLength(encodeRecord(input, { seq: Number.MAX_SAFE_INTEGER, time: 0, origin })) + 1;
}

/** @param token any text */
export function tokenDigest(token: string): TokenDigest {
  return { digest: sha256(token), length: token.length, header: peekHeader(token).json ?? '' };
}

/** A bound text as records have it: its first 256 UTF-16 units, and whether there were more. */
export function cutBound(text: string): string {
  return cut(text, MAX_BOUND);
}

/** A text that the caller chose, as records hold it: its first 512 UTF-16 units. */
export function cut(text: string, most = MAX_TEXT): string {
  if (text.length <= most) return text;
  // Never half of a surrogate pair.
  const isPair = (text.charCodeAt(most - 1) & 0xfc00) === 0xd800;
  return `${text.slice(0, isPair ? most - 1 : most)}…`;
}
