/** Well-known types that proto3 JSON does not write as an object with the fields' names. */
import { type DescMessage, type FileRegistry, fromJson, type JsonValue, type Message } from '@bufbuild/protobuf';
import { type JsonNode, type PlainJson, toPlain } from './json-reader.js';

const SPECIAL = /^google\.protobuf\.(?:Any|Duration|FieldMask|Struct|Timestamp|Value|ListValue|\w+Value)$/;
const DOUBLES = /^google\.protobuf\.(?:Struct|Value|ListValue)$/;

export function isSpecial(typeName: string): boolean {
  return SPECIAL.test(typeName);
}

/** @param node of a type other than `Any`. @throws Error that may quote the value */
export function specialFromJson(desc: DescMessage, node: JsonNode, registry: FileRegistry): Message {
  const plain = toPlain(node, DOUBLES.test(desc.typeName) ? 'double' : 'exact');
  const value = isInMessageForm(desc, node) ? (plain as { readonly value: PlainJson }).value : plain;
  return fromJson(desc, value as JsonValue, { registry });
}

/** `{"value": …}` of a wrapper, as the opened type has it. */
function isInMessageForm({ fields }: DescMessage, node: JsonNode): boolean {
  if (node.kind !== 'object' || node.members.length !== 1 || node.members[0]?.name !== 'value') return false;
  return fields.length === 1 && fields[0]?.name === 'value';
}
