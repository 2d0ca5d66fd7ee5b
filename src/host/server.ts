/** The host's gRPC server: its limits, and how it begins and ends. */
import { getChannelzHandlers, Server, type ServerCredentials, type ServerInterceptor } from '@grpc/grpc-js';
import type { HostConfig } from './config.js';

const RECEIVE_LIMIT_BYTES = 1_048_576;

/** @param interceptor sees every call first */
export function createServer(config: HostConfig, interceptor: ServerInterceptor): Server {
  return new Server({
    interceptors: [interceptor],
    'grpc.max_receive_message_length': RECEIVE_LIMIT_BYTES,
    'grpc.max_concurrent_streams': 100,
    'grpc.keepalive_time_ms': 60_000,
    'grpc.keepalive_timeout_ms': 20_000,
    'grpc.max_connection_age_ms': config.maxConnectionAgeMs,
    'grpc.max_connection_age_grace_ms': config.drainMs,
    'grpc.max_connection_idle_ms': 900_000,
  });
}

/** @returns `HOST:PORT` as bound @throws Error with code `EADDRINUSE` and the like */
export async function bind(server: Server, listen: string, credentials: ServerCredentials): Promise<string> {
  const port = await new Promise<number>((done, fail) => {
    server.bindAsync(listen, credentials, (error, bound) =>
      error ? fail(nameFailure('listen', listen, error)) : done(bound),
    );
  });
  return `${listen.slice(0, listen.lastIndexOf(':'))}:${port}`;
}

/** @returns the error with its option, and with the code that grpc-js puts into words */
export function nameFailure(option: string, listen: string, error: NodeJS.ErrnoException): Error {
  const [code] = /\bE[A-Z]{4,}\b/.exec(error.code ?? error.message) ?? [];
  return Object.assign(new Error(`${option}: ${listen}: ${code ?? error.message}`), { code });
}

/** How many calls are under way, by grpc-js's own statistics (channelz). */
export function countCalls(server: Server): number {
  const request = { request: { server_id: String(server.getChannelzRef().id) } };
  let count = 0;
  getChannelzHandlers().GetServer(request as never, (_error, answer) => {
    const { calls_started, calls_succeeded, calls_failed } = answer?.server?.data ?? {};
    count = Number(calls_started ?? 0) - Number(calls_succeeded ?? 0) - Number(calls_failed ?? 0);
  });
  return count;
}

/**
 * Takes no new calls, and lets those under way finish.
 *
 * @param onDeadline called after `drainMs`, before the calls that are still under way are ended
 * @param ended tells when connections have ended that were not accepted by a port of the server: from Node 24 on,
 *   grpc-js does not wait for those
 */
export async function drain(
  server: Server,
  drainMs: number,
  onDeadline: () => void,
  ended: () => Promise<unknown> = async () => {},
): Promise<void> {
  const deadline = setTimeout(() => {
    onDeadline();
    server.forceShutdown();
  }, drainMs);
  await new Promise<void>((done) => server.tryShutdown(() => done()));
  await ended();
  clearTimeout(deadline);
}
