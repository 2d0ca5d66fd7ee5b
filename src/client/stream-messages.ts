/** Messages of streams, as async iterables to and from grpc-js's streams. */
import type { ClientReadableStream, ClientWritableStream } from '@grpc/grpc-js';
import { cancelOnAbort } from './call-options.js';

/** Writes with back-pressure; stops silently when the call has ended, since its status tells why. */
export async function writeAll<I>(
  call: ClientWritableStream<I>,
  requests: AsyncIterable<I> | Iterable<I>,
): Promise<void> {
  // The stream itself does not know: grpc-js leaves it open, and never answers what is written to it then.
  let ended = false;
  call.once('status', () => {
    ended = true;
  });
  for await (const request of requests) {
    if (ended || call.destroyed || call.writableEnded) return;
    if (!call.write(request)) await drained(call);
  }
  if (!ended) call.end();
}

function drained<I>(call: ClientWritableStream<I>): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      for (const event of ENDINGS) call.removeListener(event, done);
      resolve();
    };
    for (const event of ENDINGS) call.once(event, done);
  });
}
const ENDINGS = ['drain', 'close', 'error', 'status'] as const;

/**
 * Reads a stream to its end; whoever stops earlier cancels the call.
 *
 * @param open begins the call, when the first message is asked for
 */
export async function* readAll<O>(
  signal: AbortSignal | undefined,
  open: () => ClientReadableStream<O>,
): AsyncGenerator<O, void, undefined> {
  signal?.throwIfAborted();
  const call = open();
  const release = cancelOnAbort(call, signal);
  try {
    for await (const message of call) yield message as O;
  } finally {
    release();
    call.cancel();
  }
}
