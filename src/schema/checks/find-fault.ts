/**
 * What is wrong with a message that its encoder refused, in words that quote no value: encoders quote it, and do not
 * say where it stands. Only run after a failure.
 */
import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { elements, isObject } from '../containers.js';
import { bitsToBigInt, bytesOf, parseInteger } from '../loose-values.js';

/** protobuf's own limit for nested messages. */
const MAX_DEPTH = 100;
type Fields = Readonly<Record<string, unknown>>;

/**
 * @param desc the message's type
 * @param value the message, in any form that ts-proto or proto-loader has
 * @param needs whether the encoder needs a field that has presence or not
 * @returns e.g. `items[3].expiry_month is not a valid int32`; undefined if nothing wrong was found
 */
export function findFault(desc: DescMessage, value: object, needs: (field: DescField) => boolean): string | undefined {
  return firstOf(desc, value, '', 0, wrongValue) ?? firstOf(desc, value, '', 0, missingValue(needs));
}

/** Says what is wrong with a field's value; undefined: nothing. */
type Judge = (field: DescField, value: unknown) => string | undefined;

function firstOf(desc: DescMessage, message: object, path: string, depth: number, judge: Judge): string | undefined {
  if (depth > MAX_DEPTH) return `${path} is nested too deep`;
  for (const field of desc.fields) {
    const value = readLoosely(message, field) ?? undefined;
    const at = `${path}${field.name}`;
    const wrong = judge(field, value);
    if (wrong !== undefined) return `${at} ${wrong}`;
    const type = field.message;
    // Codecs have forms of their own for well-known types.
    if (type === undefined || !isObject(value) || type.typeName.startsWith('google.protobuf.')) continue;
    const isMap = field.fieldKind === 'map';
    const children: Iterable<[unknown, unknown]> =
      field.fieldKind === 'message' ? [['', value]] : elements(value, isMap);
    for (const [index, child] of children) {
      const place = field.fieldKind === 'message' ? at : `${at}[${isMap ? '…' : index}]`;
      if (!isObject(child)) return `${place} is not a valid ${type.typeName}`;
      const found = firstOf(type, child, `${place}.`, depth + 1, judge);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

function wrongValue(field: DescField, value: unknown): string | undefined {
  if (value === undefined) return undefined;
  if (field.fieldKind === 'list' && !Array.isArray(value)) return 'is not a list';
  if (field.fieldKind === 'map' && !isObject(value)) return 'is not a map';
  const isPlural = field.fieldKind === 'list' || field.fieldKind === 'map';
  if (isPlural && field.message !== undefined) return undefined;
  const singles = isPlural ? [...elements(value, field.fieldKind === 'map')].map(([, single]) => single) : [value];
  const typeName =
    field.message?.typeName ?? field.enum?.typeName ?? ScalarType[field.scalar as ScalarType].toLowerCase();
  const bad = singles.findIndex((single) => !isValid(field, single));
  if (bad < 0) return undefined;
  return isPlural ? `has an element that is not a valid ${typeName}` : `is not a valid ${typeName}`;
}

function missingValue(needs: (field: DescField) => boolean): Judge {
  return (field, value) => (value === undefined && needs(field) ? 'is missing' : undefined);
}

const RANGES: Readonly<Partial<Record<ScalarType, readonly [bigint, bigint]>>> = {
  [ScalarType.INT32]: [-(2n ** 31n), 2n ** 31n - 1n],
  [ScalarType.SINT32]: [-(2n ** 31n), 2n ** 31n - 1n],
  [ScalarType.SFIXED32]: [-(2n ** 31n), 2n ** 31n - 1n],
  [ScalarType.UINT32]: [0n, 2n ** 32n - 1n],
  [ScalarType.FIXED32]: [0n, 2n ** 32n - 1n],
  [ScalarType.INT64]: [-(2n ** 63n), 2n ** 63n - 1n],
  [ScalarType.SINT64]: [-(2n ** 63n), 2n ** 63n - 1n],
  [ScalarType.SFIXED64]: [-(2n ** 63n), 2n ** 63n - 1n],
  [ScalarType.UINT64]: [0n, 2n ** 64n - 1n],
  [ScalarType.FIXED64]: [0n, 2n ** 64n - 1n],
};

function isValid(field: DescField, value: unknown): boolean {
  if (field.message !== undefined) return isMessageForm(field.message, value);
  if (field.enum !== undefined) {
    return typeof value === 'string'
      ? field.enum.values.some(({ name }) => name === value)
      : isInRange(value, ScalarType.INT32);
  }
  const scalar = field.scalar as ScalarType;
  if (scalar === ScalarType.STRING) return typeof value === 'string';
  if (scalar === ScalarType.BOOL) return typeof value === 'boolean';
  if (scalar === ScalarType.BYTES) return succeeds(() => bytesOf(value));
  if (scalar === ScalarType.DOUBLE || scalar === ScalarType.FLOAT) return typeof value === 'number';
  return isInRange(value, scalar);
}

/** A wrapper may be its bare value. */
function isMessageForm({ typeName }: DescMessage, value: unknown): boolean {
  if (value instanceof Date) return !Number.isNaN(value.getTime());
  return isObject(value) || typeName.startsWith('google.protobuf.');
}

function isInRange(value: unknown, scalar: ScalarType): boolean {
  const [lowest, highest] = RANGES[scalar] as readonly [bigint, bigint];
  const is32 = highest <= 2n ** 32n;
  if (is32 && typeof value !== 'number') return false;
  return succeeds(() => {
    const integer = isObject(value) ? bitsToBigInt(value, lowest === 0n) : parseInteger(value);
    if (integer < lowest || integer > highest) throw new RangeError('out of range');
  });
}

function succeeds(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

/** A field's value under its proto name or in camel case, also in a union. */
function readLoosely(message: object, field: DescField): unknown {
  const names = [field.name, field.jsonName];
  const own = names.find((name) => Object.hasOwn(message, name));
  if (own !== undefined) return (message as Fields)[own];
  for (const property of field.oneof === undefined ? [] : [field.oneof.name, field.oneof.localName]) {
    const union = Object.hasOwn(message, property) ? (message as Fields)[property] : undefined;
    if (!isObject(union) || !names.includes(String((union as Fields)['$case']))) continue;
    return (union as Fields)[(union as Fields)['$case'] as string] ?? (union as Fields)['value'];
  }
  return undefined;
}
