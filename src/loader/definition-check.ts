/** Tries out whether a loaded service presents its messages as a plan expects them. */
import { type DescField, type DescMessage, type DescService, ScalarType, toBinary } from '@bufbuild/protobuf';
import { type ReflectList, type ReflectMap, type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt';
import { SealwireError } from '../errors.js';
import { elements, isObject } from '../schema/containers.js';
import type { MessagePlan, ServicePlan } from '../schema/plan.js';
import { read } from '../schema/walk.js';

/** The part of a grpc-js service definition that is needed here; from proto-loader, by method names. */
export interface LoadedService {
  readonly [method: string]: {
    readonly path: string;
    readonly requestDeserialize: (bytes: Buffer) => unknown;
    readonly responseDeserialize: (bytes: Buffer) => unknown;
  };
}

/** Field numbers and plan steps from a method's message down to one of its parts. */
type Step = { readonly field: DescField; readonly find: (message: object) => unknown };
type Probe = { readonly steps: readonly Step[]; readonly last: DescField; readonly find: (message: object) => unknown };

/**
 * Decodes one small message for each field that matters and looks for it where the plan has it.
 *
 * @throws SealwireError `PLAN_INVALID` naming the first field that is not where the plan has it, or a method
 *   that the definition lacks
 */
export function checkDefinition(desc: DescService, plan: ServicePlan, definition: LoadedService): void {
  for (const method of desc.methods) {
    const { request, response, path } = plan.methods[`/${desc.typeName}/${method.name}`]!;
    const loaded = Object.values(definition).find((candidate) => candidate.path === path);
    if (loaded === undefined) throw new SealwireError('PLAN_INVALID', `the definition has no method ${path}`);
    if (request !== undefined) check(method.input, request, loaded.requestDeserialize);
    if (response !== undefined) check(method.output, response, loaded.responseDeserialize);
  }
}

function check(desc: DescMessage, plan: MessagePlan, deserialize: (bytes: Buffer) => unknown): void {
  for (const { steps, last, find } of probesOf(desc, plan, [], new Set())) {
    const message = reflect(desc);
    let holder = message;
    for (const { field } of steps) holder = addMessage(holder, field);
    add(holder, last, sampleOf(last));
    fillRequired(message);
    const bytes = Buffer.from(toBinary(desc, message.message));
    let found: unknown = deserialize(bytes);
    for (const step of steps) found = isObject(found) ? step.find(found) : undefined;
    if (isObject(found) && find(found) !== undefined) continue;
    const why = 'is not where the plan has it: were createPlans and proto-loader given the same options?';
    throw new SealwireError('PLAN_INVALID', `${last.parent.typeName}.${last.name} ${why}`);
  }
}

/** Every sealed, bound and nested field, each message type once. */
function probesOf(desc: DescMessage, plan: MessagePlan, steps: readonly Step[], seen: Set<MessagePlan>): Probe[] {
  if (seen.has(plan)) return [];
  seen.add(plan);
  const fieldOf = (name: string) => desc.fields.find((field) => field.name === name) as DescField;
  const probes: Probe[] = [];
  for (const sealed of plan.sealed) {
    const find = (message: object) => firstOf(read(message, sealed), sealed.shape === 'map');
    probes.push({ steps, last: fieldOf(sealed.name), find });
    for (const bound of sealed.bind) {
      probes.push({ steps, last: fieldOf(bound.name), find: (message) => read(message, bound) });
    }
  }
  for (const nested of plan.nested) {
    const field = fieldOf(nested.name);
    const find = (message: object) => firstOf(read(message, nested), nested.shape === 'map');
    probes.push(...probesOf(field.message as DescMessage, nested.plan(), [...steps, { field, find }], seen));
  }
  return probes;
}

/** The one element of a repeated field or map. */
function firstOf(value: unknown, isMap: boolean): unknown {
  if (!Array.isArray(value) && !isMap) return value;
  const first = elements(value, isMap).next();
  return first.done ? undefined : first.value[1];
}

function addMessage(holder: ReflectMessage, field: DescField): ReflectMessage {
  const child = reflect(field.message as DescMessage);
  add(holder, field, child);
  return child;
}

/** Not zero: of implicit presence that would be as good as absent. */
function sampleOf({ enum: desc, scalar }: Pick<DescField, 'enum' | 'scalar'>): unknown {
  if (desc !== undefined) return desc.open ? 1 : desc.values[0]?.number;
  if (scalar === ScalarType.STRING) return 'x';
  if (scalar === ScalarType.BYTES) return new Uint8Array([1]);
  if (scalar === ScalarType.BOOL) return true;
  const isLong = ['INT64', 'UINT64', 'SINT64', 'FIXED64', 'SFIXED64'].includes(ScalarType[scalar as ScalarType]);
  return isLong ? 1n : 1;
}

/** proto2: a decoder refuses a message without its required fields. */
function fillRequired(message: ReflectMessage): void {
  for (const field of message.fields) {
    const isRequired = field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED;
    if (isRequired && !message.isSet(field)) {
      if (field.message === undefined) add(message, field, sampleOf(field));
      else addMessage(message, field);
    }
    if (!message.isSet(field) || field.message === undefined) continue;
    const value: unknown = message.get(field);
    const children = field.fieldKind === 'message' ? [value] : [...(value as ReflectList | ReflectMap).values()];
    for (const child of children) fillRequired(child as ReflectMessage);
  }
}

function add(holder: ReflectMessage, field: DescField, value: unknown): void {
  if (field.fieldKind === 'list') (holder.get(field) as ReflectList).add(value);
  else if (field.fieldKind === 'map')
    (holder.get(field) as ReflectMap).set(sampleOf({ enum: undefined, scalar: field.mapKey }), value);
  else holder.set(field, value);
}
