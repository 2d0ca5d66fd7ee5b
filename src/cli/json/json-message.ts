/**
 * One message as JSON with its inner messages in place. `@bufbuild/protobuf` does proto3 JSON; its errors quote
 * values, so places and types are reported here.
 */
import {
  type DescField,
  type DescMessage,
  type DescOneof,
  type FileRegistry,
  fromJson,
  type JsonObject,
  toJson,
} from '@bufbuild/protobuf';
import { SealwireError } from '../../errors.js';
import { createDynamicCodec, type DynamicCodec, type LoaderObject } from '../../loader/dynamic-codec.js';
import type { LoaderForm } from '../../loader/loader-form.js';
import { looksLikeToken } from '../../profile/token-form.js';
import { isRequired } from '../../schema/checks/presence.js';
import { elements, isObject } from '../../schema/containers.js';
import { anyFromJson, anyToJson } from './json-any.js';
import { eachNode, isEmptyContainer, isNull, leafToJson, mapContainer, takesNull, typeOf } from './json-field.js';
import { define, inputError, type JsonMember, type JsonNode, type PlainJson, toPlain } from './json-reader.js';
import { isSpecial, specialFromJson } from './json-special.js';
import type { JsonMessage, Note } from './json-types.js';

const ANY = 'google.protobuf.Any';

/** How a message finds others. */
export interface Lookup {
  /** The inner message of a sealed field; undefined when it is not sealed. */
  sealed(field: DescField): ReflectedMessage | undefined;
  message(desc: DescMessage): ReflectedMessage;
}

/**
 * protoc refuses two fields that answer to one JSON name; a schema from a stranger may have them, and what is written
 * for the sealed one would go out by the other.
 */
function refuseAmbiguous({ fields, typeName }: DescMessage): void {
  const owners = new Map<string, DescField>();
  for (const field of fields) {
    for (const name of [field.name, field.jsonName]) {
      const owner = owners.get(name) ?? field;
      if (owner !== field)
        throw new SealwireError('PLAN_INVALID', `${typeName}: two fields answer to the JSON name '${name}'`);
      owners.set(name, field);
    }
  }
}

/** A message by its descriptor. */
export class ReflectedMessage implements JsonMessage {
  readonly typeName: string;
  readonly #desc: DescMessage;
  readonly #registry: FileRegistry;
  readonly #form: LoaderForm;
  readonly #lookup: Lookup;
  readonly #codec: DynamicCodec;

  constructor(desc: DescMessage, registry: FileRegistry, form: LoaderForm, lookup: Lookup) {
    this.typeName = desc.typeName;
    this.#desc = desc;
    this.#registry = registry;
    this.#form = form;
    this.#lookup = lookup;
    this.#codec = createDynamicCodec(desc, registry, form);
    refuseAmbiguous(desc);
  }

  encode(message: object): Uint8Array {
    try {
      return this.#codec.encode(message as LoaderObject);
    } catch {
      // The codec's errors quote values.
      const fault = this.#codec.findFault?.(message as LoaderObject);
      throw new SealwireError('SEAL_INPUT', fault ?? `not a valid ${this.typeName}`);
    }
  }

  decode(bytes: Uint8Array): object {
    try {
      return this.#codec.decode(bytes);
    } catch {
      throw new SealwireError('SEAL_INPUT', `not a valid ${this.typeName}`);
    }
  }

  checkRequired(message: object, path = ''): void {
    for (const field of this.#desc.fields) {
      const sealed = this.#lookup.sealed(field);
      const value = this.#read(message, field);
      const at = `${path}${field.name}`;
      if (value === undefined || (sealed !== undefined && value === '')) {
        if (isRequired(field)) throw new SealwireError('SEAL_INPUT', `${at} is required`);
        continue;
      }
      const inner = sealed ?? this.#nested(field);
      if (inner === undefined || isSpecial(inner.typeName)) continue;
      const isPlural = field.fieldKind === 'list' || field.fieldKind === 'map';
      for (const [index, item] of isPlural ? elements(value, field.fieldKind === 'map') : [['', value] as const]) {
        if (isObject(item)) inner.checkRequired(item, isPlural ? `${at}[${index}].` : `${at}.`);
      }
    }
  }

