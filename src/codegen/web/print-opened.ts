/** Prints the opened types of messages: protobuf-es's own, with inner messages in place of tokens. */
import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import type { Printable } from '@bufbuild/protoplugin';
import type { SealedMessage } from '../../schema/analysis.js';
import { quoteKey } from '../names.js';
import { innerShape, type WebFile } from './web-file.js';

/** A field of another type than in protobuf-es's message. */
interface Replaced {
  readonly desc: DescField;
  readonly type: Printable;
  readonly required: boolean;
}

/** Map keys that protobuf-es gives as numbers; all others are text. */
const NUMERIC_KEYS: readonly ScalarType[] = [
  ScalarType.INT32,
  ScalarType.UINT32,
  ScalarType.SINT32,
  ScalarType.FIXED32,
  ScalarType.SFIXED32,
];

export function printOpened(file: WebFile, { desc, sealed, nested }: SealedMessage): void {
  const { output } = file;
  const replaced: Replaced[] = [
    ...sealed.map((field) => {
      const inner = innerShape(file, field);
      const type = field.option.recipient === '' ? inner : [inner, ' | ', file.runtime('SealedToken')];
      return { desc: field.desc, type, required: field.option.required };
    }),
    ...nested.map((field) => ({ desc: field, type: file.opened(field.message as DescMessage), required: false })),
  ];
  const unions = desc.oneofs.filter((oneof) => replaced.some((field) => field.desc.oneof === oneof));
  const single = replaced.filter((field) => field.desc.oneof === undefined);
  const keys = [...single.map((field) => field.desc.localName), ...unions.map(({ localName }) => localName)];
  const omitted = keys.map((key) => JSON.stringify(key)).join(' | ');
  const omit = [file.builtIn('Omit'), '<', output.importShape(desc), `, ${omitted}>`];
  output.print(output.jsDoc(`\`${desc.typeName}\` with its inner messages in place.`));
  output.print(output.export('interface', file.opened(desc).name), ' extends ', omit, ' {');
  for (const field of single) output.print('  ', printField(field), ';');
  for (const oneof of unions) {
    const members = replaced.filter((field) => field.desc.oneof === oneof);
    const cases = members.map((field) => JSON.stringify(field.desc.localName));
    const original = [output.importShape(desc), `[${JSON.stringify(oneof.localName)}]`];
    output.print('  ', quoteKey(oneof.localName), ':');
    output.print('    | ', file.builtIn('Exclude'), '<', original, `, { case: ${cases.join(' | ')} }>`);
    members.forEach(({ type }, index) => {
      const end = index === members.length - 1 ? ';' : '';
      output.print(`    | { case: ${cases[index]}; value: `, type, ` }${end}`);
    });
  }
  output.print('}');
  output.print();
}

function printField({ desc, type, required }: Replaced): Printable {
  const key = quoteKey(desc.localName);
  if (desc.fieldKind === 'list') return [key, ': ', ...(Array.isArray(type) ? ['(', type, ')'] : [type]), '[]'];
  if (desc.fieldKind === 'map') {
    const keyType = NUMERIC_KEYS.includes(desc.mapKey) ? 'number' : 'string';
    return [key, `: { [key: ${keyType}]: `, type, ' }'];
  }
  return required ? [key, ': ', type] : [key, '?: ', type, ' | undefined'];
}
