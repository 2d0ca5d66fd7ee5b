/** A service process, and the command lines that people debug it with. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type Finished, finish, finishSealwire, listening, type Running, sealwire } from './command.js';
import { toolEnvironment } from './tools.js';

export const PAYMENTS = 'payments.v1.PaymentService';

/** A card that is authorized. */
export const card = { number: '4242424242424242', expiryMonth: 12, expiryYear: 2031, holderName: 'Ada Canary' };

/** A request as a person types it. */
export function order(orderId: string, changes: object = {}): string {
  return JSON.stringify({ order_id: orderId, amountMinor: '4999', currency_code: 'EUR', card, ...changes });
}

/** A running service and its callers. */
export interface DebugService {
  readonly dir: string;
  readonly address: string;
  /** `--address` and `--root`. */
  readonly flags: readonly string[];
  readonly process: Running;
  /** @returns the path of a file in the folder. */
  write(name: string, text: string): Promise<string>;
  grpcurl(flags: readonly string[], method: string, input?: string): Promise<Finished>;
  bufCurl(flags: readonly string[], method: string, input?: string): Promise<Finished>;
  stop(): Promise<void>;
}

/** @param args more flags of `sealwire serve` */
export async function startDebugService(...args: string[]): Promise<DebugService> {
  const dir = await mkdtemp(join(tmpdir(), 'sealwire-debug-'));
  const service = sealwire('serve', '--listen', '127.0.0.1:0', '--dir', dir, '--log-level', 'error', ...args);
  const address = await listening(service);
  const stdin = (input: string | undefined) => ({ env: toolEnvironment, ...(input !== undefined && { input }) });
  return {
    dir,
    address,
    flags: ['--address', address, '--root', join(dir, 'keys/root.pub.json')],
    process: service,
    async write(name, text) {
      await writeFile(join(dir, name), text);
      return join(dir, name);
    },
    grpcurl: (flags, method, input) =>
      finish(
        'grpcurl',
        ['-plaintext', ...flags, ...(input === undefined ? [] : ['-d', '@']), address, method],
        stdin(input),
      ),
    bufCurl: (flags, method, input) =>
      finish(
        'node_modules/.bin/buf',
        [
          'curl',
          '--protocol',
          'grpc',
          '--http2-prior-knowledge',
          ...flags,
          ...(input === undefined ? [] : ['-d', '@-']),
          `http://${address}/${method}`,
        ],
        stdin(input),
      ),
    async stop() {
      service.child.kill();
      await service.ended;
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Runs a command that must work. @returns its stdout */
export async function mustRun(args: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await finishSealwire(args, input === undefined ? {} : { input });
  expect(code, stderr).to.equal(0);
  return stdout;
}

/** One clear line on stderr, nothing of the plaintext, no stack, nothing on stdout. */
export function expectOneLine(finished: Finished, code: number, said: RegExp): void {
  expect(finished.stderr).to.match(said);
  expect(finished.code, finished.stderr).to.equal(code);
  expect(finished.stdout).to.equal('');
  expect(finished.stderr.match(/\n/g) ?? []).to.have.length(1);
  expect(finished.stderr)
    .to.match(/^sealwire: /)
    .and.not.match(/canary|4242424242424242|\n\s+at /i);
}
