import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { credentials, makeGenericClientConstructor } from '@grpc/grpc-js';
import { expect } from 'chai';
import { service as healthService } from 'grpc-health-check';
import { PaymentServiceService } from '../../src/gen/payments/v1/payments.js';
import { SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import { fileKeySource } from '../../src/keys/key-source.js';
import { environment, listening, MAIN, run, sealwire } from '../support/command.js';
import { validRequest } from '../support/harness.js';

interface HealthCheck {
  check(request: object, callback: (error: unknown) => void): void;
}

describe('sealwire serve', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sealwire-cli-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  const flags = () => ['serve', '--listen', '127.0.0.1:0', '--dir', dir];

  /** Calls on a connection of their own. */
  function makeClient(address: string): SealedPaymentServiceClient {
    const keys = fileKeySource(join(dir, 'keys/public.jwks.json'));
    return new SealedPaymentServiceClient(address, credentials.createInsecure(), { keys });
  }

  it('prints exactly one line on stdout, serves, and ends with 0 on SIGTERM', async () => {
    const service = sealwire(...flags());
    const address = await listening(service);
    const client = makeClient(address);
    expect((await client.authorize(validRequest)).status).to.equal('authorized');
    client.close();
    service.child.kill('SIGTERM');
    expect(await service.ended).to.equal(0);
    expect(service.stdout()).to.equal(`listening on ${address}\n`);
  });

  it('ends with 0 on SIGINT', async () => {
    const service = sealwire(...flags());
    await listening(service);
    service.child.kill('SIGINT');
    expect(await service.ended).to.equal(0);
  });

  it('logs JSON by choice: each line of its log, and why it cannot start', async () => {
    const read = (text: string) =>
      text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as { level: string; message: string });
    const service = sealwire(...flags(), '--log-format', 'json');
    const address = await listening(service);
    const second = sealwire(...flags(), '--log-format', 'json');
    expect(await second.ended).to.equal(3);
    expect(read(second.stderr()).at(-1))
      .to.include({ level: 'error' })
      .and.have.property('message')
      .that.matches(/^cannot start: .*process \d+ writes this log/);
    service.child.kill('SIGTERM');
    expect(await service.ended).to.equal(0);
    const said = read(service.stderr()).map(({ message }) => message);
    expect(said).to.include('SIGTERM: stopping');
    expect([said[0], said.at(-1)]).to.deep.equal([`sealwire-payments on ${address} (plain text)`, 'stopped']);
  });

  it('lets calls under way finish before it ends', async () => {
    const service = sealwire(...flags());
    const client = makeClient(await listening(service));
    await client.authorize(validRequest);
    const calls = Array.from({ length: 49 }, (_, index) =>
      client.authorize({ ...validRequest, orderId: `order-${index}` }),
    );
    // An answer to one of those that started last shows that all have reached the service.
    await Promise.race(calls.slice(-16));
    service.child.kill('SIGTERM');
    const answers = await Promise.all(calls);
    expect(answers.every(({ status }) => status === 'authorized')).to.equal(true);
    client.close();
    expect(await service.ended).to.equal(0);
  });

  it('ends at once on a second signal', async () => {
    const config = join(dir, 'config.json');
    await writeFile(config, JSON.stringify({ drainMs: 600_000 }));
    const service = sealwire(...flags(), '--config', config);
    const address = await listening(service);
    const Health = makeGenericClientConstructor(healthService as never, 'Health');
    const health = new Health(address, credentials.createInsecure());
    const watch = (health as unknown as { watch(request: object): NodeJS.EventEmitter }).watch({ service: '' });
    watch.on('error', () => {});
    await new Promise((resolve) => watch.once('data', resolve));
    // A call whose message never comes would keep the service from ending for as long as it may.
    const { path } = PaymentServiceService.authorize;
    const raw = (value: Buffer) => value;
    const held = health.makeClientStreamRequest(path, raw, raw, () => {});
    held.on('error', () => {});
    // Answers on one connection come in order: the held call has arrived.
    await new Promise((resolve) => (health as unknown as HealthCheck).check({ service: '' }, resolve));
    const stopping = new Promise((resolve) => watch.once('data', resolve));
    service.child.kill('SIGTERM');
    await stopping;
    service.child.kill('SIGTERM');
    expect(await service.ended).to.equal(0);
    expect(service.stderr()).to.match(/ warn SIGTERM again: calls under way are cut\n$/);
    health.close();
  });

  /** Fails with one line and no stack. */
  async function expectFailure(code: number, said: RegExp, ...args: string[]): Promise<void> {
    const failed = sealwire(...args);
    expect(await failed.ended, failed.stderr()).to.equal(code);
    expect(failed.stdout()).to.equal('');
    expect(failed.stderr())
      .to.match(said)
      .and.not.match(/\n\s+at /);
    const complaints = failed
      .stderr()
      .split('\n')
      .filter((line) => line.startsWith('sealwire: '));
    expect(complaints).to.have.length(1);
  }

  it('ends with 0 on SIGTERM while it waits for a lock, and does not serve first', async () => {
    const lock = join(dir, 'audit/lock');
    await mkdir(join(dir, 'audit'), { mode: 0o700 });
    await writeFile(lock, JSON.stringify({ place: 'another boot', pid: 1, start: '', folder: '', token: '' }));
    const service = sealwire(...flags());
    const isWaiting = () => service.stderr().includes('waiting up to 10 s');
    while (!isWaiting()) await once(service.child.stderr as Readable, 'data');
    service.child.kill('SIGTERM');
    expect(await service.ended).to.equal(0);
    expect(service.stdout()).to.equal('');
    expect(await readFile(lock, 'utf8')).to.contain('another boot');
    expect(service.stderr()).to.match(/ info stopped before it served\n$/);
  });

  it('ends with 0 on SIGTERM before its libraries are loaded', async () => {
    const hook = `process.on('newListener', (event) => {
      if (event !== 'SIGTERM') return;
      if (process.moduleLoadList.includes('NativeModule http2')) process.exit(9);
      setImmediate(() => process.kill(process.pid, 'SIGTERM'));
    });`;
    const service = run(process.execPath, [`--import=data:text/javascript,${hook}`, MAIN, ...flags()]);
    expect([await service.ended, service.stdout()]).to.deep.equal([0, '']);
  });

  it('ends with 3 when its threads do not live, before it listens', async () => {
    const preload = ['--import', './dist/test/support/fail-threads.js'];
    const service = run(process.execPath, [...preload, MAIN, ...flags()]);
    expect(await service.ended).to.equal(3);
    expect(service.stdout()).to.equal('');
    expect(service.stderr()).to.match(/the worker thread for agreements cannot start \(TypeError\)\n$/);
  });

  it('ends with 3 when the address is taken', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as { port: number };
    const said = new RegExp(`^sealwire: listen: 127\\.0\\.0\\.1:${port}: EADDRINUSE$`, 'm');
    await expectFailure(3, said, 'serve', '--listen', `127.0.0.1:${port}`, '--dir', dir);
    other.close();
  });

  it('ends with 3 when others can read the key ring, and does not overwrite it', async () => {
    const service = sealwire(...flags());
    await listening(service);
    service.child.kill('SIGTERM');
    await service.ended;
    const ring = join(dir, 'keys/ring.json');
    const before = await readFile(ring, 'utf8');
    await chmod(ring, 0o644);
    await expectFailure(3, /ring\.json: mode 0644 .* chmod 600/, ...flags());
    expect(await readFile(ring, 'utf8')).to.equal(before);
  });

  it('ends with 3 when the key ring is broken, quoting nothing of it', async () => {
    const service = sealwire(...flags());
    await listening(service);
    service.child.kill('SIGTERM');
    await service.ended;
    await writeFile(join(dir, 'keys/ring.json'), '{"keys":[{"kty":"EC","d":"canary"');
    await expectFailure(3, /^(?![\s\S]*canary)[\s\S]*ring\.json: the file is empty or its end is missing/, ...flags());
  });

  it('ends with 2 for an unknown policy', () => expectFailure(2, /policy/, ...flags(), '--policy', 'lax'));
  it('logs a fault of the configuration as JSON if that, a flag or the environment says so', async () => {
    const config = join(dir, 'config.json');
    await writeFile(config, JSON.stringify({ logFormat: 'json', drainMs: -1 }));
    const broken = join(dir, 'broken.json');
    await writeFile(broken, '{');
    const byVariable = { env: { ...environment, SEALWIRE_LOG_FORMAT: 'json' } };
    for (const [args, options] of [
      [['--config', config], {}],
      [['--config', broken, '--log-format', 'json'], {}],
      [['--config', broken], byVariable],
    ] as const) {
      const service = run(process.execPath, [MAIN, ...flags(), ...args], options);
      expect(await service.ended).to.equal(2);
      const said = JSON.parse(service.stderr()) as { level: string; message: string };
      expect(said.level).to.equal('error');
      expect(said.message).to.match(/^cannot start: configuration: /);
    }
  });

  it('ends with 2 for a malformed address', () => expectFailure(2, /HOST:PORT/, 'serve', '--listen', 'here'));
  it('ends with 2 for a configuration file that is not there', () =>
    expectFailure(2, /ENOENT/, ...flags(), '--config', join(dir, 'absent.json')));
  it('ends with 2 for certificates that are not there', async () => {
    const config = join(dir, 'config.json');
    await writeFile(config, JSON.stringify({ tls: { cert: '/absent.pem', key: '/absent.key' } }));
    await expectFailure(2, /tls: \/absent\.pem: ENOENT/, ...flags(), '--config', config);
  });

  for (const [name, args] of [
    ['an unknown flag', ['serve', '--lisen', 'x']],
    ['an unknown command', ['sevre']],
    ['an excess argument', ['serve', 'x']],
  ] as const) {
    it(`ends with 2 for ${name}`, async () => {
      const failed = sealwire(...args);
      expect(await failed.ended).to.equal(2);
      expect(failed.stderr())
        .to.include('error:')
        .and.not.match(/\n\s+at /);
    });
  }

  it('prints a stack with --debug only', async () => {
    const failed = sealwire('--debug', ...flags(), '--policy', 'lax');
    expect(await failed.ended).to.equal(2);
    expect(failed.stderr()).to.match(/\n\s+at /);
  });

  it('tells its version and every flag', async () => {
    const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
    const asked = sealwire('--version');
    expect([await asked.ended, asked.stdout()]).to.deep.equal([0, `${version}\n`]);
    const help = sealwire('serve', '--help');
    expect(await help.ended).to.equal(0);
    for (const flag of ['--listen', '--dir', '--policy', '--config', '--log-level', '--log-format']) {
      expect(help.stdout()).to.include(flag);
    }
  });
});

