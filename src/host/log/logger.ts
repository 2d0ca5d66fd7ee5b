/** The application log: lines on stderr, separate from the audit log. It refuses opened messages. */
import { createLogger, format, type Logger, transports } from 'winston';
import { isOpened } from '../../schema/opened.js';
import { createLossyLines, type LineStream } from './lossy-lines.js';

const refuseOpened = format((info) => {
  // winston copies a meta root's properties into the entry, and copies print in clear.
  const splat = (info as Record<symbol, unknown>)[Symbol.for('splat')];
  const parts = Array.isArray(splat) ? splat : [];
  if (![info, info.message, ...parts].some(isOpened)) return info;
  const { level } = info;
  // The text winston made may hold the message's own text form, which is redacted.
  const message = isOpened(info) ? '' : String(info.message);
  return { level, message, refused: 'an opened message is not logged', [Symbol.for('level')]: level };
});

/** Characters that may begin a new line, steer a terminal, or reverse text. */
const UNSAFE = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

function escapeUnsafe(line: string): string {
  return line.replace(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function bigintAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}

/**
 * @param level least important level that is printed
 * @param stream default: stderr, since stdout says where the service listens. Lines that it does not take are dropped
 */
export function createApplicationLogger(level: string, stream: LineStream = process.stderr): Logger {
  return createLogger({
    level,
    format: format.combine(
      refuseOpened(),
      format.timestamp(),
      format.printf(({ timestamp, level: at, message, ...rest }) => {
        const facts = Object.keys(rest).length === 0 ? '' : ` ${JSON.stringify(rest, bigintAsText)}`;
        return escapeUnsafe(`${timestamp} ${at} ${message}${facts}`);
      }),
    ),
    transports: [new transports.Stream({ stream: createLossyLines(stream) })],
  });
}
