/** `bnd`: the bound siblings of a sealed field in our encoding, and its SHA-256. */
import { BinaryWriter, base64Encode, WireType } from '@bufbuild/protobuf/wire';
import { SealwireError } from '../errors.js';
import { bitsToBigInt, bytesOf, parseInteger } from './loose-values.js';
import type { BoundFieldPlan, BoundKind, SealedFieldPlan } from './plan.js';
import { read } from './walk.js';

/** Wire types by kind (protobuf encoding guide). */
const WIRE: Readonly<Record<BoundKind, WireType>> = {
  int32: WireType.Varint,
  int64: WireType.Varint,
  uint32: WireType.Varint,
  uint64: WireType.Varint,
  sint32: WireType.Varint,
  sint64: WireType.Varint,
  bool: WireType.Varint,
  enum: WireType.Varint,
  fixed64: WireType.Bit64,
  sfixed64: WireType.Bit64,
  fixed32: WireType.Bit32,
  sfixed32: WireType.Bit32,
  string: WireType.LengthDelimited,
  bytes: WireType.LengthDelimited,
};

const UNSIGNED: readonly BoundKind[] = ['uint64', 'fixed64'];
const LONE_SURROGATE = /\p{Surrogate}/u;

/** What a bound sibling's value is reduced to: 64-bit kinds are bigints, enums numbers. */
type BoundValue = string | number | bigint | boolean | Uint8Array;

/** One for all messages: a new writer's buffer costs more than what is written into it. */
const writer = new BinaryWriter();

/**
 * Encodes the bound siblings: protobuf wire format, ascending by field number, one record each; a field
 * of implicit presence omits its zero value, one of explicit presence emits whatever is set.
 *
 * @param field a sealed field
 * @param holder the message it stands in
 * @throws SealwireError `SEAL_INPUT` for a value that is not of its field's kind
 */
export function encodeBound(field: SealedFieldPlan, holder: object): Uint8Array {
  let encoded: Uint8Array;
  try {
    for (const bound of field.bind) writeBound(bound, holder);
  } finally {
    // Also after a failure: nothing of this message may stand before the next one's.
    encoded = writer.finish();
  }
  return encoded;
}

function writeBound(bound: BoundFieldPlan, holder: object): void {
  const value = boundValue(bound, holder);
  if (value === undefined || (!bound.explicitPresence && isZero(value))) return;
  try {
    writer.tag(bound.number, WIRE[bound.kind]);
    writeValue(writer, bound.kind, value);
  } catch {
    // The writer's message quotes the value.
    throw invalid(bound);
  }
}

/** SHA-256 in base64url: handed in, since every platform has one of its own. */
export type Sha256 = (bytes: Uint8Array) => string;

/**
 * @returns base64url of the SHA-256 of {@link encodeBound}; undefined when the field binds nothing
 * @throws SealwireError `SEAL_INPUT`
 */
export function boundDigest(field: SealedFieldPlan, holder: object, sha256: Sha256): string | undefined {
  return field.bind.length === 0 ? undefined : sha256(encodeBound(field, holder));
}

/**
 * The bound siblings as they go into an audit record: names and JSON values; 64-bit integers as decimal
 * text, bytes as base64url, enums as numbers.
 *
 * @throws SealwireError `SEAL_INPUT`
 */
export function boundValues(field: SealedFieldPlan, holder: object): [string, string | number | boolean][] {
  const values: [string, string | number | boolean][] = [];
  for (const bound of field.bind) {
    const value = boundValue(bound, holder);
    if (value === undefined) continue;
    if (typeof value === 'bigint') values.push([bound.name, value.toString()]);
    else if (typeof value === 'object') values.push([bound.name, base64Encode(value, 'url')]);
    else values.push([bound.name, value]);
  }
  return values;
}

/** A bound sibling's value in one of few forms, whatever carries it. */
function boundValue(bound: BoundFieldPlan, holder: object): BoundValue | undefined {
  const value = read(holder, bound);
  if (value === undefined || value === null) return undefined;
  try {
    return normalize(bound, value);
  } catch {
    throw invalid(bound);
  }
}

/** @throws Error for a value of another kind: nothing is coerced, since encoders coerce in different ways */
function normalize({ kind, enumNumbers }: BoundFieldPlan, value: unknown): BoundValue {
  if (kind === 'bytes') return bytesOf(value);
  if (kind.endsWith('64')) {
    // `Long` of ts-proto's forceLong=long and of proto-loader.
    return typeof value === 'object' ? bitsToBigInt(value as object, UNSIGNED.includes(kind)) : parseInteger(value);
  }
  if (kind === 'string') {
    // Half a surrogate pair has no UTF-8; encoders put different bytes in its place.
    if (typeof value !== 'string' || LONE_SURROGATE.test(value)) throw new TypeError('not a string');
    return value;
  }
  if (kind === 'enum' && typeof value === 'string' && enumNumbers && Object.hasOwn(enumNumbers, value)) {
    return enumNumbers[value] as number;
  }
  if (typeof value !== (kind === 'bool' ? 'boolean' : 'number')) throw new TypeError(`not a ${kind}`);
  return value as boolean | number;
}

function invalid({ name, kind }: BoundFieldPlan): SealwireError {
  return new SealwireError('SEAL_INPUT', `${name} is not a valid ${kind}`);
}

function isZero(value: BoundValue): boolean {
  if (typeof value === 'object') return value.length === 0;
  return value === 0 || value === 0n || value === false || value === '';
}

/** @throws Error for a number out of its kind's range */
function writeValue(writer: BinaryWriter, kind: BoundKind, value: BoundValue): void {
  if (kind === 'bytes') writer.bytes(value as Uint8Array);
  else if (kind === 'string') writer.string(value as string);
  else if (kind === 'bool') writer.bool(value as boolean);
  else if (typeof value === 'bigint') writer[kind as 'int64'](value.toString());
  else writer[kind === 'enum' ? 'int32' : (kind as 'int32')](value as number);
}
