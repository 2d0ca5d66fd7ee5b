/**
 * Whether calls of a service pass an open interceptor at all. Without one, handlers would get tokens where their types
 * say messages, unchecked and unrecorded, and nobody would notice.
 */
import type { ServerInterceptor } from '@grpc/grpc-js';
import { SealwireError } from '../errors.js';

type Definition = Parameters<ServerInterceptor>[0];

const opened = new WeakSet<Definition['requestDeserialize']>();

/** Takes note that an open interceptor sees the calls of a method. */
export function noteOpened({ requestDeserialize }: Definition): void {
  opened.add(requestDeserialize);
}

/**
 * @param method decodes requests by a function made for one server alone
 * @returns a handler that throws `OPTIONS_INVALID` in place of running, unless an open interceptor sees the method
 */
export function onlyOpened(handler: unknown, { requestDeserialize }: Pick<Definition, 'requestDeserialize'>): unknown {
  return function check(this: unknown, ...values: unknown[]): unknown {
    if (opened.has(requestDeserialize)) return (handler as (...given: unknown[]) => unknown).apply(this, values);
    const remedy =
      'give new Server({ interceptors }) the one of createOpenInterceptor({ services }), with this service';
    throw new SealwireError('OPTIONS_INVALID', `no open interceptor has seen the call: ${remedy}`);
  };
}
