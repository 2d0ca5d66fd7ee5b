/** winston's file transport on a disk that may be full for a while. */
import { close, open, write } from 'node:fs';
import { transports } from 'winston';
import type Transport from 'winston-transport';

const RETRY_MS = 1_000;

/**
 * winston's own loses lines without a word once a write has failed, and never writes again. Here what fails is tried
 * again every second, while further records wait in the bounded queue of the fan-out. The transport emits `warn` when
 * its file begins to fail, and `recovered` when it is written again.
 *
 * @throws Error for options under which winston ends the process on a full disk, or stops for good
 */
export function createFileTransport(options: Readonly<Record<string, unknown>>): Transport {
  if (options['zippedArchive']) throw new Error('zippedArchive is not supported');
  if (options['tailable'] && !options['maxFiles']) throw new Error('tailable needs maxFiles');
  const fs = createPatientFs({
    onFailed: (error) => file.emit('warn', error),
    onRecovered: () => file.emit('recovered'),
  });
  const stream = { flags: 'a', ...(options['options'] as object | undefined), fs };
  const file = new transports.File({ maxsize: 0, ...options, options: stream });
  return file;
}

type Done = (error: Error | null, ...values: unknown[]) => void;

/** For the option `fs` of `createWriteStream`. */
function createPatientFs({ onFailed, onRecovered }: { onFailed(error: Error): void; onRecovered(): void }) {
  let isFailing = false;
  const insist = (attempt: (done: Done) => void, done: Done) => {
    attempt((error, ...values) => {
      if (error) {
        if (!isFailing) onFailed(error);
        isFailing = true;
        setTimeout(() => insist(attempt, done), RETRY_MS).unref();
        return;
      }
      if (isFailing) onRecovered();
      isFailing = false;
      done(null, ...values);
    });
  };
  return {
    open: (path: string, flags: string, mode: number, done: Done) =>
      insist((result) => open(path, flags, mode, result), done),
    write: (fd: number, bytes: Buffer, offset: number, length: number, position: number | null, done: Done) =>
      insist((result) => write(fd, bytes, offset, length, position, result), done),
    close,
  };
}
