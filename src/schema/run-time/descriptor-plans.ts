/** Plans made at run time from a `FileDescriptorSet`. */
import {
  create,
  createFileRegistry,
  type DescEnum,
  type DescExtension,
  type DescField,
  type DescMessage,
  type DescMethod,
  type DescService,
  type FileRegistry,
  fromBinary,
} from '@bufbuild/protobuf';
import { nestedTypes } from '@bufbuild/protobuf/reflect';
import { type FileDescriptorSet, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { SealwireError } from '../../errors.js';
import { Analysis, messageOf, type SealedField } from '../analysis.js';
import { hasPresence } from '../checks/presence.js';
import { wellKnownFiles } from '../codec.js';
import { boundKind, methodFacts, oneofsOf, shapeOf } from '../descriptor-facts.js';
import type { BoundFieldPlan, InnerCodec, MessagePlan, MethodPlan, SealedFieldPlan, ServicePlan } from '../plan.js';

/** How the messages are presented that plans are made for. */
export interface MessageForm {
  /** Property of a field. */
  key(field: DescField): string;
  /** Whether a property says which member of a oneof is set. */
  readonly oneofs: boolean;
  /** That property, for a field of a oneof. */
  oneofKey(field: DescField): string | undefined;
  /** Whether a field that is not set looks like one that has its default. */
  hidesPresence(field: DescField): boolean;
  /** Encodes and decodes inner messages in this form. */
  createCodec(desc: DescMessage, registry: FileRegistry): InnerCodec;
}

/** The plans of all services of a descriptor set: the same as the generator makes, for messages of one form. */
export class DescriptorPlans {
  /** Descriptors, parsed. */
  protected readonly registry: FileRegistry;
  readonly #analysis: Analysis;
  readonly #form: MessageForm;
  readonly #messages = new Map<DescMessage, MessagePlan | undefined>();
  readonly #codecs = new Map<DescMessage, InnerCodec>();
  readonly #services = new Map<string, ServicePlan>();

  /**
   * @param descriptors a complete `google.protobuf.FileDescriptorSet` with options, serialized or not
   * @throws SealwireError `PLAN_INVALID` for a set that is malformed, incomplete, lacks `sealwire/v1/sealed.proto`, or
   *   seals a field in a way that cannot work
   */
  constructor(descriptors: Uint8Array | FileDescriptorSet, form: MessageForm) {
    this.registry = readDescriptors(descriptors);
    this.#analysis = new Analysis([...this.registry.files]);
    this.#form = form;
    const { option, problems } = this.#analysis;
    if (option === undefined) {
      throw new SealwireError(
        'PLAN_INVALID',
        'the descriptor set lacks sealwire/v1/sealed.proto, so nothing is sealed',
      );
    }
    if (problems.length > 0) throw new SealwireError('PLAN_INVALID', problems.join('\n'));
  }

  /**
   * @param typeName full name of a service, e.g. `payments.v1.PaymentService`
   * @returns its plan, the same object every time
   * @throws SealwireError `PLAN_INVALID` when the set has no such service, or nothing of it is sealed
   */
  service(typeName: string): ServicePlan {
    const known = this.#services.get(typeName);
    if (known !== undefined) return known;
    const plan = this.#service(this.describe(typeName));
    this.#services.set(typeName, plan);
    return plan;
  }

  /**
   * @param fieldName full name of a field, e.g. `payments.v1.AuthorizeRequest.card`
   * @returns what encodes and decodes its inner messages; undefined when the set has no such sealed field
   */
  innerCodec(fieldName: string): InnerCodec | undefined {
    const dot = fieldName.lastIndexOf('.');
    const message = this.registry.getMessage(fieldName.slice(0, Math.max(0, dot)));
    const sealed = message && this.#analysis.describe(message)?.sealed;
    const field = sealed?.find(({ desc }) => desc.name === fieldName.slice(dot + 1));
    return field && this.#codec(field.inner ?? (this.registry.getMessage(field.option.type) as DescMessage));
  }

  /** @throws SealwireError `PLAN_INVALID` when the set has no such service */
  describe(typeName: string): DescService {
    const desc = this.registry.getService(typeName);
    if (desc === undefined) {
      throw new SealwireError('PLAN_INVALID', `the descriptor set has no service '${typeName}'`);
    }
    return desc;
  }

  #service(desc: DescService): ServicePlan {
    const methods = desc.methods.map((method) => this.#method(method));
    if (!methods.some(({ request, response }) => request ?? response)) {
      // Silence here would send everything in clear: a set that protobufjs wrote has lost its options.
      const why = 'has no sealed fields; was the descriptor set written without options?';
      throw new SealwireError('PLAN_INVALID', `${desc.typeName} ${why}`);
    }
    return { typeName: desc.typeName, methods: Object.fromEntries(methods.map((method) => [method.path, method])) };
  }

  #method(desc: DescMethod): MethodPlan {
    const request = this.#message(desc.input);
    const response = this.#message(desc.output);
    return {
      ...methodFacts(desc),
      ...(request && { request }),
      ...(response && { response }),
    };
  }

  #message(desc: DescMessage): MessagePlan | undefined {
    if (this.#messages.has(desc)) return this.#messages.get(desc);
    const described = this.#analysis.describe(desc);
    const oneofs = oneofsOf(desc).map((members) =>
      members.map((field) => ({ name: field.name, key: this.#form.key(field) })),
    );
    const plan = described && {
      typeName: desc.typeName,
      ...(oneofs.length > 0 && { oneofs }),
      sealed: described.sealed.map((field) => this.#sealed(field)),
      nested: described.nested.map((field) => ({
        ...this.#locate(field),
        shape: shapeOf(field),
        plan: () => this.#message(messageOf(field) as DescMessage) as MessagePlan,
      })),
    };
    this.#messages.set(desc, plan);
    return plan;
  }

  #sealed({ desc, shape, option, inner, bound }: SealedField): SealedFieldPlan {
    return {
      fullName: `${desc.parent.typeName}.${desc.name}`,
      ...this.#locate(desc),
      shape,
      codec: this.#codec(inner ?? (this.registry.getMessage(option.type) as DescMessage)),
      recipient: option.recipient,
      required: option.required,
      transient: option.transient,
      ...(option.maxBytes && { maxBytes: option.maxBytes }),
      bind: bound.map((sibling) => this.#bound(sibling)),
    };
  }

  #bound(desc: DescField): BoundFieldPlan {
    if (this.#form.hidesPresence(desc)) {
      const why = `is bound, and 'defaults' hides whether it is set: it must be in a oneof or of implicit presence`;
      throw new SealwireError('OPTIONS_INVALID', `${desc.parent.typeName}.${desc.name} ${why}`);
    }
    const { oneof: _unused, ...location } = this.#locate(desc);
    return {
      ...location,
      number: desc.number,
      kind: boundKind(desc) as NonNullable<ReturnType<typeof boundKind>>,
      explicitPresence: hasPresence(desc),
      ...(desc.enum && { enumNumbers: Object.fromEntries(desc.enum.values.map((v) => [v.name, v.number])) }),
    };
  }

  #codec(desc: DescMessage): InnerCodec {
    const known = this.#codecs.get(desc);
    if (known !== undefined) return known;
    for (const field of desc.fields) {
      const key = this.#key(field);
      // An own property of that name would take the place of the method that redacts.
      if (key === 'toJSON' || this.#form.oneofKey(field) === 'toJSON') {
        const why = `would get a property 'toJSON', so it could not print redacted`;
        throw new SealwireError('PLAN_INVALID', `the inner type ${desc.typeName} ${why}`);
      }
    }
    const codec = this.#form.createCodec(desc, this.registry);
    this.#codecs.set(desc, codec);
    return codec;
  }

  #locate(field: DescField): Pick<SealedFieldPlan, 'name' | 'key' | 'oneof'> {
    const property = this.#form.oneofs ? this.#form.oneofKey(field) : undefined;
    return {
      name: field.name,
      key: this.#key(field),
      ...(property !== undefined && { oneof: { property, style: 'named' } as const }),
    };
  }

  #key(field: DescField): string {
    const key = this.#form.key(field);
    // Setting it would change what the object is.
    if (key !== '__proto__') return key;
    throw new SealwireError('PLAN_INVALID', `${field.parent.typeName} has a field that would be '__proto__'`);
  }
}

