/**
 * Services whose requests are a name or two. They are open to everybody and charge nobody: what a kilobyte of gzip
 * holds must not be decoded for them.
 */
import {
  type Server,
  type ServerErrorResponse,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';

/** Longest request, in bytes, uncompressed. */
export const MAX_SMALL_REQUEST_BYTES = 2_048;

/** Stands for a request that is too large to be looked at. */
const TOO_LARGE = Object.freeze({});
type AnyCall = { readonly request?: unknown; emit(event: 'error', error: ServerErrorResponse): boolean };
type AnyHandler = (call: AnyCall, callback?: (error: ServerErrorResponse) => void) => void;

/**
 * Adds a service whose requests are small: one of more than 2,048 bytes ends its call with `RESOURCE_EXHAUSTED`,
 * undecoded.
 *
 * @param definition of methods without request streams
 */
export function addSmallService(
  server: Server,
  definition: ServiceDefinition,
  handlers: UntypedServiceImplementation,
): void {
  const methods = Object.entries(definition).map(([name, method]) => {
    const requestDeserialize = (bytes: Buffer): unknown =>
      bytes.length > MAX_SMALL_REQUEST_BYTES ? TOO_LARGE : method.requestDeserialize(bytes);
    return [name, { ...method, requestDeserialize }];
  });
  const guarded = Object.entries(handlers).map(([name, handler]) => [
    name,
    guard((handler as AnyHandler).bind(handlers)),
  ]);
  server.addService(Object.fromEntries(methods), Object.fromEntries(guarded));
}

function guard(handler: AnyHandler): AnyHandler {
  return (call, callback) => {
    if (call.request !== TOO_LARGE) return handler(call, callback);
    const details = 'the request is too large';
    const error = { name: 'Error', message: details, code: status.RESOURCE_EXHAUSTED, details };
    if (callback === undefined) call.emit('error', error);
    else callback(error);
  };
}