  fromJson(node: JsonNode, name = ''): LoaderObject {
    if (isSpecial(this.typeName)) return this.#fromSpecial(node, name);
    if (node.kind !== 'object') throw inputError(node.at, `a ${this.typeName} must be an object in braces`);
    const object: LoaderObject = {};
    const seen = new Set<DescField>();
    const members = new Map<DescOneof, DescField>();
    for (const member of node.members) {
      const field = this.#desc.fields.find(({ name, jsonName }) => member.name === jsonName || member.name === name);
      if (field === undefined) throw inputError(member.at, `${this.typeName} has no field of this name${this.#hint()}`);
      // `orderId` and `order_id` are one field.
      if (seen.has(field)) throw inputError(member.at, `${field.name} occurs twice`);
      seen.add(field);
      if (isNull(member.value) && !takesNull(field)) continue;
      if (field.oneof !== undefined) {
        const other = members.get(field.oneof);
        if (other !== undefined) throw inputError(member.at, `${field.name} cannot be set together with ${other.name}`);
        members.set(field.oneof, field);
      }
      define(object, this.#form.key(field), this.#fromMember(field, member));
    }
    return object;
  }

  toJson(message: object, note: Note = () => {}): PlainJson {
    if (this.typeName === ANY) return anyToJson(message as LoaderObject, this.#registry, this.#lookup.message, note);
    if (!isSpecial(this.typeName)) return this.#fieldsToJson(message, note);
    try {
      const plain = this.#codec.toMessage(message as LoaderObject);
      return toJson(this.#desc, plain, { registry: this.#registry }) as PlainJson;
    } catch {
      // E.g. a time after the year 9999.
      note(`JSON cannot hold a '${this.typeName}' that was found: its fields are shown`);
      return this.#fieldsToJson(message, note);
    }
  }

  #fieldsToJson(message: object, note: Note): PlainJson {
    const json: { [name: string]: PlainJson } = {};
    for (const field of this.#desc.fields) {
      const value = this.#read(message, field);
      const sealed = this.#lookup.sealed(field);
      // An empty string is an absent token.
      if (value === undefined || (sealed !== undefined && value === '') || isEmptyContainer(field, value)) continue;
      const inner = sealed ?? this.#nested(field);
      const convert = (item: unknown) =>
        inner === undefined || (sealed !== undefined && typeof item === 'string')
          ? leafToJson(field, item)
          : inner.toJson(item as object, note);
      define(json, field.jsonName, mapContainer(field, value, convert));
    }
    return json;
  }

  #read(message: object, field: DescField): unknown {
    const key = this.#form.key(field);
    return Object.hasOwn(message, key) ? ((message as LoaderObject)[key] ?? undefined) : undefined;
  }

  #fromMember(field: DescField, { at, value }: JsonMember): unknown {
    const sealed = this.#lookup.sealed(field);
    const inner = sealed ?? this.#nested(field);
    if (inner === undefined) return this.#fromLeaf(field, at, value);
    return eachNode(field, value, (node) => {
      if (sealed !== undefined && node.kind === 'string') {
        // A field that somebody else sealed is passed on.
        if (looksLikeToken(node.value)) return node.value;
        if (node.value === '' && field.fieldKind === 'scalar') return undefined;
        if (!isSpecial(sealed.typeName)) {
          throw inputError(
            node.at,
            `${field.name} must be a ${sealed.typeName} in braces, or a whole token of five parts`,
          );
        }
      }
      return inner.fromJson(node, field.name);
    });
  }

  #nested({ message }: DescField): ReflectedMessage | undefined {
    return message && this.#lookup.message(message);
  }

  #fromLeaf(field: DescField, at: JsonMember['at'], value: JsonNode): unknown {
    try {
      const json = { [field.jsonName]: toPlain(value) } as JsonObject;
      return this.#read(this.#codec.fromMessage(fromJson(this.#desc, json)), field);
    } catch {
      throw inputError(at, `${field.name} is not a valid ${typeOf(field)}`);
    }
  }

  #fromSpecial(node: JsonNode, name: string): LoaderObject {
    if (this.typeName === ANY) return anyFromJson(node, this.#registry, this.#lookup.message);
    try {
      return this.#codec.fromMessage(specialFromJson(this.#desc, node, this.#registry));
    } catch {
      throw inputError(node.at, `${name === '' ? '' : `${name} is `}not a valid ${this.typeName}`);
    }
  }

  #hint(): string {
    return listOf(this.#desc.fields.map(({ name }) => name));
  }
}

/** The end of an error: the names that exist. */
export function listOf(names: readonly string[]): string {
  return names.length === 0 ? '' : `; it has ${names.join(', ')}`;
}
