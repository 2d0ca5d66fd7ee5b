/** Adds a service whose handlers cannot leak an error's text and cannot leave a caller hanging. */
import {
  type Metadata,
  type Server,
  type ServerErrorResponse,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { SealwireError } from '../errors.js';
import { INTERNAL_STATUS } from '../schema/error-status.js';
import type { ServicePlan } from '../schema/plan.js';
import { onlyOpened } from './opened-methods.js';
import { hasSealedFields, keepRequestBytes } from './receive/request-bytes.js';
import { factsOf } from './records.js';
import { toStatusObject } from './status-object.js';

/** Called with every error that was hidden from a caller. */
export type HandlerErrorReport = (error: unknown, path: string) => void;
/** A grpc-js handler that may also return a promise; its rejection is mapped like a throw. */
export type SealedHandler<H extends (...values: never[]) => void> = (...values: Parameters<H>) => void | Promise<void>;

type Callback = (error: unknown, value?: unknown, trailer?: Metadata, flags?: number) => void;
/** What grpc-js hands every handler. */
interface AnyCall {
  on(event: 'error', listener: (error: unknown) => void): unknown;
  emit(event: string, ...values: unknown[]): boolean;
  destroy?(error?: unknown): unknown;
  readonly metadata: Metadata;
  readonly readableEnded?: boolean;
  readonly readableLength?: number;
  readonly writableEnded?: boolean;
}
type AnyHandler = (call: AnyCall, callback: Callback) => unknown;

/**
 * Adds a service with its handlers wrapped: a throw, a rejection or an error that is not a status object reaches the
 * caller as `INTERNAL` with fixed text. A status object is an object with a gRPC code from 1 to 16 and a string in
 * `details`; only those texts leave the process. The bytes of single requests are kept for the open interceptor, which
 * compares reply tokens with them. A call with sealed fields that no open interceptor has seen gets `INTERNAL` too, and
 * its handler does not run.
 *
 * @param server the grpc-js server
 * @param service the generated service
 * @param handlers one function per method, by the definition's method keys or their camel case; missing ones answer
 *   UNIMPLEMENTED
 * @param report told of every error that was hidden from the caller; default: `process.emitWarning` with its name, or
 *   with code and message of a {@link SealwireError}
 */
export function addSealedService(
  server: Server,
  service: { readonly definition: ServiceDefinition; readonly plan?: ServicePlan },
  handlers: object,
  report: HandlerErrorReport = warn,
): void {
  // Without a prototype: grpc-js would take Object's own `toString` for the handler of a method with that name.
  const wrapped = Object.create(null) as UntypedServiceImplementation;
  const given = handlers as Readonly<Record<string, unknown>>;
  const definition = keepRequestBytes(service.definition, service.plan);
  for (const [key, method] of Object.entries(service.definition)) {
    // proto-loader's keys are method names; as in grpc-js, handlers may have them in camel case.
    const named = find(given, key) ?? find(given, method.originalName);
    if (typeof named !== 'function') continue;
    const handler = hasSealedFields(service.plan, method.path) ? onlyOpened(named, definition[key] ?? method) : named;
    const bound = (handler as AnyHandler).bind(handlers);
    const hide = (error: unknown) => toServiceError(error, (hidden) => report(hidden, method.path));
    const wrapper = method.responseStream ? wrapStreaming(bound, hide) : wrapSingle(bound, hide, method.requestStream);
    wrapped[key] = wrapper as UntypedServiceImplementation[string];
  }
  server.addService(definition, wrapped);
}

/** What is `in` the object, but not inherited from Object: a method may be called `toString`. */
function find(handlers: Readonly<Record<string, unknown>>, key = ''): unknown {
  return key in Object.prototype && !Object.hasOwn(handlers, key) ? undefined : handlers[key];
}

function wrapSingle(
  handler: AnyHandler,
  hide: (error: unknown) => ServerErrorResponse,
  requestStream: boolean,
): AnyHandler {
  return (call, callback) => {
    let answered = false;
    const answer: Callback = (error, value, trailer, flags) => {
      if (answered) return;
      answered = true;
      callback(error ? hide(error) : null, value, trailer, flags);
    };
    // A destroyed request stream emits this; without a listener the process would end.
    if (requestStream) {
      call.on('error', answer);
      watchRequests(call);
    }
    run(() => handler(call, answer), answer);
  };
}

function wrapStreaming(handler: AnyHandler, hide: (error: unknown) => ServerErrorResponse): AnyHandler {
  return (call, callback) => {
    hideEmittedErrors(call, hide);
    watchRequests(call);
    run(
      () => handler(call, callback),
      (error) => call.emit('error', error),
    );
  };
}

/** What a handler has not come to still counts as what its caller makes the service hold. */
function watchRequests(call: AnyCall): void {
  factsOf(call.metadata).watch?.(() => call.readableLength ?? 0);
}

/**
 * grpc-js sends the text of any `error` event to the caller; this maps the error first. A destroyed
 * call would never send a status, so destroying is made to end the call with that error.
 */
function hideEmittedErrors(call: AnyCall, hide: (error: unknown) => ServerErrorResponse): void {
  const emit = call.emit.bind(call);
  call.emit = (event, ...values) => (event === 'error' ? emit('error', hide(values[0])) : emit(event, ...values));
  const destroy = call.destroy?.bind(call);
  if (destroy === undefined) return;
  call.destroy = (error) => {
    if (error === undefined && call.writableEnded) return destroy();
    // `for await` aborts a duplex stream after the last request, though responses may still follow.
    if (call.readableEnded && (error as { code?: unknown } | null | undefined)?.code === 'ABORT_ERR') return call;
    call.emit('error', error ?? new Error('destroyed'));
    return call;
  };
}

function run(handler: () => unknown, fail: (error: unknown) => void): void {
  try {
    const result = handler();
    if (result instanceof Promise) result.catch((error: unknown) => fail(error ?? new Error('rejected')));
  } catch (error) {
    fail(error ?? new Error('thrown'));
  }
}

/** A status object as it is; our own errors by the mapping; anything else as `INTERNAL` with fixed text. */
function toServiceError(error: unknown, report: (error: unknown) => void): ServerErrorResponse {
  if (error instanceof SealwireError) {
    const { code, details, metadata } = toStatusObject(error);
    if (error.reason === undefined) report(error);
    return { name: 'Error', message: details, code, details, metadata };
  }
  if (isStatus(error)) {
    const { code, details, metadata } = error;
    return { name: 'Error', message: details, code, details, ...(metadata && { metadata }) };
  }
  report(error);
  return { name: 'Error', message: INTERNAL_STATUS.text, code: status.INTERNAL, details: INTERNAL_STATUS.text };
}

function isStatus(error: unknown): error is { code: status; details: string; metadata?: Metadata } {
  if (typeof error !== 'object' || error === null) return false;
  const { code, details } = error as { code?: unknown; details?: unknown };
  return Number.isInteger(code) && (code as number) >= 1 && (code as number) <= 16 && typeof details === 'string';
}

function warn(error: unknown, path: string): void {
  process.emitWarning(`handler of ${path} failed: ${nameOf(error)}`, 'SealwireHandlerWarning');
}

/** What may be said of an error: the text of another's may quote an opened field. */
function nameOf(error: unknown): string {
  if (error instanceof SealwireError) return `${error.code}: ${error.message}`;
  return error instanceof Error ? error.name : typeof error;
}
