/** Adds a service whose handlers cannot leak an error's text and cannot leave a caller hanging. */
import type {
  Metadata,
  Server,
  ServerErrorResponse,
  ServiceDefinition,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { SealwireError } from '../errors.js';
import type { ServicePlan } from '../schema/plan.js';
import { onlyOpened } from './opened-methods.js';
import { hasSealedFields, keepRequestBytes } from './receive/request-bytes.js';
import { factsOf } from './records.js';
import { findMisuse, toServiceError } from './service-error.js';

/** Called with every error that was hidden from a caller. */
export type HandlerErrorReport = (error: unknown, path: string) => void;
/** A grpc-js handler that may also return a promise; its rejection is mapped like a throw. */
export type SealedHandler<H extends (...values: never[]) => void> = (...values: Parameters<H>) => void | Promise<void>;

type Callback = (error: unknown, value?: unknown, trailer?: Metadata, flags?: number) => void;
/** What grpc-js hands every handler. */
interface AnyCall {
  on(event: 'error' | 'cancelled', listener: (error: unknown) => void): unknown;
  removeAllListeners(event: string): unknown;
  emit(event: string, ...values: unknown[]): boolean;
  destroy?(error?: unknown): unknown;
  end?(trailers?: unknown): unknown;
  write?(message: unknown): unknown;
  sendMetadata(metadata: unknown): void;
  readonly metadata: Metadata;
  /** Set when the caller has gone, when the call was refused, and after its end. */
  readonly cancelled: boolean;
  readonly readableEnded?: boolean;
  readonly readableLength?: number;
  readonly writableEnded?: boolean;
}
type AnyHandler = (call: AnyCall, callback: Callback) => unknown;
/** Makes of any error what a caller may see. @param isOver the call is over: what is left of its handler fails */
type Hide = (error: unknown, isOver: boolean) => ServerErrorResponse;

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
    const tell = (error: unknown) => report(error, method.path);
    const hide: Hide = (error, isOver) => toServiceError(error, isOver ? () => {} : tell);
    const wrapper = method.responseStream ? wrapStreaming(bound, hide) : wrapSingle(bound, hide, method.requestStream);
    wrapped[key] = ((call, callback) => {
      factsOf(call.metadata).onBadReply?.(tell);
      return wrapper(call, callback);
    }) satisfies AnyHandler as UntypedServiceImplementation[string];
  }
  server.addService(definition, wrapped);
}

/** What is `in` the object, but not inherited from Object: a method may be called `toString`. */
function find(handlers: Readonly<Record<string, unknown>>, key = ''): unknown {
  return key in Object.prototype && !Object.hasOwn(handlers, key) ? undefined : handlers[key];
}

function wrapSingle(handler: AnyHandler, hide: Hide, requestStream: boolean): AnyHandler {
  return (call, callback) => {
    let answered = false;
    const answer: Callback = (error, value, trailer, flags) => {
      if (answered) return;
      answered = true;
      const misuse = findMisuse(trailer, 'what a callback gives for trailers');
      if (misuse !== undefined) callback(hide(misuse, call.cancelled));
      else callback(error ? hide(error, call.cancelled) : null, value, trailer, flags);
    };
    guardMetadata(call, 'sendMetadata', answer);
    if (requestStream) {
      // The listener of grpc-js answers with the text of the error; with none the process would end.
      call.removeAllListeners('error');
      call.on('error', answer);
      const destroy = call.destroy?.bind(call);
      call.destroy = (error) => (isEndOfLoop(call, error) ? call : destroy?.(error));
      const refuse = () =>
        answer(new SealwireError('OPTIONS_INVALID', 'a call with one answer gets it by the callback'));
      call.end = refuse;
      call.write = refuse;
      watchRequests(call);
    }
    run(() => handler(call, answer), answer);
  };
}

function wrapStreaming(handler: AnyHandler, hide: Hide): AnyHandler {
  return (call, callback) => {
    hideEmittedErrors(call, hide);
    const fail = (error: unknown) => call.emit('error', error);
    guardMetadata(call, 'sendMetadata', fail);
    guardMetadata(call, 'end', fail, ': give the last message to call.write()');
    watchRequests(call);
    run(() => handler(call, callback), fail);
  };
}

/** grpc-js takes anything for metadata, and fails in the middle of sending it. */
function guardMetadata(
  call: AnyCall,
  name: 'sendMetadata' | 'end',
  fail: (error: unknown) => void,
  hint?: string,
): void {
  const send = call[name]?.bind(call);
  call[name] = (metadata) => {
    const misuse = findMisuse(metadata, `what call.${name}() is given`, hint);
    if (misuse === undefined) send?.(metadata);
    else fail(misuse);
    return call;
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
function hideEmittedErrors(call: AnyCall, hide: Hide): void {
  const emit = call.emit.bind(call);
  let isOver = false;
  // Also the last event of a call that its handler has ended.
  call.on('cancelled', () => {
    isOver = !call.writableEnded;
  });
  call.emit = (event, ...values) =>
    event === 'error' ? emit('error', hide(values[0], isOver)) : emit(event, ...values);
  const destroy = call.destroy?.bind(call);
  if (destroy === undefined) return;
  call.destroy = (error) => {
    if (error === undefined && call.writableEnded) return destroy();
    if (isEndOfLoop(call, error)) return call;
    call.emit('error', error ?? new Error('destroyed'));
    return call;
  };
}

/** `for await` aborts a duplex stream after the last request, though answers may still follow. */
function isEndOfLoop({ readableEnded }: AnyCall, error: unknown): boolean {
  return readableEnded === true && (error as { code?: unknown } | null | undefined)?.code === 'ABORT_ERR';
}

function run(handler: () => unknown, fail: (error: unknown) => void): void {
  try {
    const result = handler();
    if (result instanceof Promise) result.catch((error: unknown) => fail(error ?? new Error('rejected')));
  } catch (error) {
    fail(error ?? new Error('thrown'));
  }
}

function warn(error: unknown, path: string): void {
  process.emitWarning(`handler of ${path} failed: ${nameOf(error)}`, 'SealwireHandlerWarning');
}

/** What may be said of an error: the text of another's may quote an opened field. */
function nameOf(error: unknown): string {
  if (error instanceof SealwireError) return `${error.code}: ${error.message}`;
  return error instanceof Error ? error.name : typeof error;
}
