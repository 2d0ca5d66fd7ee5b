/** winston transports for audit records, by configuration: winston's own by name, others from a module. */
import { write } from 'node:fs';
import { Agent } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import { isAbsolute, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { transports } from 'winston';
import Transport from 'winston-transport';
import { SealwireError } from '../../errors.js';
import type { AuditConfig } from './audit-config.js';
import { createFileTransport } from './file-transport.js';

/** One element of `audit.transports`. */
export type TransportConfig = AuditConfig['transports'][number];

type Options = Readonly<Record<string, unknown>>;

/**
 * Makes the configured transports.
 *
 * @throws SealwireError `OPTIONS_INVALID` naming the transport that cannot be made
 */
export function createTransports(configs: readonly TransportConfig[]): Promise<Transport[]> {
  return Promise.all(
    configs.map(async (config, index) => {
      try {
        return await createTransport(config);
      } catch (error) {
        const { path, code, message } = (error instanceof Error ? error : new Error('failed')) as NodeJS.ErrnoException;
        const why = code === undefined ? message : [path, code].filter(Boolean).join(': ');
        // The options may hold a password: the message holds only the error's own text.
        throw new SealwireError('OPTIONS_INVALID', `audit.transports[${index}]: ${config.transport}: ${why}`);
      }
    }),
  );
}

async function createTransport({ transport, export: name, options }: TransportConfig): Promise<Transport> {
  if (transport === 'console') return new StderrTransport(options);
  if (transport === 'file') return createFileTransport(options);
  if (transport === 'http') return new Http(options);
  const made: unknown = new (await importClass(transport, name))(options);
  const { log, on } = made as { log?: unknown; on?: unknown };
  if (typeof log !== 'function' || typeof on !== 'function') throw new Error('is not a winston transport');
  return made as Transport;
}

async function importClass(module: string, name: string | undefined): Promise<new (options: Options) => unknown> {
  const exports = (await import(locate(module))) as Record<string, unknown>;
  const found = exports[name ?? 'default'];
  if (typeof found === 'function') return found as new (options: Options) => unknown;
  throw new Error(`has no class ${name ?? 'as its default export; name one in export'}`);
}

/** Resolves paths and packages from the working directory, as users expect. */
function locate(module: string): string {
  if (module.startsWith('.') || isAbsolute(module)) return pathToFileURL(resolve(module)).href;
  try {
    return pathToFileURL(createRequire(resolve('index.js')).resolve(module)).href;
  } catch {
    // A package for import only, which require cannot see.
    return module;
  }
}

/**
 * Lines on stderr. winston's own Console writes synchronously: a pipe that nobody reads would stop the service. stdout
 * says where the service listens, and nothing else.
 */
class StderrTransport extends Transport {
  /** winston passes several records at once when some have waited; lines must not mix. */
  #last: Promise<void> = Promise.resolve();

  override log(info: Record<symbol, string>, next: () => void): void {
    const bytes = Buffer.from(`${info[Symbol.for('message')]}\n`);
    this.#last = this.#last
      .then(() => writeAll(bytes))
      .catch((error: unknown) => {
        this.emit('error', error);
      })
      .then(next);
  }
}

const STDERR = 2;
const writeAsync = promisify(write) as (fd: number, bytes: Uint8Array) => Promise<{ bytesWritten: number }>;

async function writeAll(bytes: Uint8Array): Promise<void> {
  for (let rest = bytes; rest.length > 0; ) {
    try {
      rest = rest.subarray((await writeAsync(STDERR, rest)).bytesWritten);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      // A non-blocking pipe is full; further lines wait in a bounded queue.
      await setTimeout(BUSY_MS, undefined, { ref: false });
    }
  }
}

const BUSY_MS = 20;
/** Requests under way at a time. winston's own Http makes one for each record, however many are open. */
const MAX_REQUESTS = 16;
/** A request without any traffic for this long has failed. */
const REQUEST_MS = 10_000;

/** winston's Http with a bound on its requests, and an end for those that hang. */
class Http extends transports.Http {
  readonly #waiting: (() => void)[] = [];
  #requests = 0;
  #idle = () => {};

  constructor(options: Options) {
    if (options['batch']) throw new Error('batch is not supported');
    super({ agent: createAgent(options['ssl'] === true), ...options } as never);
    const done = () => {
      this.#requests--;
      this.#waiting.shift()?.();
      if (this.#requests === 0) this.#idle();
    };
    this.on('logged', done);
    this.on('warn', done);
  }

  override log(info: unknown, next: () => void): void {
    this.#requests++;
    super.log?.(info, () => {});
    if (this.#requests < MAX_REQUESTS) setImmediate(next);
    else this.#waiting.push(next);
  }

  /** The end of the stream waits for the answers. */
  override _final(done: () => void): void {
    if (this.#requests === 0) done();
    else this.#idle = done;
  }
}

function createAgent(isTls: boolean): Agent {
  const options = { keepAlive: true, maxSockets: MAX_REQUESTS, timeout: REQUEST_MS };
  const agent = isTls ? new TlsAgent(options) : new Agent(options);
  // The agent reports a timeout but leaves the connection to its user.
  const { createConnection } = agent as unknown as { createConnection: (...args: unknown[]) => Socket };
  return Object.assign(agent, {
    createConnection(this: Agent, ...args: unknown[]) {
      const socket = createConnection.apply(this, args);
      socket.on('timeout', () => socket.destroy(new Error('timed out')));
      return socket;
    },
  });
}
