/** Repeated fields and maps in every container that code generators and proto-loader have for them. */

import { SealwireError } from '../errors.js';

/** One entry of a map as proto-loader gives it when loaded from a descriptor set. */
interface MapEntry {
  readonly key?: unknown;
  readonly value?: unknown;
}

/**
 * The elements of a repeated field by position, or of a map by key.
 *
 * @throws SealwireError `MAP_KEY_FORBIDDEN` for a map that got another prototype by its key `__proto__`
 */
export function elements(container: unknown, isMap: boolean): IterableIterator<[number | string, unknown]> {
  if (Array.isArray(container)) return isMap ? listEntries(container) : container.entries();
  if (container instanceof Map) return mapEntries(container);
  if (!isObject(container)) return [].values();
  // What a decoder put there is in no list of keys, and yet a handler would find it.
  if (isMap && hasForeignPrototype(container)) {
    throw new SealwireError('MAP_KEY_FORBIDDEN', 'a map has the key __proto__');
  }
  return Object.entries(container).values();
}

function hasForeignPrototype(container: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(container);
  // Another realm has an Object of its own, whose prototype has none either.
  return prototype !== null && Object.getPrototypeOf(prototype) !== null;
}

function* mapEntries(map: Map<unknown, unknown>): IterableIterator<[string, unknown]> {
  for (const [key, value] of map) yield [String(key), value];
}

function* listEntries(list: readonly unknown[]): IterableIterator<[string, unknown]> {
  for (const entry of list) {
    const { key = '', value } = isObject(entry) ? (entry as MapEntry) : {};
    yield [String(key), value];
  }
}

/** A container of the same kind and keys with other elements. */
export function rebuild(container: object, isMap: boolean, values: readonly unknown[]): object {
  if (Array.isArray(container)) {
    return isMap ? container.map((entry: MapEntry, index) => ({ ...entry, value: values[index] })) : [...values];
  }
  if (container instanceof Map) return new Map([...container.keys()].map((key, index) => [key, values[index]]));
  // defineProperty: a map key may be `__proto__`.
  const copy = {};
  Object.keys(container).forEach((key, index) => {
    Object.defineProperty(copy, key, { value: values[index], enumerable: true, writable: true, configurable: true });
  });
  return copy;
}

export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
