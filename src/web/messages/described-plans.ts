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
import type { sealed } from '../../gen/sealwire/v1/sealed_pb.js';
import { hasPresence } from '../../schema/checks/presence.js';
import { boundKind, shapeOf } from '../../schema/descriptor-facts.js';
import type { BoundFieldPlan, InnerCodec, MessagePlan, NestedFieldPlan, SealedFieldPlan } from '../../schema/plan.js';

/** The field option `sealwire.v1.sealed`, as protobuf-es generates it. */
export type SealedExtension = typeof sealed;

/** The sealed parts of one method. */
export interface DescribedMethod {
  /** `/payments.v1.PaymentService/Authorize`. */
  readonly path: string;
  readonly request: MessagePlan | undefined;
  readonly response: MessagePlan | undefined;
}

/** The plans of a service's methods. The generator has checked what they are made from. */
export class DescribedPlans {
  readonly #option: SealedExtension;
  readonly #codecs: ReadonlyMap<string, InnerCodec>;
  readonly #messages = new Map<DescMessage, MessagePlan | undefined>();
  readonly #methods: ReadonlyMap<DescMethod, DescribedMethod>;

  /**
   * @param inner all types that the methods' sealed fields name: a file need not import those of its own folder
   * @throws SealwireError `PLAN_INVALID` for descriptors in which other fields are sealed than the generator has seen
   */
  constructor(methods: readonly DescMethod[], option: SealedExtension, inner: readonly DescMessage[]) {
    this.#option = option;
    this.#codecs = new Map(inner.map((desc) => [desc.typeName, createCodec(desc)]));
    this.#methods = new Map(methods.map((method) => [method, this.#method(method)]));
    const sealedTypes = [...this.#messages.values()].flatMap((plan) => plan?.sealed.map(({ codec }) => codec) ?? []);
    // Silence here would let fields go out in clear: some tools write descriptors without options.
    if (new Set(sealedTypes).size < inner.length) throw stale('fewer fields are sealed than were');
  }

  /** @param desc one of those that were given */
  method(desc: DescMethod): DescribedMethod {
    return this.#methods.get(desc) as DescribedMethod;
  }

  #method({ parent, name, input, output }: DescMethod): DescribedMethod {
    return { path: `/${parent.typeName}/${name}`, request: this.#message(input), response: this.#message(output) };
  }

  #message(desc: DescMessage): MessagePlan | undefined {
    if (this.#messages.has(desc)) return this.#messages.get(desc);
    if (!this.#reaches(desc)) return undefined;
    const sealed: SealedFieldPlan[] = [];
    const nested: NestedFieldPlan[] = [];
    const plan = { typeName: desc.typeName, sealed, nested };
    // Before its fields: types may be recursive.
    this.#messages.set(desc, plan);
    for (const field of desc.fields) {
      const child = field.message && this.#message(field.message);
      if (hasOption(field, this.#option)) sealed.push(this.#sealed(field));
      else if (child !== undefined) nested.push({ ...locate(field), shape: shapeOf(field), plan: () => child });
    }
    return plan;
  }

  #sealed(field: DescField): SealedFieldPlan {
    const { type, recipient, required, transient, maxBytes, bind } = getOption(field, this.#option);
    const codec = this.#codecs.get(type);
    if (field.scalar !== ScalarType.STRING || codec === undefined) throw otherwise(field);
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

  /** Whether a message, or one in it, has a sealed field. */
  #reaches(desc: DescMessage): boolean {
    const seen = new Set([desc]);
    // A set grows while it is walked.
    for (const { fields } of seen) {
      if (fields.some((field) => hasOption(field, this.#option))) return true;
      for (const { message } of fields) if (message !== undefined) seen.add(message);
    }
    return false;
  }
}

function bound(field: DescField, name: string): BoundFieldPlan {
  const sibling = field.parent.fields.find((candidate) => candidate.name === name);
  const kind = sibling && boundKind(sibling);
  if (sibling === undefined || kind === undefined) throw otherwise(field);
  return { ...locate(sibling), number: sibling.number, kind, explicitPresence: hasPresence(sibling) };
}

function locate({ name, localName, oneof }: DescField): Pick<SealedFieldPlan, 'name' | 'key' | 'oneof'> {
  return { name, key: localName, ...(oneof && { oneof: { property: oneof.localName, style: 'case' } }) };
}

function createCodec(desc: DescMessage): InnerCodec {
  const { typeName } = desc;
  return {
    typeName,
    encode(value) {
      const init = value as Record<string, unknown>;
      if ((init['$typeName'] ?? typeName) !== typeName) throw new TypeError('a message of another type');
      try {
        return toBinary(desc, create(desc, init));
      } catch (error) {
        // It names the field before it quotes the value.
        const name = /^cannot encode field \S+\.(\w+) to /.exec(String((error as Error).message))?.[1];
        throw name === undefined ? error : new SealwireError('SEAL_INPUT', `${name} is not valid`);
      }
    },
    decode: (bytes) => fromBinary(desc, bytes),
    decodeJson: (json) => fromJsonString(desc, json),
  };
}

function otherwise({ parent, name }: DescField): SealwireError {
  return stale(`${parent.typeName}.${name} is sealed in another way`);
}

function stale(what: string): SealwireError {
  return new SealwireError('PLAN_INVALID', `${what} when the client was generated: generate both files again`);
}
