/** Messages as JSON, for the command line: the methods, messages and sealed fields of a schema. */
import type { DescField, DescMessage, DescMethod, FileRegistry } from '@bufbuild/protobuf';
import { SealwireError } from '../../errors.js';
import { createPlans, type Plans } from '../../loader/create-plans.js';
import { type LoaderForm, type LoaderOptions, parseLoaderOptions } from '../../loader/loader-form.js';
import { Analysis } from '../../schema/analysis.js';
import { methodFacts } from '../../schema/descriptor-facts.js';
import type { MessagePlan, MethodPlan, SealedFieldPlan } from '../../schema/plan.js';
import { readDescriptors } from '../../schema/run-time/descriptor-plans.js';
import { SealingStatements } from '../../schema/sealing-statement.js';
import { listOf, ReflectedMessage } from './json-message.js';
import type { JsonMessage } from './json-types.js';

/** One method, and how to make and read its messages. */
export interface JsonMethod {
  /** `/payments.v1.PaymentService/Authorize`. */
  readonly path: string;
  /** Full name of the service. */
  readonly service: string;
  readonly plan: MethodPlan;
  readonly request: JsonMessage;
  readonly response: JsonMessage;
}

/** One sealed field by its full name. */
export interface JsonField {
  readonly plan: SealedFieldPlan;
  /** The message that holds it, and so its bound siblings. */
  readonly holder: JsonMessage;
  readonly inner: JsonMessage;
}

/** Bound siblings need exact integers; bytes and enums look as in JSON. */
const OPTIONS: LoaderOptions = { keepCase: true, longs: String, enums: String, bytes: String };
/** Everything that a schema says about JSON messages. */
export class JsonSchema {
  /** What the schema says is sealed, in the lines of a sealing statement. */
  readonly statements: SealingStatements;
  readonly #registry: FileRegistry;
  readonly #analysis: Analysis;
  readonly #plans: Plans;
  readonly #form: LoaderForm = parseLoaderOptions(OPTIONS);
  readonly #messages = new Map<DescMessage, ReflectedMessage>();

  /**
   * @param descriptors a serialized `google.protobuf.FileDescriptorSet` with options and imports
   * @throws SealwireError `PLAN_INVALID`
   */
  constructor(descriptors: Uint8Array) {
    this.#registry = readDescriptors(descriptors);
    this.#analysis = new Analysis([...this.#registry.files]);
    this.#plans = createPlans(descriptors, OPTIONS);
    this.statements = new SealingStatements(this.#registry, this.#analysis);
  }

  /**
   * @param name `payments.v1.PaymentService/Authorize`, also with a dot in place of the slash
   * @throws SealwireError `OPTIONS_INVALID` when there is no such method; the error lists the methods
   */
  method(name: string): JsonMethod {
    const { service, method } = splitMethod(name);
    const desc = this.#registry.getService(service);
    if (desc === undefined) {
      const services = [...this.#registry.files].flatMap((file) => file.services.map(({ typeName }) => typeName));
      throw new SealwireError('OPTIONS_INVALID', `no service '${service}' in the schema${listOf(services)}`);
    }
    const found = desc.methods.find((candidate) => candidate.name === method);
    if (found === undefined) {
      const names = desc.methods.map((candidate) => candidate.name);
      throw new SealwireError('OPTIONS_INVALID', `${service} has no method '${method}'${listOf(names)}`);
    }
    return {
      path: `/${service}/${method}`,
      service,
      plan: this.#methodPlan(found),
      request: this.#message(found.input),
      response: this.#message(found.output),
    };
  }

  /** All methods of all services. */
  methods(): readonly JsonMethod[] {
    const services = [...this.#registry.files].flatMap((file) => file.services);
    return services.flatMap(({ typeName, methods }) => methods.map(({ name }) => this.method(`${typeName}/${name}`)));
  }

  /**
   * @param fullName e.g. `payments.v1.AuthorizeRequest.card`
   * @throws SealwireError `OPTIONS_INVALID` when no method has this sealed field
   */
  field(fullName: string): JsonField {
    const plan = this.#findField(fullName);
    const holder = this.#registry.getMessage(fullName.slice(0, fullName.lastIndexOf('.')));
    if (plan === undefined || holder === undefined) {
      throw new SealwireError('OPTIONS_INVALID', `no sealed field '${fullName}' in the schema`);
    }
    const inner = this.#registry.getMessage(plan.codec.typeName) as DescMessage;
    return { plan, holder: this.#message(holder), inner: this.#message(inner) };
  }

  #findField(fullName: string): SealedFieldPlan | undefined {
    const seen = new Set<MessagePlan>();
    const search = (plan: MessagePlan | undefined): SealedFieldPlan | undefined => {
      if (plan === undefined || seen.has(plan)) return undefined;
      seen.add(plan);
      const own = plan.sealed.find((field) => field.fullName === fullName);
      return own ?? firstOf(plan.nested, (nested) => search(nested.plan()));
    };
    return firstOf(this.methods(), ({ plan }) => search(plan.request) ?? search(plan.response));
  }

  #methodPlan(desc: DescMethod): MethodPlan {
    const path = `/${desc.parent.typeName}/${desc.name}`;
    try {
      return this.#plans.service(desc.parent.typeName).methods[path] as MethodPlan;
    } catch (error) {
      if (!(error instanceof SealwireError)) throw error;
      // Nothing of the service is sealed: its messages are plain ones.
      return methodFacts(desc);
    }
  }

  #message(desc: DescMessage): ReflectedMessage {
    const known = this.#messages.get(desc);
    if (known !== undefined) return known;
    const message = new ReflectedMessage(desc, this.#registry, this.#form, {
      sealed: (field) => this.#sealedCodec(field),
      message: (type) => this.#message(type),
    });
    this.#messages.set(desc, message);
    return message;
  }

  #sealedCodec(field: DescField): ReflectedMessage | undefined {
    const sealed = this.#analysis.describe(field.parent)?.sealed.find(({ desc }) => desc === field);
    if (sealed === undefined) return undefined;
    return this.#message(sealed.inner ?? (this.#registry.getMessage(sealed.option.type) as DescMessage));
  }
}

/** @param name `package.Service/Method` or `package.Service.Method`. @throws SealwireError `OPTIONS_INVALID` */
export function splitMethod(name: string): { readonly service: string; readonly method: string } {
  const match = /^\/?([\w.]+)[/.](\w+)$/.exec(name);
  if (match !== null) return { service: match[1] as string, method: match[2] as string };
  throw new SealwireError('OPTIONS_INVALID', `'${name.slice(0, 200)}' is not a method: write package.Service/Method`);
}

function firstOf<T, R>(items: Iterable<T>, find: (item: T) => R | undefined): R | undefined {
  for (const item of items) {
    const found = find(item);
    if (found !== undefined) return found;
  }
  return undefined;
}
