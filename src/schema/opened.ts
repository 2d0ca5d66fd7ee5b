/** Opened inner messages print redacted, and keep the token they came from within reach. */
import { SealwireError } from '../errors.js';

declare const sealedToken: unique symbol;

/** A compact JWE that the type system keeps apart from plain strings. */
export type SealedToken = string & { readonly [sealedToken]: true };

/** Prototypes by the one that a message had, and by inner type: their methods do the redacting. */
const prototypes = new WeakMap<object, Map<string, object>>();

/** `util.inspect.custom`, by the name that it has everywhere. */
const INSPECT = Symbol.for('nodejs.util.inspect.custom');

class Returned {
  constructor(object: object) {
    // biome-ignore lint/correctness/noConstructorReturn: the derived class adds its fields to this object.
    return object;
  }
}

/**
 * A private field that is put on an object from outside: nothing can list, copy or print it, and unlike
 * an entry in a weak map it costs the garbage collector nothing.
 */
class Mark extends Returned {
  #tokens: { readonly slot: string; readonly token: SealedToken }[] | undefined = undefined;

  static has(object: object): boolean {
    return #tokens in object;
  }

  static add(object: object): void {
    if (!(#tokens in object)) new Mark(object);
  }

  static addToken(object: object, slot: string, token: SealedToken): void {
    Mark.add(object);
    const mark = object as Mark;
    mark.#tokens ??= [];
    mark.#tokens.push({ slot, token });
  }

  static hasElements(object: object, key: string): boolean {
    return #tokens in object && object.#tokens?.some(({ slot }) => slot.startsWith(`${key}[`)) === true;
  }

  static findToken(object: object, slot: string): SealedToken | undefined {
    return #tokens in object ? object.#tokens?.find((known) => known.slot === slot)?.token : undefined;
  }
}

/**
 * Makes an inner message print as `[opened payments.v1.CardDetails]` in `console.log`, `util.inspect`,
 * `JSON.stringify` and string templates. Reading a property gives the value. Copies (spread,
 * `structuredClone`) are ordinary objects and print in clear.
 *
 * @param typeName full name of the message
 * @param value the decoded message; its own properties move to the result
 * @returns a message with the same own properties
 */
export function markOpened<T extends object>(typeName: string, value: T): T {
  const marked = Object.assign(Object.create(prototypeOf(typeName, value)) as T, value);
  Mark.add(marked);
  return marked;
}

/** Remembers that a message holds opened ones: loggers must not take it apart. */
export function markHolder(message: object): void {
  Mark.add(message);
}

/** Whether a value is an opened inner message, or a message as an opening interceptor delivered it. */
export function isOpened(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Mark.has(value);
}

/**
 * Remembers the token that an inner message was opened from.
 *
 * @param holder the opened message that directly holds the field
 * @param key the field's property
 * @param index position or map key, for repeated fields and maps
 * @param token the compact JWE
 */
export function recordToken(holder: object, key: string, index: number | string | undefined, token: string): void {
  Mark.addToken(holder, slot(key, index), token as SealedToken);
}

/**
 * The token that a field of an opened message came in, for storing or forwarding it unopened.
 *
 * @param message the opened message that directly holds the field
 * @param key the field's property, e.g. `card`
 * @param at position in a repeated field, or key in a map
 * @returns the token, or undefined when the field was absent, is transient, or the message is a copy
 * @throws SealwireError `OPTIONS_INVALID` without `at` for a field that has tokens of elements
 *
 * @example
 * ```ts
 * import { tokenOf } from 'sealwire';
 * import type { OpenedAuthorizeRequest } from './gen/payments/v1/payments_sealed.js';
 *
 * export function tokenToStore(request: OpenedAuthorizeRequest) {
 *   return tokenOf(request, 'card');
 * }
 * ```
 */
export function tokenOf<T extends object>(
  message: T,
  key: keyof T & string,
  at?: number | string,
): SealedToken | undefined {
  const token = Mark.findToken(message, slot(key, at));
  if (token === undefined && at === undefined && Mark.hasElements(message, key)) {
    throw new SealwireError('OPTIONS_INVALID', `${key} is a list or a map: say which element, by position or key`);
  }
  return token;
}

function slot(key: string, at: number | string | undefined): string {
  return at === undefined ? key : `${key}[${at}]`;
}

function prototypeOf(typeName: string, value: object): object {
  // Of proto2, protobuf-es keeps defaults there.
  const original = Object.getPrototypeOf(value) as object;
  const byName = prototypes.get(original) ?? new Map<string, object>();
  prototypes.set(original, byName);
  const known = byName.get(typeName);
  if (known !== undefined) return known;
  const text = `[opened ${typeName}]`;
  // Writable, since a message may have a field called `toString`; the generator refuses `toJSON`.
  const redact = { value: () => text, enumerable: false, writable: true };
  const prototype = Object.create(original, {
    toString: redact,
    toJSON: redact,
    [INSPECT]: redact,
  }) as object;
  byName.set(typeName, prototype);
  return prototype;
}
