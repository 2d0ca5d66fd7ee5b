/** Options of one call, and their effects. */
import { setMaxListeners } from 'node:events';
import { ChannelCredentials, type Metadata } from '@grpc/grpc-js';
import { SealwireError } from '../errors.js';

/** Options of one call. */
export interface SealedCallOptions {
  /** Cancels the call. */
  readonly signal?: AbortSignal;
  /** A point in time, or ms since 1970. Default: none. */
  readonly deadline?: Date | number;
  readonly metadata?: Metadata;
}

interface Cancellable {
  cancel(): void;
}

/**
 * Cancels a call in the next turn of the event loop: grpc-js makes a call's stream some promises after its start, and
 * one that was cancelled before that is never ended.
 */
export function cancelSoon(call: Cancellable): void {
  setImmediate(() => call.cancel());
}

/** @returns a function that removes the listener */
export function cancelOnAbort(call: Cancellable, signal: AbortSignal | undefined): () => void {
  if (signal === undefined) return () => {};
  const cancel = () => cancelSoon(call);
  const unlisten = listenForAbort(signal, cancel);
  if (signal.aborted) cancel();
  return unlisten;
}

/** @returns a function that removes the listener */
export function listenForAbort(signal: AbortSignal, listener: () => void): () => void {
  // One signal for any number of calls is ordinary; Node warns of the eleventh listener.
  setMaxListeners(0, signal);
  signal.addEventListener('abort', listener, { once: true });
  return () => signal.removeEventListener('abort', listener);
}

/**
 * Two copies of grpc-js refuse each other's objects, with a message that names neither.
 *
 * @throws SealwireError `OPTIONS_INVALID`
 */
export function checkCredentials(credentials: ChannelCredentials): void {
  if (credentials instanceof ChannelCredentials) return;
  const remedy = 'install one version of it for the application and sealwire';
  throw new SealwireError('OPTIONS_INVALID', `credentials is not from sealwire's copy of @grpc/grpc-js; ${remedy}`);
}
