/** Messages for any source, written as proto3 JSON with inner messages in sealed places. */
import type { FileRegistry, JsonValue } from '@bufbuild/protobuf';
import type { MessagePlan } from '../../src/schema/plan.js';
import { encodeJson, type Source } from './sources.js';

/** An inner message in JSON. */
export interface SealedJson {
  readonly $sealed: string;
  readonly json: JsonValue;
}

/** proto3 JSON in which a sealed field's value is a {@link SealedJson}. */
export type MessageJson =
  | JsonValue
  | SealedJson
  | readonly MessageJson[]
  | { readonly [name: string]: MessageJson | undefined };

/** Shorthand for an inner message. */
export function sealed($sealed: string, json: JsonValue): SealedJson {
  return { $sealed, json };
}

/** Builds a source's object: the clear parts by its own decoder, with its own inner messages put in. */
export function buildMessage(registry: FileRegistry, source: Source, typeName: string, json: MessageJson): object {
  const inner = new Map<string, object>();
  const clear = replaceDeep(json, (value) => {
    const { $sealed, json: text } = value as Partial<SealedJson>;
    if ($sealed === undefined) return undefined;
    const placeholder = `placeholder-${inner.size}`;
    inner.set(placeholder, source.decode($sealed, encodeJson(registry, $sealed, text as JsonValue)));
    return placeholder;
  });
  const message = source.decode(typeName, encodeJson(registry, typeName, clear as JsonValue));
  return replaceDeep(message, (value) => inner.get(value as string)) as object;
}

/** What a handler must get: absent sealed fields have no value, nor has a oneof whose member is absent. */
export function asOpened(plan: MessagePlan, message: object): object {
  const copy: Record<string, unknown> = { ...message };
  for (const { key, oneof } of plan.sealed) {
    if (copy[key] !== '') continue;
    delete copy[key];
    if (oneof !== undefined && copy[oneof.property] === key) delete copy[oneof.property];
  }
  for (const { key, plan: child, shape } of plan.nested) {
    const value = copy[key];
    const open = (part: unknown) => (isObject(part) ? asOpened(child(), part) : part);
    if (shape === 'repeated') copy[key] = (value as unknown[] | undefined)?.map(open);
    else if (shape === 'map' && Array.isArray(value)) {
      copy[key] = value.map((entry: { value: unknown }) => ({ ...entry, value: open(entry.value) }));
    } else if (shape === 'map' && isObject(value)) {
      copy[key] = Object.fromEntries(Object.entries(value).map(([name, part]) => [name, open(part)]));
    } else copy[key] = open(value);
  }
  return copy;
}

/** A deep copy without properties that are undefined; objects that are not plain stay as they are. */
export function withoutUndefined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUndefined);
  if (!isObject(value) || value instanceof Uint8Array || 'low' in value) return value;
  const kept = Object.entries(value).filter(([, part]) => part !== undefined);
  return Object.fromEntries(kept.map(([name, part]) => [name, withoutUndefined(part)]));
}

/** Every text in a message. */
export function textsOf(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return isObject(value) ? Object.values(value).flatMap(textsOf) : [];
}

function replaceDeep(value: unknown, replace: (value: unknown) => unknown): unknown {
  const replaced = value === undefined || value === null ? undefined : replace(value);
  if (replaced !== undefined) return replaced;
  if (Array.isArray(value)) return value.map((part) => replaceDeep(part, replace));
  if (!isObject(value) || value instanceof Uint8Array || 'low' in value) return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, replaceDeep(part, replace)]));
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
