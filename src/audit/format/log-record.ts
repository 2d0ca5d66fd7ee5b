/** Records as they are read back: a line of somebody else's, narrowed to what docs/audit-format.md says. */
import { peekHeader } from '../../jwe/header.js';
import { sha256 } from '../../jwe/sha256.js';
import type { TokenDigest, TokenPointer } from './record.js';

/** A sealed field of a record. */
export interface LogField {
  readonly field: string;
  readonly path: string;
  readonly kid: string;
  readonly alg: string;
  readonly enc: string;
  /** The compact JWE, what is kept of it, or where it stands whole. */
  readonly token: string | TokenDigest | TokenPointer;
  readonly bound: readonly (readonly [string, string | number | boolean])[];
  readonly outcome: string;
  readonly reason: string;
  readonly grant: string | null;
}

/** A record. */
export interface LogRecord {
  readonly v: number;
  readonly seq: number;
  readonly time: string;
  readonly event: string;
  readonly origin: string;
  readonly method: string;
  readonly peer: string;
  readonly principal: string;
  readonly requestId: string;
  readonly traceparent: string;
  readonly fields: readonly LogField[];
  readonly durationUs: number;
  readonly detail: string;
}

type Members = Readonly<Record<string, unknown>>;

const TEXTS = ['time', 'event', 'origin', 'method', 'peer', 'principal', 'requestId', 'traceparent', 'detail'] as const;
const FIELD_TEXTS = ['field', 'path', 'kid', 'alg', 'enc', 'outcome', 'reason'] as const;

/** Records of one segment stand in the order of their times, up to this. */
export const CLOCK_SLACK_MS = 60_000;

const TIME = /^\{"v":1,"seq":\d+,"time":"([^"]{24,27})"/;

/** Time of a record's line, ms since 1970, by the place where every record has it; undefined when it is not there. */
export function timeOf(line: Buffer): number | undefined {
  const time = Date.parse(TIME.exec(line.toString('latin1', 0, 80))?.[1] ?? '');
  return Number.isNaN(time) ? undefined : time;
}

/** @returns undefined when the line is not a record */
export function parseRecord(line: Buffer | string): LogRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line.toString('utf8'));
  } catch {
    return undefined;
  }
  if (!isObject(value)) return undefined;
  const { seq, durationUs, fields } = value;
  const isRecord =
    Number.isSafeInteger(seq) &&
    typeof durationUs === 'number' &&
    TEXTS.every((name) => typeof value[name] === 'string') &&
    Array.isArray(fields) &&
    fields.every(isField);
  return isRecord ? (value as unknown as LogRecord) : undefined;
}

function isField(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { token, bound, grant } = value;
  const isDigest =
    isObject(token) &&
    typeof token['digest'] === 'string' &&
    typeof token['length'] === 'number' &&
    (typeof token['header'] === 'string' || isRef(token['ref']));
  return (
    FIELD_TEXTS.every((name) => typeof value[name] === 'string') &&
    (typeof token === 'string' || isDigest) &&
    Array.isArray(bound) &&
    bound.every(isPair) &&
    (grant === null || typeof grant === 'string')
  );
}

function isRef(value: unknown): boolean {
  return isObject(value) && typeof value['origin'] === 'string' && Number.isSafeInteger(value['seq']);
}

function isPair(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.length === 2 &&
    typeof value[0] === 'string' &&
    ['string', 'number', 'boolean'].includes(typeof value[1])
  );
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What a `reject` record says of the refusal, in its detail: the step, empty in a summary, and where. */
const REFUSAL = /^([A-Z_]+)(?: at (.*))?$/s;
/** The detail of a record for calls that have none of their own (src/audit/write/reject-notes.ts). */
const SUMMARY = /^(\d+) more refused calls/;

/**
 * The fields of a record, in a `reject` record with the step that refused them. Steps before and after those of a token
 * are in the detail alone: the field that it names gets them, or one without a name, a token and a key.
 */
export function fieldsWithStep({ event, detail, fields }: LogRecord): readonly LogField[] {
  if (event !== 'reject' || fields.some(({ reason }) => reason !== '')) return fields;
  const [, reason = '', path = ''] = REFUSAL.exec(detail) ?? [];
  const isHolder = (field: LogField) => path === field.path || path.startsWith(`${field.path}.`);
  if (fields.some(isHolder)) return fields.map((field) => (isHolder(field) ? { ...field, reason } : field));
  return [...fields, { ...UNNAMED, path, reason }];
}

const UNNAMED: LogField = {
  field: '',
  path: '',
  kid: '',
  alg: '',
  enc: '',
  token: { digest: '', length: 0, header: '' },
  bound: [],
  outcome: 'refused',
  reason: '',
  grant: null,
};

/** Whether a field that was not refused is one whose tokens are never kept, and so never granted. */
export function isTransient({ token, outcome }: LogField, { event }: LogRecord): boolean {
  return (
    event !== 'reject' && event !== 'reveal' && outcome !== 'refused' && typeof token === 'object' && !('ref' in token)
  );
}

/** How many refused calls the record only counts; undefined when it is of one call. */
export function onlyCounted({ event, detail }: LogRecord): number | undefined {
  const [, count] = (event === 'reject' && SUMMARY.exec(detail)) || [];
  return count === undefined ? undefined : Number(count);
}

/** base64url SHA-256 of the token's characters. */
export function digestOf({ token }: LogField): string {
  return typeof token === 'string' ? sha256(token) : token.digest;
}

/** The token's decoded header as far as it is kept; nothing of it is checked. */
export function headerOf({ token }: LogField): string {
  if (typeof token === 'string') return peekHeader(token).json ?? '';
  return 'header' in token ? token.header : '';
}