describe('npm start', () => {
  it('ends the service when npm, or the shell under it, is gone', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'sealwire-npm-'));
    const start = `node scripts/run.mjs start --listen 127.0.0.1:0 --dir ${dir}; :`;
    // Stands for npm: a process with a shell under it, killed so that it can tell nobody.
    const parent = `import { spawn } from 'node:child_process'; spawn('sh', ['-c', ${JSON.stringify(start)}], { stdio: 'inherit' });`;
    const env = { ...environment, npm_lifecycle_event: 'start' };
    const npm = run(process.execPath, ['--input-type=module', '-e', parent], { env });
    await listening(npm);
    npm.child.kill('SIGKILL');
    // `close` comes when the last process that holds stdout has ended.
    await npm.ended;
    await rm(dir, { recursive: true });
  });

  it('ends with 0 on a signal that comes while the service is still being loaded', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'sealwire-npm-'));
    // As soon as the wrapper listens; a lost signal would leave the service running.
    const hook = `process.on('newListener', (event, listener) => {
      if (event === 'SIGINT' && listener.name === 'onSignalOfService') setImmediate(() => process.kill(process.pid, 'SIGTERM'));
    });`;
    const flags = ['start', '--listen', '127.0.0.1:0', '--dir', dir];
    const service = run(process.execPath, [`--import=data:text/javascript,${hook}`, 'scripts/run.mjs', ...flags]);
    expect(await service.ended).to.equal(0);
    expect(service.stdout()).to.equal('');
    await rm(dir, { recursive: true });
  });
});
