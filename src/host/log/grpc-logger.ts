/** Sends grpc-js's messages to the application log. By default grpc-js prints callers' bytes on stderr unescaped. */
import type { Logger } from 'winston';

const SECOND_MS = 1_000;
const MAX_PER_SECOND = 10;
const MAX_TEXT = 300;

/** For grpc-js's `setLogger`. Callers can cause these lines, so there are few of them, and they are short. */
export function createGrpcLogger(logger: Logger, now: () => number = Date.now): Partial<Console> {
  const window = { startedAt: 0, count: 0, omitted: 0 };
  const say = (level: string, parts: readonly unknown[]): void => {
    const at = now();
    if (Math.abs(at - window.startedAt) >= SECOND_MS) Object.assign(window, { startedAt: at, count: 0 });
    if (window.count++ >= MAX_PER_SECOND) {
      window.omitted++;
      return;
    }
    const { omitted } = window;
    window.omitted = 0;
    logger.log(level, 'grpc', {
      text: parts.map(String).join(' ').slice(0, MAX_TEXT),
      ...(omitted > 0 && { omitted }),
    });
  };
  return {
    error: (...parts) => say('warn', parts),
    info: (...parts) => say('info', parts),
    debug: (...parts) => say('debug', parts),
  };
}
