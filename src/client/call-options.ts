/** Options of one call, and their effects. */
import type { Metadata } from '@grpc/grpc-js';

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

/** @returns a function that removes the listener */
export function cancelOnAbort(call: Cancellable, signal: AbortSignal | undefined): () => void {
  if (signal === undefined) return () => {};
  const cancel = () => call.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  if (signal.aborted) cancel();
  return () => signal.removeEventListener('abort', cancel);
}
