/**
 * Lines that nobody takes are dropped: neither a reader that has gone or sleeps nor a full disk may end or fill a
 * service.
 */
import { Writable } from 'node:stream';

/** Where lines go, e.g. stderr. */
export type LineStream = NodeJS.WritableStream & { readonly writableLength?: number };

/** What may wait for a slow reader, in bytes. */
const MAX_WAITING_BYTES = 1_048_576;

/** Adds to a line how many were dropped before it; it has no newline. */
export type MarkLine = (line: string, droppedBefore: number) => string;

const markText: MarkLine = (line, droppedBefore) => `${line} ${JSON.stringify({ droppedBefore })}`;

/**
 * @param mark default: as JSON behind the line
 * @returns takes every line at once, and tells in the stream how many were dropped before one
 */
export function createLossyLines(stream: LineStream, mark = markText): Writable {
  let dropped = 0;
  tolerateErrors(stream);
  return new Writable({
    decodeStrings: false,
    write(line: string, _encoding, done) {
      if ((stream.writableLength ?? 0) > MAX_WAITING_BYTES) dropped++;
      else {
        const before = dropped;
        dropped = 0;
        stream.write(before === 0 ? line : `${mark(line.trimEnd(), before)}\n`, (error) => {
          if (error) dropped += before + 1;
        });
      }
      done();
    },
  });
}

/** An error of this stream is no longer the end of the process. */
export function tolerateErrors(stream: NodeJS.WritableStream): void {
  if (!stream.listeners('error').includes(ignore)) stream.on('error', ignore);
}

function ignore(): void {}
