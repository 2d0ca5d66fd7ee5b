/** winston's file transport on a disk that may be full for a while. */
import { close, fstat, open, stat, write } from 'node:fs';
import { promisify } from 'node:util';
import { transports } from 'winston';
import type Transport from 'winston-transport';

const RETRY_MS = 1_000;
const openAsync = promisify(open) as (path: string, flags: string, mode: number) => Promise<number>;
const statAsync = promisify(stat);
const fstatAsync = promisify(fstat);
const closeAsync = promisify(close);
const writeAsync = promisify(write) as (fd: number, ...part: unknown[]) => Promise<{ bytesWritten: number }>;

/**
 * winston's own loses lines without a word once a write has failed, and never writes again. Here what fails is tried
 * again every second, while further records wait in the bounded queue of the fan-out. The transport emits `warn` when
 * its file begins to fail, and `recovered` when it is written again. A file that was renamed or deleted is opened anew.
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
  const stream = { flags: 'a', mode: 0o600, ...(options['options'] as object | undefined), fs };
  const file = new transports.File({ maxsize: 0, ...options, options: stream });
  return file;
}

type Done = (error: Error | null, ...values: unknown[]) => void;

/** A file as it was opened last, under the descriptor by which its stream knows it. */
interface Opened {
  readonly path: string;
  readonly mode: number;
  fd: number;
}

/** For the option `fs` of `createWriteStream`. */
function createPatientFs({ onFailed, onRecovered }: { onFailed(error: Error): void; onRecovered(): void }) {
  const files = new Map<number, Opened>();
  let isFailing = false;
  const insist = (attempt: () => Promise<readonly unknown[]>, done: Done) => {
    attempt().then(
      (values) => {
        if (isFailing) onRecovered();
        isFailing = false;
        done(null, ...values);
      },
      (error: Error) => {
        if (!isFailing) onFailed(error);
        isFailing = true;
        setTimeout(() => insist(attempt, done), RETRY_MS).unref();
      },
    );
  };
  return {
    open: (path: string, flags: string, mode: number, done: Done) =>
      insist(async () => {
        const fd = await openAsync(path, flags, mode);
        files.set(fd, { path, mode, fd });
        return [fd];
      }, done),
    write: (fd: number, bytes: Buffer, offset: number, length: number, position: number | null, done: Done) =>
      insist(async () => {
        const file = files.get(fd) as Opened;
        await follow(file);
        const { bytesWritten } = await writeAsync(file.fd, bytes, offset, length, position);
        // The stream writes the rest of what was cut short by a full disk.
        return [bytesWritten, bytes];
      }, done),
    close(fd: number, done: (error: Error | null) => void) {
      close(files.get(fd)?.fd ?? fd, done);
      files.delete(fd);
    },
  };
}

/** Opens the file anew when another one, or none, is in its place: somebody else has moved or deleted it. */
async function follow(file: Opened): Promise<void> {
  const [own, there] = await Promise.all([
    fstatAsync(file.fd),
    statAsync(file.path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    }),
  ]);
  if (own.dev === there?.dev && own.ino === there.ino) return;
  const { fd } = file;
  file.fd = await openAsync(file.path, 'a', file.mode);
  await closeAsync(fd);
}
