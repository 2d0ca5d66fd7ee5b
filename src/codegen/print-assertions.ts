/** Prints types that compile only when ts-proto ran with the options that this plugin was told. */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { messageOf, type SealedMessage } from '../schema/analysis.js';
import { hasPresence } from '../schema/checks/presence.js';
import { boundKind } from '../schema/descriptor-facts.js';
import type { FileContext } from './file-context.js';
import { propertyName } from './names.js';

const DATE_TYPES = {
  date: 'Date',
  string: 'string',
  timestamp: '{ readonly nanos: number }',
  temporal: '{ readonly epochNanoseconds: bigint }',
} as const;

/** With another option set, ts-proto makes other names or types: then these lines do not compile. */
export function printAssertions(context: FileContext, message: SealedMessage): void {
  const { desc, sealed, nested } = message;
  const lines = new Set<string>();
  for (const { desc: field, inner, bound } of sealed) {
    lines.add(`$sealwire.AssertSealed<${access(context, field)}>`);
    addCase(context, field, lines);
    addOptionality(context, field, lines);
    for (const sibling of bound)
      lines.add(`$sealwire.AssertBound<${access(context, sibling)}, ${scalarType(context, sibling)}>`);
    if (inner !== undefined) addOptionDependent(context, inner, lines);
  }
  for (const field of nested) {
    // Says only that the property is there.
    lines.add(`$sealwire.AssertBound<undefined, ${access(context, field)}>`);
    addCase(context, field, lines);
    addOptionality(context, field, lines);
  }
  addOptionDependent(context, desc, lines);
  const name = context.scope.claim(`Assert${context.nameOf(desc)}`);
  context.print(
    '/** Does not compile when ts-proto ran with other options than protoc-gen-sealwire. */',
    `export type ${name} = [`,
    ...[...lines].map((line) => `  ${line},`),
    '];',
    '',
  );
}

/** Property that holds the union of a oneof's members; undefined when members stand beside their siblings. */
export function unionProperty(context: FileContext, field: DescField): string | undefined {
  if (field.oneof === undefined || context.options.oneof === 'properties') return undefined;
  return propertyName(field.oneof, context.options);
}

/** The type of a field's value. */
function access(context: FileContext, field: DescField): string {
  const original = context.typeOf(field.parent);
  const key = JSON.stringify(propertyName(field, context.options));
  const union = unionProperty(context, field);
  if (union === undefined) return `${original}[${key}]`;
  const member = `Extract<NonNullable<${original}[${JSON.stringify(union)}]>, { $case: ${key} }>`;
  return `${member}[${context.options.oneof === 'unions' ? key : '"value"'}]`;
}

/** `oneof` and `snakeToCamel`: a member that is missing from a union gives `never`, which every constraint takes. */
function addCase(context: FileContext, field: DescField, lines: Set<string>): void {
  const union = unionProperty(context, field);
  if (union === undefined) return;
  const key = JSON.stringify(propertyName(field, context.options));
  const cases = `NonNullable<${context.typeOf(field.parent)}[${JSON.stringify(union)}]>["$case"]`;
  lines.add(`$sealwire.AssertBound<${key}, ${cases}>`);
}

/** `useOptionals`: whether the property may be left out. Not of proto2, where every field may. */
function addOptionality(context: FileContext, field: DescField, lines: Set<string>): void {
  const isMessage = field.fieldKind === 'message';
  if (field.oneof !== undefined || (!isMessage && hasPresence(field)) || field.parent.file.proto.syntax !== 'proto3') {
    return;
  }
  const { useOptionals } = context.options;
  const expected = useOptionals === 'all' || (useOptionals === 'messages' && isMessage);
  const key = propertyName(field, context.options);
  // `{}` itself has a `constructor` and the like, which is no `string`.
  if (key in Object.prototype) return;
  const property = JSON.stringify(key);
  const isOptional = `{} extends Pick<${context.typeOf(field.parent)}, ${property}> ? true : false`;
  lines.add(`$sealwire.AssertBound<${isOptional}, ${expected}>`);
}

/** `forceLong`, `stringEnums`, `useDate`: fields whose types depend on them. */
function addOptionDependent(context: FileContext, message: DescMessage, lines: Set<string>): void {
  for (const field of message.fields) {
    const kind = boundKind(field);
    const isScalar = kind === 'enum' || kind?.endsWith('64');
    const type = isScalar ? scalarType(context, field) : dateType(context, field);
    if (type !== undefined) lines.add(`$sealwire.AssertBound<${access(context, field)}, ${type}>`);
  }
}

function dateType(context: FileContext, field: DescField): string | undefined {
  const isTimestamp = field.fieldKind === 'message' && messageOf(field)?.typeName === 'google.protobuf.Timestamp';
  return isTimestamp ? DATE_TYPES[context.options.useDate] : undefined;
}

/** ts-proto's type of a field that can be bound. */
function scalarType(context: FileContext, field: DescField): string {
  const kind = boundKind(field);
  if (kind === 'string') return 'string';
  if (kind === 'bool') return 'boolean';
  if (kind === 'bytes') return 'Uint8Array';
  if (kind === 'enum') return context.options.stringEnums ? 'string' : 'number';
  if (!kind?.endsWith('64')) return 'number';
  const { forceLong } = context.options;
  return forceLong === 'long' ? '{ readonly unsigned: boolean }' : forceLong;
}
