/** The application log: lines on stderr, separate from the audit log. It refuses opened messages. */
import { createLogger, format, type Logform, type Logger, transports } from 'winston';
import { isOpened } from '../../schema/opened.js';
import { createLossyLines, type LineStream, type MarkLine } from './lossy-lines.js';

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

/** How a line looks: for people, or as one JSON object for programs. */
export type LogFormat = 'text' | 'json';

type Entry = Logform.TransformableInfo;

function printText({ timestamp, level, message, ...rest }: Entry): string {
  const facts = Object.keys(rest).length === 0 ? '' : ` ${JSON.stringify(rest, bigintAsText)}`;
  return `${timestamp} ${level} ${message}${facts}`;
}

function printJson({ timestamp, level, message, ...rest }: Entry): string {
  return JSON.stringify({ timestamp, level, message, ...rest }, bigintAsText);
}

const FORMATS: Readonly<Record<LogFormat, { print(entry: Entry): string; readonly mark?: MarkLine }>> = {
  text: { print: printText },
  json: { print: printJson, mark: (line, droppedBefore) => `${line.slice(0, -1)},"droppedBefore":${droppedBefore}}` },
};

/**
 * @param level least important level that is printed
 * @param stream default: stderr, since stdout says where the service listens. Lines that it does not take are dropped
 * @param form default: text
 */
export function createApplicationLogger(
  level: string,
  stream: LineStream = process.stderr,
  form: LogFormat = 'text',
): Logger {
  const { print, mark } = FORMATS[form];
  const line = format.printf((entry) => escapeUnsafe(print(entry)));
  return createLogger({
    level,
    format: format.combine(refuseOpened(), format.timestamp(), line),
    transports: [new transports.Stream({ stream: createLossyLines(stream, mark) })],
  });
}