/**
 * @returns a registry that has the well-known files in any case
 * @throws SealwireError `PLAN_INVALID`
 */
export function readDescriptors(descriptors: Uint8Array | FileDescriptorSet): FileRegistry {
  try {
    const set = descriptors instanceof Uint8Array ? fromBinary(FileDescriptorSetSchema, descriptors) : descriptors;
    // Well-known inner types need not be imported. Of files that are there twice the first counts.
    const names = new Set<string>();
    const declared = new Set<string>();
    const files = set.file.filter(({ name }) => !names.has(name) && names.add(name));
    const missing = wellKnownFiles.map(({ proto }) => proto).filter(({ name }) => !names.has(name));
    const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [...missing, ...files] }));
    for (const file of registry.files) refuseTwice([...nestedTypes(file)], declared);
    return registry;
  } catch (cause) {
    if (cause instanceof SealwireError) throw cause;
    throw new SealwireError('PLAN_INVALID', 'not a complete google.protobuf.FileDescriptorSet', { cause });
  }
}

/**
 * Of two definitions of one name a plan would follow one and an encoder the other.
 *
 * @throws SealwireError `PLAN_INVALID`
 */
function refuseTwice(types: readonly (DescMessage | DescEnum | DescExtension | DescService)[], declared: Set<string>) {
  const names = types.flatMap((type) =>
    type.kind === 'service'
      ? [type.typeName, ...type.methods.map(({ name }) => `${type.typeName}/${name}`)]
      : type.typeName,
  );
  for (const name of names) {
    if (declared.has(name)) throw new SealwireError('PLAN_INVALID', `${name} is declared twice`);
    declared.add(name);
  }
}
