/** What a service outlives: readers of its output that go or sleep, hang-ups; and what its log says of its end. */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import { expect } from 'chai';
import { PaymentServiceService } from '../../src/gen/payments/v1/payments.js';
import { SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import { fileKeySource } from '../../src/keys/key-source.js';
import { environment, listening, MAIN, type Running, sealwire } from '../support/command.js';
import { validRequest } from '../support/harness.js';
import { checkHealth, makeHealthClient, watchUntilEnd } from '../support/health.js';

describe('sealwire serve outlives', function () {
  this.timeout(60_000);
  let dir: string;
  let count = 0;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sealwire-outlives-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  const flags = (...more: string[]) => [
    'serve',
    '--listen',
    '127.0.0.1:0',
    '--dir',
    dir,
    '--log-level',
    'debug',
    ...more,
  ];

  async function pay(address: string, times: number): Promise<void> {
    const keys = fileKeySource(join(dir, 'keys/public.jwks.json'));
    const client = new SealedPaymentServiceClient(address, credentials.createInsecure(), { keys });
    for (let call = 0; call < times; call++) await client.authorize({ ...validRequest, orderId: `order-${count++}` });
    client.close();
  }

  /** Still answers, and ends in order. */
  async function expectAlive({ child, ended }: Running, address: string): Promise<void> {
    await pay(address, 5);
    child.kill('SIGTERM');
    expect(await ended).to.equal(0);
  }

  it('the reader of its stderr', async () => {
    const service = sealwire(...flags());
    const address = await listening(service);
    service.child.stderr?.destroy();
    // Each call is a line in the log.
    await pay(address, 5);
    await expectAlive(service, address);
  });

  it('the reader of its stdout', async () => {
    const service = sealwire(...flags());
    service.child.stdout?.destroy();
    const address = await new Promise<string>((resolve) => {
      const look = () => {
        const [, found] = / on (127\.0\.0\.1:\d+) /.exec(service.stderr()) ?? [];
        if (found) resolve(found);
      };
      service.child.stderr?.on('data', look);
    });
    await expectAlive(service, address);
  });

  it('a reader of its stderr that sleeps, while it logs more than a pipe holds', async () => {
    const service = sealwire(...flags());
    const address = await listening(service);
    service.child.stderr?.pause();
    await pay(address, 500);
    await expectAlive(service, address);
  });

  it('full files as stdout and stderr', async function () {
    if (process.platform !== 'linux') this.skip();
    const full = openSync('/dev/full', 'w');
    const file = join(dir, 'config.json');
    // Where it listens is told to nobody: the port is one that was free a moment ago.
    const other = sealwire('serve', '--listen', '127.0.0.1:0', '--dir', join(dir, 'other'));
    const address = await listening(other);
    other.child.kill('SIGTERM');
    await other.ended;
    await writeFile(file, JSON.stringify({ listen: address }));
    const child = spawn(process.execPath, [MAIN, 'serve', '--dir', dir, '--config', file], {
      env: environment,
      stdio: ['ignore', full, full],
    });
    closeSync(full);
    const ended = new Promise<number | string>((resolve) =>
      child.once('exit', (code, signal) => resolve(code ?? signal ?? '')),
    );
    const health = makeHealthClient(address);
    await new Promise<void>((resolve, reject) =>
      health.waitForReady(Date.now() + 30_000, (error) => (error ? reject(error) : resolve())),
    );
    expect(await checkHealth(health, '')).to.include({ status: 'SERVING' });
    health.close();
    child.kill('SIGTERM');
    expect(await ended).to.equal(0);
  });

  it('hang-ups until its calls are over, and says at once how many there are and how long it waits', async () => {
    const file = join(dir, 'config.json');
    await writeFile(file, JSON.stringify({ drainMs: 600_000 }));
    const service = sealwire(...flags('--config', file));
    const address = await listening(service);
    const { client, call, answered } = await holdCall(address);
    const health = makeHealthClient(address);
    let isWatched = () => {};
    const watched = new Promise<void>((resolve) => (isWatched = resolve));
    const told = watchUntilEnd(health, '', () => isWatched());
    await watched;
    for (let hangUp = 0; hangUp < 3; hangUp++) service.child.kill('SIGHUP');
    // The call is still held.
    await untilSaid(service, 'draining: 1 calls, which have 600 s to finish');
    expect(service.stderr()).to.include('info SIGHUP: stopping\n');
    expect(await told).to.deep.equal(['SERVING', 'NOT_SERVING', 'OK']);
    call.end();
    await answered;
    client.close();
    health.close();
    expect(await service.ended).to.equal(0);
    const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
    const which = JSON.stringify({ sealwire: version, node: process.version, pid: service.child.pid });
    const lines = service.stderr().trimEnd().split('\n');
    expect(lines[0])
      .to.match(/ info sealwire-payments on /)
      .and.to.include(which);
    expect(lines.at(-1))
      .to.match(/ info stopped /)
      .and.to.include(which);
  });

  it('calls that do not end in time, which it ends without a word of their handlers', async () => {
    const file = join(dir, 'config.json');
    await writeFile(file, JSON.stringify({ drainMs: 200 }));
    const service = sealwire(...flags('--config', file));
    const { client, answered } = await holdCall(await listening(service));
    service.child.kill('SIGTERM');
    await answered;
    client.close();
    expect(await service.ended).to.equal(0);
    expect(service.stderr())
      .to.include('calls are ended: they took longer than drainMs {"calls":1}')
      .and.not.include('a handler failed');
  });
});

/** Waits until a service has said something on stderr. */
function untilSaid({ child, stderr }: Running, text: string): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (!stderr().includes(text)) return;
      child.stderr?.off('data', look);
      resolve();
    };
    child.stderr?.on('data', look);
    look();
  });
}

/** A call whose messages do not come: its handler waits for them. */
async function holdCall(address: string) {
  const client = new Client(address, credentials.createInsecure());
  const raw = (value: Buffer) => value;
  const { path } = PaymentServiceService.importPayments;
  let settle = () => {};
  const answered = new Promise<void>((resolve) => (settle = resolve));
  const call = client.makeClientStreamRequest(path, raw, raw, () => settle());
  call.on('error', () => {});
  // Answers on one connection come in order: the held call has arrived.
  await new Promise((resolve) =>
    client.makeUnaryRequest('/grpc.health.v1.Health/Check', raw, raw, Buffer.alloc(0), resolve),
  );
  return { client, call, answered };
}
