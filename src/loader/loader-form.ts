/** How `@grpc/proto-loader` presents messages under its options: property names and the forms of values. */
import type { DescField } from '@bufbuild/protobuf';
import { SealwireError } from '../errors.js';

/**
 * proto-loader's options, as they were given to it; others of its options change nothing here and are
 * ignored. With wrong ones sealed fields are not found: `define` of the plans notices.
 */
export interface LoaderOptions {
  /** Property names are proto names. Default false: camel case by protobufjs's rule. */
  readonly keepCase?: boolean | undefined;
  /**
   * 64-bit integers: `String`, `Number` or `BigInt`. Default: `Long` objects. With `Number` a value beyond
   * ±(2^53 − 1) is refused wherever it is bound or inside an inner message, since it would be another one.
   */
  readonly longs?: object | undefined;
  /** Enums: `String` for names. Default: numbers. */
  readonly enums?: object | undefined;
  /** Bytes: `String` for base64, `Array` for numbers. Default: `Buffer`. */
  readonly bytes?: object | undefined;
  /** Unset fields have their default, messages null. Default false. */
  readonly defaults?: boolean | undefined;
  /** Unset repeated fields are empty arrays. Default false, or what `defaults` says. */
  readonly arrays?: boolean | undefined;
  /** Unset maps are empty objects. Default false, or what `defaults` says. */
  readonly objects?: boolean | undefined;
  /** A property with the oneof's name holds the name of the member that is set. Default false. */
  readonly oneofs?: boolean | undefined;
  /** Infinity and NaN are strings, and an `Any` of a known type has that type's fields and `@type`. Default false. */
  readonly json?: boolean | undefined;
  /**
   * What proto-loader was given: `proto` for `load` and `loadSync`, `descriptor-set` for
   * `loadFileDescriptorSetFrom…`, where it keeps proto names whatever `keepCase` says and presents a map as
   * an array of `{ key, value }`. Default `proto`.
   */
  readonly loadedFrom?: 'proto' | 'descriptor-set' | undefined;
}

/** {@link LoaderOptions} checked and complete. */
export interface LoaderForm {
  readonly longs: 'string' | 'number' | 'bigint' | 'long';
  readonly enums: 'name' | 'number';
  readonly bytes: 'base64' | 'array' | 'buffer';
  readonly defaults: boolean;
  readonly arrays: boolean;
  readonly objects: boolean;
  readonly oneofs: boolean;
  readonly json: boolean;
  /** Maps are arrays of `{ key, value }`. */
  readonly entries: boolean;
  /** Property of a field. */
  key(field: DescField): string;
  /** Property that tells which member of a field's oneof is set; also `optional` fields have one. */
  oneofKey(field: DescField): string | undefined;
}

/** The files that protobufjs has in itself: it takes their names from there, whatever `keepCase` says. */
const BUNDLED = /^google\/protobuf\/(any|duration|empty|field_mask|struct|timestamp|wrappers)$/;

/**
 * Checks proto-loader's options.
 *
 * @throws SealwireError `OPTIONS_INVALID` naming the option
 */
export function parseLoaderOptions(options: LoaderOptions): LoaderForm {
  const { loadedFrom = 'proto' } = options;
  if (loadedFrom !== 'proto' && loadedFrom !== 'descriptor-set') {
    throw refusal('loadedFrom', "must be 'proto' or 'descriptor-set'");
  }
  const flag = (name: 'keepCase' | 'defaults' | 'arrays' | 'objects' | 'oneofs' | 'json') => {
    const value = options[name] ?? false;
    // A truthy string, as from an environment variable, would work in proto-loader and surprise here.
    if (typeof value !== 'boolean') throw refusal(name, 'must be true or false');
    return value;
  };
  const entries = loadedFrom === 'descriptor-set';
  const keepCase = flag('keepCase') || entries;
  const defaults = flag('defaults');
  const named = (name: string, file: string) => {
    if (entries) return name;
    if (BUNDLED.test(file)) return name === 'type_url' ? name : camelCase(name);
    return keepCase ? name : camelCase(name);
  };
  const key = (field: DescField) => named(field.name, field.parent.file.name);
  return {
    longs: choose(options.longs, 'longs', 'long', [String, 'string'], [Number, 'number'], [BigInt, 'bigint']),
    enums: choose(options.enums, 'enums', 'number', [String, 'name']),
    bytes: choose(options.bytes, 'bytes', 'buffer', [String, 'base64'], [Array, 'array']),
    defaults,
    arrays: flag('arrays') || defaults,
    // From a descriptor set, every map is a repeated field.
    objects: (entries ? flag('arrays') : flag('objects')) || defaults,
    oneofs: flag('oneofs'),
    json: flag('json'),
    entries,
    key,
    oneofKey(field) {
      if (field.proto.proto3Optional) return `_${key(field)}`;
      return field.oneof && named(field.oneof.name, field.parent.file.name);
    },
  };
}

/** Camel case as protobufjs has it: of `foo_1bar`, `a__b` and `_x` it makes `foo_1bar`, `a_B` and `_x`. */
export function camelCase(name: string): string {
  return name.slice(0, 1) + name.slice(1).replace(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase());
}

function choose<F extends string>(
  value: object | undefined,
  name: string,
  fallback: F,
  ...choices: readonly (readonly [{ readonly name: string }, F])[]
): F {
  if (value === undefined) return fallback;
  const choice = choices.find(([type]) => type === value);
  if (choice !== undefined) return choice[1];
  const names = choices.map(([type]) => type.name).join(', ');
  throw refusal(name, `must be ${names} or left out`);
}

function refusal(name: string, why: string): SealwireError {
  return new SealwireError('OPTIONS_INVALID', `option '${name}' ${why}`);
}
