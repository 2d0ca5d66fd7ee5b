/** Plans from the descriptors that protobuf-es's generated code carries. */
import {
  create,
  type DescField,
  type DescMessage,
  type DescMethod,
  fromBinary,
  fromJsonString,
  getOption,
  hasOption,
  ScalarType,
  toBinary,
} from '@bufbuild/protobuf';
import { SealwireError } from '../../errors.js';
import { sealed } from '../../gen/sealwire/v1/sealed_pb.js';
import { findFault } from '../../schema/checks/find-fault.js';
import { hasPresence, isRequired } from '../../schema/checks/presence.js';
import { boundKind, methodFacts, shapeOf } from '../../schema/descriptor-facts.js';
import type {
  BoundFieldPlan,
  InnerCodec,
  MessagePlan,
  MethodPlan,
  NestedFieldPlan,
  SealedFieldPlan,
} from '../../schema/plan.js';

/** The plans of a service's methods. The generator has checked what they are made from. */
export class DescribedPlans {
  readonly #codecs: ReadonlyMap<string, InnerCodec>;
  readonly #messages = new Map<DescMessage, MessagePlan | undefined>();
  readonly #methods: ReadonlyMap<DescMethod, MethodPlan>;

  /**
   * @param inner all types that the methods' sealed fields name: a file need not import those of its own folder
   * @throws SealwireError `PLAN_INVALID` for descriptors in which other fields are sealed than the generator has seen
   */
  constructor(methods: readonly DescMethod[], inner: readonly DescMessage[]) {
    this.#codecs = new Map(inner.map((desc) => [desc.typeName, createCodec(desc)]));
    this.#methods = new Map(methods.map((method) => [method, this.#method(method)]));
    const sealedTypes = [...this.#messages.values()].flatMap((plan) => plan?.sealed.map(({ codec }) => codec) ?? []);
    // Silence here would let fields go out in clear: some tools write descriptors without options.
    if (new Set(sealedTypes).size < inner.length) throw stale('fewer fields are sealed than were');
  }

  /** @param desc one of those that were given */
  method(desc: DescMethod): MethodPlan {
    return this.#methods.get(desc) as MethodPlan;
  }

  #method(desc: DescMethod): MethodPlan {
    const request = this.#message(desc.input);
    const response = this.#message(desc.output);
    return { ...methodFacts(desc), ...(request && { request }), ...(response && { response }) };
  }

  #message(desc: DescMessage): MessagePlan | undefined {
    if (this.#messages.has(desc)) return this.#messages.get(desc);
    if (!hasSealed(desc)) return undefined;
    const sealed: SealedFieldPlan[] = [];
    const nested: NestedFieldPlan[] = [];
    const plan = { typeName: desc.typeName, sealed, nested };
    // Before its fields: types may be recursive.
    this.#messages.set(desc, plan);
    for (const field of desc.fields) {
      const child = field.message && this.#message(field.message);
      if (isSealed(field)) sealed.push(this.#sealed(field));
      else if (child !== undefined) nested.push({ ...locate(field), shape: shapeOf(field), plan: () => child });
    }
    return plan;
  }

  #sealed(field: DescField): SealedFieldPlan {
    const { type, recipient, required, transient, maxBytes, bind } = getOption(field, sealed);
    const codec = this.#codecs.get(type);
    if (field.scalar !== ScalarType.STRING || codec === undefined)
      throw stale(`${field.parent.typeName}.${field.name} is sealed in another way`);
    return {
      fullName: `${field.parent.typeName}.${field.name}`,
      ...locate(field),
      shape: shapeOf(field),
      codec,
      recipient,
      required,
      transient,
      ...(maxBytes > 0 && { maxBytes }),
      bind: [...new Set(bind)].map((name) => bound(field, name)).sort((a, b) => a.number - b.number),
    };
  }
}

function bound(field: DescField, name: string): BoundFieldPlan {
  const sibling = field.parent.fields.find((candidate) => candidate.name === name);
  const kind = sibling && boundKind(sibling);
  if (sibling === undefined || kind === undefined)
    throw stale(`${field.parent.typeName}.${field.name} is sealed in another way`);
  return { ...locate(sibling), number: sibling.number, kind, explicitPresence: hasPresence(sibling) };
}

function locate({ name, localName, oneof }: DescField): Pick<SealedFieldPlan, 'name' | 'key' | 'oneof'> {
  return { name, key: localName, ...(oneof && { oneof: { property: oneof.localName, style: 'case' } }) };
}

function isSealed(field: DescField): boolean {
  return hasOption(field, sealed);
}

/** Whether a message, or one in it, has a sealed field. */
function hasSealed(desc: DescMessage): boolean {
  const seen = new Set([desc]);
  // A set grows while it is walked.
  for (const { fields } of seen) {
    if (fields.some(isSealed)) return true;
    for (const { message } of fields) if (message !== undefined) seen.add(message);
  }
  return false;
}

function createCodec(desc: DescMessage): InnerCodec {
  return {
    typeName: desc.typeName,
    encode(value) {
      const init = value as Record<string, unknown>;
      if ((init['$typeName'] ?? desc.typeName) !== desc.typeName) throw new TypeError('a message of another type');
      return toBinary(desc, create(desc, init));
    },
    findFault: (value) => findFault(desc, value as object, isRequired),
    decode: (bytes) => fromBinary(desc, bytes),
    decodeJson: (json) => fromJsonString(desc, json),
  };
}

function stale(what: string): SealwireError {
  return new SealwireError('PLAN_INVALID', `${what} when the client was generated: generate both files again`);
}
