/** Prints the opened types, type assertions and plans of a file's messages. */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { messageOf, type SealedField, type SealedMessage, wellKnownName } from '../schema/analysis.js';
import { hasPresence, isPlainInTsProto } from '../schema/checks/presence.js';
import { boundKind, oneofsOf, shapeOf } from '../schema/descriptor-facts.js';
import type { FileContext } from './file-context.js';
import { propertyName, quoteKey } from './names.js';
import { printAssertions, unionProperty } from './print-assertions.js';

/** One message: its opened type, assertions and plan. */
export function printMessage(context: FileContext, message: SealedMessage): void {
  printOpenedType(context, message);
  printAssertions(context, message);
  printPlan(context, message);
}

function printOpenedType(context: FileContext, { desc, sealed, nested }: SealedMessage): void {
  const original = context.typeOf(desc);
  const members: string[] = [];
  const replacedKeys = new Set<string>();
  const cases = new Map<string, string[]>();
  const add = (field: DescField, type: string, required: boolean) => {
    const key = propertyName(field, context.options);
    const union = unionProperty(context, field);
    if (union !== undefined) {
      const value = context.options.oneof === 'unions' ? quoteKey(key) : 'value';
      cases.set(union, [...(cases.get(union) ?? []), `{ $case: ${JSON.stringify(key)}; ${value}: ${type} }`]);
      return;
    }
    replacedKeys.add(key);
    const shape = shapeOf(field);
    if (shape === 'repeated' || shape === 'map') {
      const optional = context.options.useOptionals === 'all';
      const container = `${original}[${JSON.stringify(key)}]`;
      const elements = `$sealwire.ReplaceElements<${optional ? `NonNullable<${container}>` : container}, ${type}>`;
      members.push(`  ${quoteKey(key)}${optional ? '?' : ''}: ${elements}${optional ? ' | undefined' : ''};`);
    } else {
      members.push(`  ${quoteKey(key)}${required ? '' : '?'}: ${type}${required ? '' : ' | undefined'};`);
    }
  };
  for (const field of sealed) add(field.desc, innerType(context, field), field.option.required);
  for (const field of nested) add(field, context.openedName(messageOf(field)!), false);
  for (const [union, replacements] of cases) {
    replacedKeys.add(union);
    const names = replacements.map((text) => /\$case: ("[^"]+")/.exec(text)?.[1]).join(' | ');
    const type = `$sealwire.ReplaceCase<${original}[${JSON.stringify(union)}], ${names}, ${replacements.join(' | ')}>`;
    members.push(`  ${quoteKey(union)}?: ${type} | undefined;`);
  }
  const omitted = [...replacedKeys].map((key) => JSON.stringify(key)).join(' | ');
  context.print(
    `/** \`${desc.typeName}\` with its inner messages in place. */`,
    `export interface ${context.openedName(desc)} extends Omit<${original}, ${omitted}> {`,
    ...members,
    '}',
    '',
  );
}

/** The inner message's own type. */
export function innerMessageType(context: FileContext, { option, inner }: SealedField): string {
  const known = wellKnownName(option.type);
  return known === undefined ? context.typeOf(inner!) : `$sealwire.WellKnown[${JSON.stringify(known)}]`;
}

function innerType(context: FileContext, field: SealedField): string {
  const { option, inner } = field;
  const known = wellKnownName(option.type);
  const named = innerMessageType(context, field);
  // A string would pass for a type without required properties.
  const isWeak = known === undefined ? inner!.fields.every((field) => mayBeLeftOut(context, field)) : known === 'Empty';
  const type = isWeak ? `(${named} & object)` : named;
  return option.recipient === '' ? type : `${type} | $sealwire.SealedToken`;
}

/** Whether ts-proto's type may lack a field's property. */
function mayBeLeftOut(context: FileContext, field: DescField): boolean {
  return (
    context.options.useOptionals === 'all' || (field.fieldKind === 'scalar' && hasPresence(field)) || !!field.oneof
  );
}

function printPlan(context: FileContext, { desc, sealed, nested }: SealedMessage): void {
  context.print(
    `/** The sealed fields of \`${desc.typeName}\`. */`,
    `export const ${context.planName(desc)}: $sealwire.MessagePlan = {`,
    `  typeName: ${JSON.stringify(desc.typeName)},`,
    ...printOneofs(context, desc),
    '  sealed: [',
    ...sealed.flatMap((field) => planOfSealed(context, field)),
    '  ],',
    '  nested: [',
    ...nested.map((field) => {
      const plan = context.planName(messageOf(field)!);
      return `    { ${locate(context, field)}, shape: '${shapeOf(field)}', plan: () => ${plan} },`;
    }),
    '  ],',
    '};',
    '',
  );
}

/** Unions hold one member only. */
function printOneofs(context: FileContext, desc: DescMessage): string[] {
  const oneofs = context.options.oneof === 'properties' ? oneofsOf(desc) : [];
  if (oneofs.length === 0) return [];
  const groups = oneofs.map((members) => `[${members.map((field) => `{ ${locate(context, field)} }`).join(', ')}]`);
  return ['  oneofs: [', ...groups.map((group) => `    ${group},`), '  ],'];
}

function planOfSealed(context: FileContext, field: SealedField): string[] {
  const { desc, option, bound } = field;
  const shape = isPlainInTsProto(desc) && field.shape === 'optional' ? 'singular' : field.shape;
  const binds = bound.map((sibling) => {
    const explicit = hasPresence(sibling);
    const numbers =
      context.options.stringEnums && sibling.enum !== undefined
        ? `, enumNumbers: ${JSON.stringify(Object.fromEntries(sibling.enum.values.map((v) => [v.name, v.number])))}`
        : '';
    return `        { ${locate(context, sibling)}, number: ${sibling.number}, kind: '${boundKind(sibling)}', explicitPresence: ${explicit}${numbers} },`;
  });
  return [
    '    {',
    `      fullName: ${JSON.stringify(`${desc.parent.typeName}.${desc.name}`)},`,
    `      ${locate(context, desc)},`,
    `      shape: '${shape}',`,
    `      codec: ${codec(context, field)},`,
    `      recipient: ${JSON.stringify(option.recipient)},`,
    `      required: ${option.required},`,
    `      transient: ${option.transient},`,
    ...(option.maxBytes ? [`      maxBytes: ${option.maxBytes},`] : []),
    ...(binds.length === 0 ? ['      bind: [],'] : ['      bind: [', ...binds, '      ],']),
    '    },',
  ];
}

function codec(context: FileContext, { option, inner }: SealedField): string {
  const known = wellKnownName(option.type);
  if (known !== undefined) return `$sealwire.wellKnownCodecs.${known}`;
  const fns = context.typeOf(inner!);
  return `$sealwire.createInnerCodec(${JSON.stringify(option.type)}, ${fns}, $descriptors)`;
}

function locate(context: FileContext, field: DescField): string {
  const union = unionProperty(context, field);
  const oneof =
    union === undefined ? '' : `, oneof: { property: ${JSON.stringify(union)}, style: '${context.options.oneof}' }`;
  return `name: ${JSON.stringify(field.name)}, key: ${JSON.stringify(propertyName(field, context.options))}${oneof}`;
}
