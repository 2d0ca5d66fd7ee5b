/** One field as JSON: its shape, the keys of maps, what null means. */
import { type DescField, ScalarType } from '@bufbuild/protobuf';
import type { LoaderObject } from '../../loader/dynamic-codec.js';
import { define, inputError, type JsonNode, type PlainJson } from './json-reader.js';

/** @returns a loader value of the field's shape */
export function eachNode(field: DescField, node: JsonNode, convert: (node: JsonNode) => unknown): unknown {
  if (field.fieldKind === 'list') {
    if (node.kind !== 'array') throw inputError(node.at, `${field.name} must be a list in brackets`);
    return node.items.map(convert);
  }
  if (field.fieldKind !== 'map') return convert(node);
  if (node.kind !== 'object') throw inputError(node.at, `${field.name} must be a map in braces`);
  const map: LoaderObject = {};
  for (const { name, at, value } of node.members) {
    if (!isKey(field.mapKey, name))
      throw inputError(at, `not a key of ${field.name}, which are ${SCALARS[field.mapKey]}`);
    define(map, name, convert(value));
  }
  return map;
}

const UNSIGNED: readonly ScalarType[] = [ScalarType.UINT32, ScalarType.FIXED32, ScalarType.UINT64, ScalarType.FIXED64];
const LONG: readonly ScalarType[] = [
  ScalarType.INT64,
  ScalarType.SINT64,
  ScalarType.SFIXED64,
  ScalarType.UINT64,
  ScalarType.FIXED64,
];

/** Only in the form that is printed: `1` and `01` would be the same key. */
function isKey(type: ScalarType, name: string): boolean {
  if (type === ScalarType.STRING) return true;
  if (type === ScalarType.BOOL) return name === 'true' || name === 'false';
  if (!/^(?:0|-?[1-9]\d{0,19})$/.test(name)) return false;
  const bits = LONG.includes(type) ? 64 : 32;
  const value = BigInt(name);
  return value === (UNSIGNED.includes(type) ? BigInt.asUintN(bits, value) : BigInt.asIntN(bits, value));
}

/** Whether a node is `null`. */
export function isNull(node: JsonNode): boolean {
  return node.kind === 'literal' && node.value === null;
}

/** For these, null is a value. Any other field is absent if it is null. */
export function takesNull({ fieldKind, message, enum: type }: DescField): boolean {
  if (fieldKind === 'enum') return type.typeName === 'google.protobuf.NullValue';
  return fieldKind === 'message' && message.typeName === 'google.protobuf.Value';
}

/** The same from a loader value to JSON. */
export function mapContainer(field: DescField, value: unknown, convert: (item: unknown) => PlainJson): PlainJson {
  if (field.fieldKind === 'list') return (value as unknown[]).map(convert);
  if (field.fieldKind !== 'map') return convert(value);
  const map: { [name: string]: PlainJson } = {};
  for (const [key, item] of Object.entries(value as object)) define(map, key, convert(item));
  return map;
}

/** A value that is no message, from a loader value with texts for 64-bit integers, bytes and enums. */
export function leafToJson(field: DescField, value: unknown): PlainJson {
  if (field.enum?.typeName === 'google.protobuf.NullValue') return null;
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : (value as PlainJson);
}

/** A list or map without elements is as good as absent. */
export function isEmptyContainer({ fieldKind }: DescField, value: unknown): boolean {
  return (fieldKind === 'list' || fieldKind === 'map') && Object.keys(value as object).length === 0;
}

/** What a field holds, for errors. */
export function typeOf(field: DescField): string {
  const { proto, message } = field;
  const name = message?.typeName ?? field.enum?.typeName ?? SCALARS[proto.type] ?? 'value';
  if (field.fieldKind === 'list') return `list of ${name}`;
  return field.fieldKind === 'map' ? 'map' : name;
}

/** Names by `FieldDescriptorProto.Type`. */
const SCALARS: Readonly<Record<number, string>> = {
  1: 'double',
  2: 'float',
  3: 'int64',
  4: 'uint64',
  5: 'int32',
  6: 'fixed64',
  7: 'fixed32',
  8: 'bool',
  9: 'string',
  12: 'bytes (base64)',
  13: 'uint32',
  15: 'sfixed32',
  16: 'sfixed64',
  17: 'sint32',
  18: 'sint64',
};
