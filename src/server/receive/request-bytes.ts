/** The encoded form of requests beside the decoded one: interceptors of grpc-js see the latter only. */
import type { ServiceDefinition } from '@grpc/grpc-js';
import type { ServicePlan } from '../../schema/plan.js';

const encoded = new WeakMap<object, Buffer>();

/**
 * The same methods, each with a decoder of its own, which keeps the bytes of what it decodes where a reply token may
 * have to be compared with them: of single requests to methods with sealed fields.
 *
 * @param plan without it nothing is kept
 */
export function keepRequestBytes(definition: ServiceDefinition, plan: ServicePlan | undefined): ServiceDefinition {
  const methods = Object.entries(definition).map(([name, method]): [string, ServiceDefinition[string]] => {
    const isKept = !method.requestStream && hasSealedFields(plan, method.path);
    const requestDeserialize = (bytes: Buffer): unknown => {
      const message: unknown = method.requestDeserialize(bytes);
      if (isKept && typeof message === 'object' && message !== null) encoded.set(message, bytes);
      return message;
    };
    return [name, { ...method, requestDeserialize }];
  });
  return Object.fromEntries(methods);
}

/** Whether requests or responses of a method have sealed fields. */
export function hasSealedFields(plan: ServicePlan | undefined, path: string): boolean {
  const { request, response } = plan?.methods[path] ?? {};
  return request !== undefined || response !== undefined;
}

/**
 * The bytes of a request as it came, uncompressed. They can be had once.
 *
 * @returns undefined when the service was not added by `addSealedService`, or an interceptor put another object in the
 *   request's place
 */
export function takeRequestBytes(message: object): Buffer | undefined {
  const bytes = encoded.get(message);
  encoded.delete(message);
  return bytes;
}
