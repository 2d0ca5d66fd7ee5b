/**
 * One message as JSON with its inner messages in place. `@bufbuild/protobuf` does proto3 JSON; its errors quote
 * values, so places and types are reported here.
 */
import {
  type DescField,
  type DescMessage,
  type DescOneof,
  type FileRegistry,
  fromBinary,
  fromJson,
  type JsonObject,
  type JsonValue,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import { SealwireError } from '../../errors.js';
import { looksLikeToken } from '../../jwe/token.js';
import { createDynamicCodec, type LoaderObject } from '../../loader/dynamic-codec.js';
import type { LoaderForm } from '../../loader/loader-form.js';
import type { InnerCodec } from '../../schema/plan.js';
import { eachNode, isNull, mapContainer, takesNull, typeOf } from './json-field.js';
import { define, inputError, type JsonMember, type JsonNode, type PlainJson, toPlain } from './json-reader.js';

/** One message type. */
export interface JsonMessage {
  readonly typeName: string;
  /**
   * @param node a JSON object; sealed fields hold inner messages, or tokens that stay as they are
   * @throws SealwireError `SEAL_INPUT` with line and column; no value is quoted
   */
  fromJson(node: JsonNode): object;
  /** @param message tokens or inner messages in its sealed fields. @throws SealwireError `SEAL_INPUT` */
  toJson(message: object): PlainJson;
  /** Wire format; sealed fields hold tokens. @throws SealwireError `SEAL_INPUT` */
  encode(message: object): Uint8Array;
  /** @throws SealwireError `SEAL_INPUT` for malformed bytes */
  decode(bytes: Uint8Array): object;
}

/** Types that proto3 JSON does not write as an object with the fields' names. */
const SPECIAL = /^google\.protobuf\.(?:Any|Duration|FieldMask|Struct|Timestamp|Value|ListValue|\w+Value)$/;
const DOUBLES = /^google\.protobuf\.(?:Struct|Value|ListValue)$/;

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
  readonly #codec: InnerCodec<LoaderObject>;

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
    return this.#guard(() => this.#codec.encode(message as LoaderObject));
  }

  decode(bytes: Uint8Array): object {
    return this.#guard(() => this.#codec.decode(bytes));
  }

  fromJson(node: JsonNode): LoaderObject {
    if (SPECIAL.test(this.typeName)) return this.#fromSpecial(node);
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

  toJson(message: object): PlainJson {
    if (SPECIAL.test(this.typeName)) return this.#plainJson(message as LoaderObject);
    const own: LoaderObject = {};
    const others = new Map<DescField, PlainJson>();
    for (const field of this.#desc.fields) {
      const key = this.#form.key(field);
      const value = Object.hasOwn(message, key) ? (message as LoaderObject)[key] : undefined;
      const sealed = this.#lookup.sealed(field);
      // An empty string is an absent token.
      if (value === undefined || value === null || (sealed !== undefined && value === '')) continue;
      const inner = sealed ?? this.#nested(field);
      if (inner === undefined) define(own, key, value);
      else
        others.set(
          field,
          mapContainer(field, value, (item) => (typeof item === 'string' ? item : inner.toJson(item as object))),
        );
    }
    const plain = this.#plainJson(own) as { [name: string]: PlainJson };
    const json: { [name: string]: PlainJson } = {};
    for (const field of this.#desc.fields) {
      const value = others.get(field) ?? (Object.hasOwn(plain, field.jsonName) ? plain[field.jsonName] : undefined);
      if (value !== undefined) define(json, field.jsonName, value);
    }
    return json;
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
        if (!SPECIAL.test(sealed.typeName)) {
          throw inputError(
            node.at,
            `${field.name} must be a ${sealed.typeName} in braces, or a whole token of five parts`,
          );
        }
      }
      return inner.fromJson(node);
    });
  }

  /**
   * The message type of a field that may hold sealed fields; undefined for those that proto3 JSON writes in another
   * way.
   */
  #nested(field: DescField): ReflectedMessage | undefined {
    const { message } = field;
    return message === undefined || SPECIAL.test(message.typeName) ? undefined : this.#lookup.message(message);
  }

  #fromLeaf(field: DescField, at: JsonMember['at'], value: JsonNode): unknown {
    const json = { [field.jsonName]: toPlain(value, this.#numbers(field.message)) } as JsonObject;
    try {
      const decoded = this.#codec.decode(
        toBinary(this.#desc, fromJson(this.#desc, json, { registry: this.#registry })),
      );
      const key = this.#form.key(field);
      if (Object.hasOwn(decoded, key)) return decoded[key];
      return undefined;
    } catch {
      throw inputError(at, `${field.name} is not a valid ${typeOf(field)}`);
    }
  }

  #fromSpecial(node: JsonNode): LoaderObject {
    try {
      const plain = toPlain(node, this.#numbers(this.#desc));
      return this.#decodePlain(this.#isInMessageForm(node) ? (plain as { value: PlainJson }).value : plain);
    } catch {
      throw inputError(node.at, `not a valid ${this.typeName}`);
    }
  }

  /** `{"value": …}` of a wrapper, as the opened type has it. */
  #isInMessageForm(node: JsonNode): boolean {
    if (node.kind !== 'object' || node.members.length !== 1 || node.members[0]?.name !== 'value') return false;
    return this.#desc.fields.length === 1 && this.#desc.fields[0]?.name === 'value';
  }

  #decodePlain(plain: PlainJson): LoaderObject {
    const message = fromJson(this.#desc, plain as JsonValue, { registry: this.#registry });
    return this.#codec.decode(toBinary(this.#desc, message));
  }

  #plainJson(object: LoaderObject): PlainJson {
    const message = fromBinary(this.#desc, this.encode(object));
    return this.#guard(() => toJson(this.#desc, message, { registry: this.#registry })) as PlainJson;
  }

  #numbers(desc: DescMessage | undefined): 'exact' | 'double' {
    return desc !== undefined && DOUBLES.test(desc.typeName) ? 'double' : 'exact';
  }

  /** Errors of the codec quote values. */
  #guard<T>(work: () => T): T {
    try {
      return work();
    } catch {
      throw new SealwireError('SEAL_INPUT', `not a valid ${this.typeName}`);
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
