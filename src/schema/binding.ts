/** `bnd`: the bound siblings of a sealed field in our encoding, and its SHA-256. */
import { hash } from 'node:crypto';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { SealwireError } from '../errors.js';
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

type BoundValue = string | number | bigint | boolean | Uint8Array;

/**
 * Encodes the bound siblings: protobuf wire format, ascending by field number, one record each; a field
 * of implicit presence omits its zero value, one of explicit presence emits whatever is set.
 *
 * @param field a sealed field
 * @param holder the message it stands in
 * @throws SealwireError `SEAL_INPUT` for a value that is not of its field's kind
 */
export function encodeBound(field: SealedFieldPlan, holder: object): Uint8Array {
  const writer = new BinaryWriter();
  for (const bound of field.bind) {
    const value = boundValue(bound, holder);
    if (value === undefined) continue;
    try {
      // One form for 64 bits: '0' and '00' are zero, but of a string field they are text.
      const exact = bound.kind.endsWith('64') ? BigInt(value as string | number | bigint) : value;
      if (!bound.explicitPresence && isZero(exact)) continue;
      writer.tag(bound.number, WIRE[bound.kind]);
      writeValue(writer, bound.kind, exact);
    } catch {
      // The writer's message quotes the value.
      throw new SealwireError('SEAL_INPUT', `${bound.name} is not a valid ${bound.kind}`);
    }
  }
  return writer.finish();
}

/**
 * @returns base64url of the SHA-256 of {@link encodeBound}; undefined when the field binds nothing
 * @throws SealwireError `SEAL_INPUT`
 */
export function boundDigest(field: SealedFieldPlan, holder: object): string | undefined {
  if (field.bind.length === 0) return undefined;
  return hash('sha256', encodeBound(field, holder), 'base64url');
}

/** The bound siblings as they go into an audit record: names and JSON values; bytes as base64url. */
export function boundValues(field: SealedFieldPlan, holder: object): [string, string | number | boolean][] {
  const values: [string, string | number | boolean][] = [];
  for (const bound of field.bind) {
    const value = boundValue(bound, holder);
    if (value === undefined) continue;
    if (typeof value === 'bigint') values.push([bound.name, value.toString()]);
    else if (typeof value === 'object') values.push([bound.name, Buffer.from(value).toString('base64url')]);
    else values.push([bound.name, value]);
  }
  return values;
}

/** A bound sibling's value in one of few forms, whatever the code generator made of it. */
function boundValue(bound: BoundFieldPlan, holder: object): BoundValue | undefined {
  const value = read(holder, bound);
  switch (typeof value) {
    case 'undefined':
      return undefined;
    case 'string':
      return bound.kind === 'enum' ? enumNumber(bound, value) : value;
    case 'number':
    case 'bigint':
    case 'boolean':
      return value;
    case 'object':
      if (value === null) return undefined;
      if (value instanceof Uint8Array) return value;
      // `Long` of ts-proto's forceLong=long and of proto-loader.
      if (bound.kind.endsWith('64')) return String(value);
  }
  throw new SealwireError('SEAL_INPUT', `${bound.name} is not a valid ${bound.kind}`);
}

function enumNumber(bound: BoundFieldPlan, name: string): number {
  const number = bound.enumNumbers?.[name];
  if (number === undefined) throw new SealwireError('SEAL_INPUT', `${bound.name} is not a valid enum value`);
  return number;
}

function isZero(value: BoundValue): boolean {
  if (typeof value === 'object') return value.length === 0;
  return value === 0 || value === 0n || value === false || value === '';
}

function writeValue(writer: BinaryWriter, kind: BoundKind, value: BoundValue): void {
  if (kind === 'bytes') {
    writer.bytes(asBytes(value));
  } else if (kind === 'string') {
    if (typeof value !== 'string') throw new TypeError('not a string');
    writer.string(value);
  } else if (kind === 'bool') {
    if (typeof value !== 'boolean') throw new TypeError('not a boolean');
    writer.bool(value);
  } else if (kind.endsWith('64')) {
    writer[kind as 'int64'](value.toString());
  } else {
    if (typeof value !== 'number') throw new TypeError('not a number');
    writer[kind === 'enum' ? 'int32' : (kind as 'int32')](value);
  }
}

function asBytes(value: BoundValue): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new TypeError('not bytes');
}
