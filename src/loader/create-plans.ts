/** Plans made at run time for services loaded with `@grpc/proto-loader`. */
import type { FileDescriptorSet } from '@bufbuild/protobuf/wkt';
import { mayLosePresence } from '../schema/checks/presence.js';
import { guardDefinition } from '../schema/guarded-messages.js';
import type { InnerCodec, SealedServiceDefinition, ServicePlan } from '../schema/plan.js';
import { DescriptorPlans } from '../schema/run-time/descriptor-plans.js';
import { checkDefinition, type LoadedService } from './definition-check.js';
import { createDynamicCodec } from './dynamic-codec.js';
import { type LoaderOptions, parseLoaderOptions } from './loader-form.js';

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
   * @internal
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
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { createPlans } from 'sealwire';
 *
 * const options = { longs: String, defaults: true };
 * const service = createPlans(readFileSync('payments.binpb'), options).service('payments.v1.PaymentService');
 * ```
 */
export function createPlans(descriptors: Uint8Array | FileDescriptorSet, options: LoaderOptions = {}): Plans {
  const form = parseLoaderOptions(options);
  return new LoaderPlans(descriptors, {
    ...form,
    hidesPresence: (field) => form.defaults && mayLosePresence(field),
    createCodec: (desc, registry) => createDynamicCodec(desc, registry, form) as InnerCodec,
  });
}

class LoaderPlans extends DescriptorPlans implements Plans {
  define<D extends LoadedService>(definition: D): SealedServiceDefinition<D> {
    const path = Object.values(definition)[0]?.path ?? '';
    const desc = this.describe(path.split('/')[1] ?? '');
    const plan = this.service(desc.typeName);
    checkDefinition(desc, plan, definition);
    return { definition: guardDefinition(definition, () => this.registry), plan };
  }
}
