/**
 * `google.protobuf.Any` as JSON. What the schema lacks stays as it is, in the form of grpcurl: `@type` and `@value`.
 */
import type { DescMessage, FileRegistry } from '@bufbuild/protobuf';
import type { LoaderObject } from '../../loader/dynamic-codec.js';
import { inputError, type JsonNode, type PlainJson } from './json-reader.js';
import { isSpecial } from './json-special.js';
import type { JsonMessage, Note } from './json-types.js';

/** Finds a message by its type. */
type Find = (desc: DescMessage) => JsonMessage;

/** Member with the bytes of a message that the schema lacks, in base64. */
const RAW = '@value';

/** @param any its value is base64. @returns its message in JSON, or what can be shown of it */
export function anyToJson(any: LoaderObject, registry: FileRegistry, find: Find, note: Note): PlainJson {
  const { type_url: typeUrl = '', value = '' } = any as { readonly type_url?: string; readonly value?: string };
  if (typeUrl === '' && value === '') return {};
  const name = nameIn(typeUrl);
  const desc = registry.getMessage(name);
  if (desc === undefined) note(`the schema has no '${name}': its bytes are in ${RAW}, in base64`);
  else {
    try {
      const type = find(desc);
      const json = type.toJson(type.decode(Buffer.from(value, 'base64')), note);
      return isSpecial(name) ? { '@type': typeUrl, value: json } : { '@type': typeUrl, ...(json as object) };
    } catch {
      note(`an Any does not hold the '${name}' it names: its bytes are in ${RAW}, in base64`);
    }
  }
  return { '@type': typeUrl, [RAW]: value };
}

/** @throws SealwireError `SEAL_INPUT` with line and column */
export function anyFromJson(node: JsonNode, registry: FileRegistry, find: Find): LoaderObject {
  if (node.kind !== 'object') throw inputError(node.at, 'a google.protobuf.Any must be an object in braces');
  const member = (name: string) => node.members.find((candidate) => candidate.name === name)?.value;
  const type = member('@type');
  if (node.members.length === 0) return {};
  if (type?.kind !== 'string') throw inputError(node.at, "a google.protobuf.Any needs '@type', a string");
  const raw = member(RAW);
  if (raw !== undefined) {
    const bytes = raw.kind === 'string' ? Buffer.from(raw.value, 'base64') : undefined;
    if (bytes === undefined) throw inputError(raw.at, `${RAW} is not base64`);
    return { type_url: type.value, value: bytes.toString('base64') };
  }
  const name = nameIn(type.value);
  const desc = registry.getMessage(name);
  if (desc === undefined) throw inputError(type.at, `the schema has no message of this type; give its bytes as ${RAW}`);
  const held = find(desc);
  const members = node.members.filter((candidate) => candidate.name !== '@type');
  const content = isSpecial(name) ? member('value') : { ...node, members };
  if (content === undefined) throw inputError(node.at, `a ${name} in a google.protobuf.Any needs 'value'`);
  const bytes = held.encode(held.fromJson(content));
  return { type_url: type.value, value: Buffer.from(bytes).toString('base64') };
}

function nameIn(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('/') + 1);
}
