/**
 * Inner messages without generated code: encoded and decoded by their descriptors, as objects in the form
 * in which proto-loader gives messages under the same options.
 */
import {
  type DescField,
  type DescMessage,
  fromBinary,
  fromJsonString,
  type Message,
  type Registry,
  type ScalarType,
  toBinary,
} from '@bufbuild/protobuf';
import { type ReflectList, type ReflectMap, type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { findFault } from '../schema/checks/find-fault.js';
import { isInOneof, isRequired } from '../schema/checks/presence.js';
import type { InnerCodec } from '../schema/plan.js';
import { MAX_INNER_MESSAGES, scanMessage } from '../schema/wire-scan.js';
import type { LoaderForm } from './loader-form.js';
import { enumFromLoader, enumToLoader, mapKeyFromText, scalarFromLoader, scalarToLoader } from './loader-values.js';

/** A message as proto-loader gives it. */
export type LoaderObject = Record<string, unknown>;

/** A codec that also takes and gives messages of `@bufbuild/protobuf`, which may lack required fields. */
export interface DynamicCodec extends InnerCodec<LoaderObject> {
  toMessage(value: LoaderObject): Message;
  fromMessage(message: Message): LoaderObject;
}

const ANY = 'google.protobuf.Any';
/** protobuf's own limit for nested messages. */
const MAX_DEPTH = 100;

/**
 * Makes a codec from a descriptor. Its `encode` takes every form that proto-loader has for a value, ignores
 * properties that are no fields, and coerces nothing: a value of another type is an error. Its errors may
 * quote values: they are for the callers of the codec only, who must not pass them on.
 *
 * @param desc the inner message
 * @param registry types for `google.protobuf.Any`
 * @param form forms of names and values
 */
export function createDynamicCodec(desc: DescMessage, registry: Registry, form: LoaderForm): DynamicCodec {
  const writer = new ObjectWriter(registry, form);
  const reader = new ObjectReader(registry, form);
  const decode = (bytes: Uint8Array) => writer.write(readMessage(desc, bytes));
  const toMessage = (value: LoaderObject) => reader.read(desc, value, 0).message;
  return {
    typeName: desc.typeName,
    encode: (value) => toBinary(desc, toMessage(value)),
    findFault: (value) => findFault(desc, value, isRequired),
    toMessage,
    fromMessage: (message) => writer.write(reflect(desc, message)),
    decode,
    decodeJson: (json) => decode(toBinary(desc, fromJsonString(desc, json, { registry }))),
  };
}

function readMessage(desc: DescMessage, bytes: Uint8Array): ReflectMessage {
  scanMessage(desc, bytes, MAX_INNER_MESSAGES);
  return reflect(desc, fromBinary(desc, bytes));
}

/** From messages to proto-loader's objects. */
class ObjectWriter {
  readonly #registry: Registry;
  readonly #form: LoaderForm;

  constructor(registry: Registry, form: LoaderForm) {
    this.#registry = registry;
    this.#form = form;
  }

  write(message: ReflectMessage): LoaderObject {
    const unpacked = this.#form.json && message.desc.typeName === ANY ? this.#unpack(message) : undefined;
    if (unpacked !== undefined) return unpacked;
    const object: LoaderObject = {};
    for (const field of message.sortedFields) {
      const key = this.#form.key(field);
      const oneofKey = this.#form.oneofs && message.isSet(field) ? this.#form.oneofKey(field) : undefined;
      const value = message.isSet(field) ? this.#value(message, field) : this.#unset(message, field);
      if (value !== undefined) put(object, key, value);
      if (oneofKey !== undefined) put(object, oneofKey, key);
    }
    return object;
  }

  #unset(message: ReflectMessage, field: DescField): unknown {
    const { arrays, objects, entries, defaults } = this.#form;
    if (field.fieldKind === 'list') return arrays ? [] : undefined;
    if (field.fieldKind === 'map') return objects ? (entries ? [] : {}) : undefined;
    if (!defaults || isInOneof(field)) return undefined;
    return field.fieldKind === 'message' ? null : this.#value(message, field);
  }

  #value(message: ReflectMessage, field: DescField): unknown {
    const value: unknown = message.get(field);
    if (field.fieldKind === 'list') return [...(value as ReflectList)].map((item) => this.#single(field, item));
    if (field.fieldKind !== 'map') return this.#single(field, value);
    const entries = [...(value as ReflectMap)].map(([key, item]) => [key, this.#single(field, item)] as const);
    if (this.#form.entries) {
      return entries.map(([key, item]) => ({ key: scalarToLoader(field.mapKey, key, this.#form), value: item }));
    }
    const object: LoaderObject = {};
    for (const [key, item] of entries) put(object, String(key), item);
    return object;
  }

  #single(field: DescField, value: unknown): unknown {
    if (field.message !== undefined) return this.write(value as ReflectMessage);
    if (field.enum !== undefined) return enumToLoader(field.enum, value as number, this.#form);
    return scalarToLoader(field.scalar as ScalarType, value, this.#form);
  }

  /** The message in an `Any`, with its type beside its fields, as protobufjs does when the type is known. */
  #unpack({ message }: ReflectMessage): LoaderObject | undefined {
    const { typeUrl, value } = message as unknown as { readonly typeUrl: string; readonly value: Uint8Array };
    const slash = typeUrl.lastIndexOf('/') + 1;
    const desc = this.#registry.getMessage(typeUrl.slice(slash));
    if (desc === undefined) return undefined;
    const object = this.write(readMessage(desc, value));
    put(object, '@type', slash === 0 ? `type.googleapis.com/${typeUrl}` : typeUrl);
    return object;
  }
}

/** From proto-loader's objects to messages. */
class ObjectReader {
  readonly #registry: Registry;
  readonly #form: LoaderForm;

  constructor(registry: Registry, form: LoaderForm) {
    this.#registry = registry;
    this.#form = form;
  }

  /** @throws Error for anything that is not a message of this type */
  read(desc: DescMessage, value: unknown, depth: number): ReflectMessage {
    if (depth > MAX_DEPTH) throw new RangeError('nested too deep');
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError('not an object');
    if (desc.typeName === ANY && '@type' in value) return this.#pack(desc, value, depth);
    const message = reflect(desc);
    for (const field of desc.fields) {
      const given = property(value, this.#form.key(field));
      if (given === undefined || given === null) continue;
      if (field.fieldKind === 'list') {
        if (!Array.isArray(given)) throw new TypeError('not an array');
        const list = message.get(field) as ReflectList;
        for (const item of given) list.add(this.#single(field, item, depth));
      } else if (field.fieldKind === 'map') {
        const map = message.get(field) as ReflectMap;
        for (const [key, item] of mapEntries(given)) {
          const text = typeof key === 'object' ? String(scalarFromLoader(field.mapKey, key)) : String(key);
          map.set(mapKeyFromText(field.mapKey, text), this.#single(field, item, depth));
        }
      } else {
        // Which of two was meant cannot be told.
        if (field.oneof !== undefined && message.oneofCase(field.oneof)) throw new TypeError('two members of a oneof');
        message.set(field, this.#single(field, given, depth));
      }
    }
    return message;
  }

  #single(field: DescField, value: unknown, depth: number): unknown {
    if (field.message !== undefined) return this.read(field.message, value, depth + 1);
    if (field.enum !== undefined) return enumFromLoader(field.enum, value);
    return scalarFromLoader(field.scalar as ScalarType, value);
  }

  /** An `Any` of the object whose `@type` says what it is. */
  #pack(any: DescMessage, value: object, depth: number): ReflectMessage {
    const typeUrl = String((value as LoaderObject)['@type']);
    const desc = this.#registry.getMessage(typeUrl.slice(typeUrl.lastIndexOf('/') + 1));
    if (desc === undefined) throw new TypeError('an unknown type');
    const packed = reflect(any);
    const bytes = toBinary(desc, this.read(desc, value, depth + 1).message);
    packed.set(any.field['typeUrl']!, typeUrl.includes('/') ? typeUrl : `/${typeUrl}`);
    packed.set(any.field['value']!, bytes);
    return packed;
  }
}

/** defineProperty: a field may be called what Object's prototype calls something. */
function put(object: LoaderObject, key: string, value: unknown): void {
  Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true });
}

/** Also an inherited one, such as a getter; but of Object's own none: a field may be called `constructor`. */
function property(value: object, key: string): unknown {
  if (key in Object.prototype && !Object.hasOwn(value, key)) return undefined;
  return (value as LoaderObject)[key];
}

/** An object's own properties, a `Map`, or the list that proto-loader makes of a descriptor set's map. */
function mapEntries(given: unknown): [unknown, unknown][] {
  if (typeof given !== 'object' || given === null) throw new TypeError('not an object');
  if (given instanceof Map) return [...given];
  if (!Array.isArray(given)) return Object.entries(given);
  return (given as { readonly key: unknown; readonly value: unknown }[]).map(({ key, value }) => [key, value]);
}
