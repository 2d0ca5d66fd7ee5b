/** Plans made at run time from a `FileDescriptorSet`, for services loaded with `@grpc/proto-loader`. */
import {
  create,
  createFileRegistry,
  type DescField,
  type DescMessage,
  type DescMethod,
  type DescService,
  type FileRegistry,
  fromBinary,
} from '@bufbuild/protobuf';
import {
  FeatureSet_FieldPresence,
  type FileDescriptorSet,
  FileDescriptorSetSchema,
  MethodOptions_IdempotencyLevel,
} from '@bufbuild/protobuf/wkt';
import { SealwireError } from '../../errors.js';
import { Analysis, boundKind, hasPresence, messageOf, type SealedField, shapeOf } from '../analysis.js';
import { wellKnownFiles } from '../codec.js';
import type {
  BoundFieldPlan,
  InnerCodec,
  MessagePlan,
  MethodPlan,
  SealedFieldPlan,
  SealedServiceDefinition,
  ServicePlan,
} from '../plan.js';
import { checkDefinition, type LoadedService } from './definition-check.js';
import { createDynamicCodec } from './dynamic-codec.js';
import { isInOneof, type LoaderForm, type LoaderOptions, parseLoaderOptions } from './loader-form.js';

/** The plans of all services of a descriptor set. */
export interface Plans {
  /**
   * @param typeName full name of a service, e.g. `payments.v1.PaymentService`
   * @returns its plan, the same object every time
   * @throws SealwireError `PLAN_INVALID` when the set has no such service, or nothing of it is sealed
   */
  service(typeName: string): ServicePlan;
  /**
   * Joins a service that proto-loader made with its plan, after trying out that both present messages
   * alike: a plan made for other options would find no sealed field.
   *
   * @param definition what proto-loader made, e.g. `loaded['payments.v1.PaymentService']`, or the `service`
   *   of grpc-js's client constructor
   * @throws SealwireError `PLAN_INVALID` when the plan has no such service or the options differ
   */
  define<D extends LoadedService>(definition: D): SealedServiceDefinition<D>;
  /**
   * @param fieldName full name of a field, e.g. `payments.v1.AuthorizeRequest.card`
   * @returns what encodes and decodes its inner messages; undefined when the set has no such sealed field
   */
  innerCodec(fieldName: string): InnerCodec | undefined;
}

/**
 * Makes plans from descriptors: the same as the generator makes, for messages as proto-loader gives them.
 *
 * @param descriptors a complete `google.protobuf.FileDescriptorSet` with options, as `buf build
 *   --as-file-descriptor-set` and `protoc --include_imports --descriptor_set_out` write it, serialized or not
 * @param options what proto-loader was given
 * @throws SealwireError `OPTIONS_INVALID` for a setting that does not work; `PLAN_INVALID` for a set that is
 *   malformed, incomplete, lacks `sealwire/v1/sealed.proto`, or seals a field in a way that cannot work
 */
export function createPlans(descriptors: Uint8Array | FileDescriptorSet, options: LoaderOptions = {}): Plans {
  const form = parseLoaderOptions(options);
  const registry = readDescriptors(descriptors);
  const analysis = new Analysis([...registry.files]);
  if (!analysis.declaresOption) {
    throw new SealwireError('PLAN_INVALID', 'the descriptor set lacks sealwire/v1/sealed.proto, so nothing is sealed');
  }
  if (analysis.problems.length > 0) throw new SealwireError('PLAN_INVALID', analysis.problems.join('\n'));
  return new PlanMaker(registry, analysis, form);
}

class PlanMaker implements Plans {
  readonly #registry: FileRegistry;
  readonly #analysis: Analysis;
  readonly #form: LoaderForm;
  readonly #messages = new Map<DescMessage, MessagePlan | undefined>();
  readonly #codecs = new Map<DescMessage, InnerCodec>();
  readonly #services = new Map<string, ServicePlan>();

  constructor(registry: FileRegistry, analysis: Analysis, form: LoaderForm) {
    this.#registry = registry;
    this.#analysis = analysis;
    this.#form = form;
  }

  service(typeName: string): ServicePlan {
    const known = this.#services.get(typeName);
    if (known !== undefined) return known;
    const plan = this.#service(this.#find(typeName));
    this.#services.set(typeName, plan);
    return plan;
  }

  define<D extends LoadedService>(definition: D): SealedServiceDefinition<D> {
    const path = Object.values(definition)[0]?.path ?? '';
    const desc = this.#find(path.split('/')[1] ?? '');
    const plan = this.service(desc.typeName);
    checkDefinition(desc, plan, definition);
    return { definition, plan };
  }

  innerCodec(fieldName: string): InnerCodec | undefined {
    const dot = fieldName.lastIndexOf('.');
    const message = this.#registry.getMessage(fieldName.slice(0, Math.max(0, dot)));
    const sealed = message && this.#analysis.describe(message)?.sealed;
    const field = sealed?.find(({ desc }) => desc.name === fieldName.slice(dot + 1));
    return field && this.#codec(field.inner ?? (this.#registry.getMessage(field.option.type) as DescMessage));
  }

  #find(typeName: string): DescService {
    const desc = this.#registry.getService(typeName);
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
      path: `/${desc.parent.typeName}/${desc.name}`,
      idempotency: idempotencyOf(desc),
      requestStream: desc.methodKind === 'client_streaming' || desc.methodKind === 'bidi_streaming',
      responseStream: desc.methodKind === 'server_streaming' || desc.methodKind === 'bidi_streaming',
      ...(request && { request }),
      ...(response && { response }),
    };
  }

  #message(desc: DescMessage): MessagePlan | undefined {
    if (this.#messages.has(desc)) return this.#messages.get(desc);
    const described = this.#analysis.describe(desc);
    const plan = described && {
      typeName: desc.typeName,
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
      codec: this.#codec(inner ?? (this.#registry.getMessage(option.type) as DescMessage)),
      recipient: option.recipient,
      required: option.required,
      transient: option.transient,
      bind: bound.map((sibling) => this.#bound(sibling)),
    };
  }

  #bound(desc: DescField): BoundFieldPlan {
    const isRequired = desc.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED;
    const explicitPresence = hasPresence(desc);
    if (this.#form.defaults && explicitPresence && !isRequired && !isInOneof(desc)) {
      const why = `is bound, and 'defaults' hides whether it is set: it must be in a oneof or of implicit presence`;
      throw new SealwireError('OPTIONS_INVALID', `${desc.parent.typeName}.${desc.name} ${why}`);
    }
    const { oneof: _unused, ...location } = this.#locate(desc);
    return {
      ...location,
      number: desc.number,
      kind: boundKind(desc) as NonNullable<ReturnType<typeof boundKind>>,
      explicitPresence,
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
    const codec = createDynamicCodec(desc, this.#registry, this.#form) as InnerCodec;
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
    const files = set.file.filter(({ name }) => !names.has(name) && names.add(name));
    const missing = wellKnownFiles.map(({ proto }) => proto).filter(({ name }) => !names.has(name));
    return createFileRegistry(create(FileDescriptorSetSchema, { file: [...missing, ...files] }));
  } catch (cause) {
    throw new SealwireError('PLAN_INVALID', 'not a complete google.protobuf.FileDescriptorSet', { cause });
  }
}

function idempotencyOf({ idempotency }: DescMethod): MethodPlan['idempotency'] {
  if (idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS) return 'no-side-effects';
  return idempotency === MethodOptions_IdempotencyLevel.IDEMPOTENT ? 'idempotent' : 'unknown';
}
