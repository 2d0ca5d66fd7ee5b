import { once } from 'node:events';
import { mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type Transport from 'winston-transport';
import { FanOut } from '../../../src/audit/write/fan-out.js';
import { SealwireError } from '../../../src/errors.js';
import { createTransports, type TransportConfig } from '../../../src/host/audit/audit-transports.js';
import { settle, until } from '../../audit/helpers.js';
import { paymentsSchema } from '../../support/payments-host.js';
import { PaymentsLoad, readRecords } from '../../support/payments-load.js';
import { startServiceProcess, stopServiceProcess } from '../../support/service-process.js';

const MODULE = `
import Transport from ${JSON.stringify(import.meta.resolve('winston-transport'))};
import { appendFileSync } from 'node:fs';
export class ToFile extends Transport {
  constructor(options) { super(options); this.path = options.path; }
  log(info, next) { appendFileSync(this.path, info[Symbol.for('message')] + '\\n'); next(); }
}
export default ToFile;
export const notAClass = 1;
export class NotATransport {}
export class Throwing { constructor() { throw new Error('no such queue'); } }
`;

function config(transport: string, options: object = {}, name?: string): TransportConfig {
  return { transport, options: { ...options }, ...(name !== undefined && { export: name }) };
}

describe('configured transports', () => {
  let dir: string;
  let module: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sealwire-transports-'));
    module = join(dir, 'transport.mjs');
    await writeFile(module, MODULE);
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  it('are a list of names and options, and nothing else', () => {
    const parse = (transports: unknown) => paymentsSchema.safeParse({ audit: { transports } }).success;
    expect(parse([{ transport: 'console' }, { transport: './x.mjs', export: 'X', options: { a: 1 } }])).to.equal(true);
    for (const wrong of [{}, { transport: '' }, { transport: 'file', filename: 'x' }, 'file'])
      expect(parse([wrong])).to.equal(false);
  });

  const wrong: Readonly<Record<string, (path: string) => TransportConfig>> = {
    'a module that is not there': () => config('./not/there.mjs'),
    'a package that is not there': () => config('no-such-winston-transport'),
    'an export that is not there': (path) => config(path, {}, 'Missing'),
    'an export that is no class': (path) => config(path, {}, 'notAClass'),
    'a class that is no transport': (path) => config(path, {}, 'NotATransport'),
    'a class that throws': (path) => config(path, { password: 'hunter2' }, 'Throwing'),
    'a file in a place that cannot be': () => config('file', { dirname: '/dev/null/x', filename: 'audit.log' }),
    'a file without a name': () => config('file'),
    'a file that winston zips, since a full disk would end the process': () =>
      config('file', { filename: join(dir, 'copy.log'), zippedArchive: true }),
    'a file that winston would rotate once and then not at all': () =>
      config('file', { filename: join(dir, 'copy.log'), maxsize: 1_000, tailable: true }),
    'batches, which have no bound': () => config('http', { batch: true }),
  };
  for (const [what, make] of Object.entries(wrong)) {
    it(`stop the start when one is ${what}`, async () => {
      const made = make(module);
      const error = await createTransports([config('console'), made]).catch((reason: unknown) => reason);
      expect(error).to.be.instanceOf(SealwireError);
      expect((error as SealwireError).code).to.equal('OPTIONS_INVALID');
      expect((error as SealwireError).message)
        .to.contain(`audit.transports[1]: ${made.transport}: `)
        .and.not.contain('hunter2');
    });
  }

  it('are named with the path that cannot be', async () => {
    const made = createTransports([config('file', { dirname: '/dev/null/x', filename: 'audit.log' })]);
    const message = await made.catch((error: Error) => error.message);
    expect(message).to.equal('audit.transports[0]: file: /dev/null/x: ENOTDIR');
  });

  it('open a file anew that somebody else has renamed or deleted, for its owner only', async () => {
    const filename = join(dir, 'copy.log');
    const [file] = await createTransports([config('file', { filename })]);
    const fanOut = new FanOut({ transports: [file as Transport], report: () => {} });
    const push = async (line: string) => {
      fanOut.push(line);
      await until(async () => (await readFile(filename, 'utf8').catch(() => '')).includes(line));
    };
    await push('first');
    await rename(filename, `${filename}.1`);
    await push('second');
    await rm(filename);
    await push('third');
    await fanOut.close();
    expect(await readFile(`${filename}.1`, 'utf8')).to.equal('first\n');
    expect(await readFile(filename, 'utf8')).to.equal('third\n');
    expect((await stat(filename)).mode & 0o777).to.equal(0o600);
  });

  it('give every record of a service to stderr, a file, an HTTP collector, and a module', async () => {
    const received: string[] = [];
    const collector = createServer((request, response) => {
      readBody(request).then((body) => {
        received.push((JSON.parse(body) as { message: string }).message);
        response.end();
      });
    });
    collector.listen(0, '127.0.0.1');
    await once(collector, 'listening');
    const { port } = collector.address() as AddressInfo;
    const files = { file: join(dir, 'copy.log'), default: join(dir, 'default.log'), named: join(dir, 'named.log') };
    const transports = [
      config('console'),
      config('file', { filename: files.file }),
      config('http', { host: '127.0.0.1', port, path: '/audit' }),
      config(module, { path: files.default }),
      config(module, { path: files.named }, 'ToFile'),
    ];
    const service = await startServiceProcess({ dir, config: { audit: { transports }, logLevel: 'error' } });
    const load = new PaymentsLoad(service.client, 'order');
    load.start(4);
    await load.until(({ acknowledged }) => acknowledged.length >= 50);
    await load.stop();
    expect(await stopServiceProcess(service)).to.equal(0);
    collector.close();
    const lines = readRecords(dir).map((record) => JSON.stringify(record));
    expect(lines.length).to.be.greaterThan(50);
    for (const path of Object.values(files)) expect(await readLines(path), path).to.deep.equal(lines);
    const printed = service.running
      .stderr()
      .split('\n')
      .filter((line) => line.startsWith('{'));
    expect(printed).to.deep.equal(lines);
    expect(received).to.have.members(lines);
    expect(service.running.stdout().split('\n')).to.have.length(2);
  });

  it('do not hold up calls when a collector hangs, stderr is not read, a module throws; and the log is whole', async () => {
    const collector = createServer(() => {});
    collector.listen(0, '127.0.0.1');
    await once(collector, 'listening');
    const { port } = collector.address() as AddressInfo;
    const hung = join(dir, 'hung.mjs');
    await writeFile(
      hung,
      MODULE.replace('appendFileSync(this.path', 'throw new Error("broken"); appendFileSync(this.path'),
    );
    const transports = [config('http', { host: '127.0.0.1', port }), config('console'), config(hung, { path: 'x' })];
    const service = await startServiceProcess({ dir, config: { audit: { transports }, logLevel: 'error' } });
    service.running.child.stderr?.pause();
    const load = new PaymentsLoad(service.client, 'order');
    load.start(16);
    await load.until(({ acknowledged, failures }) => acknowledged.length >= 600 || failures.length > 0);
    await load.stop();
    expect(load.failures).to.deep.equal([]);
    service.running.child.stderr?.resume();
    expect(await stopServiceProcess(service)).to.equal(0);
    collector.closeAllConnections();
    collector.close();
    expect(readRecords(dir).length).to.be.greaterThan(600);
  }).timeout(60_000);

  it('are waited for at the end until a collector has answered', async () => {
    const answers: (() => void)[] = [];
    const collector = createServer((_request, response) => answers.push(() => response.end()));
    collector.listen(0, '127.0.0.1');
    await once(collector, 'listening');
    const { port } = collector.address() as AddressInfo;
    const fanOut = new FanOut({ transports: await createTransports([config('http', { host: '127.0.0.1', port })]) });
    for (let line = 0; line < 3; line++) fanOut.push(`{"seq":${line}}`);
    while (answers.length < 3) await once(collector, 'request');
    let isClosed = false;
    const closed = fanOut.close().then(() => {
      isClosed = true;
    });
    await settle();
    expect(isClosed).to.equal(false);
    for (const answer of answers) answer();
    await closed;
    collector.closeAllConnections();
    collector.close();
  });

  it('do not open more connections to a collector than a few, and give up those that hang', async () => {
    let open = 0;
    let most = 0;
    let requests = 0;
    const collector = createServer((_request, response) => {
      requests++;
      setImmediate(() => response.end());
    });
    collector.on('connection', (socket) => {
      most = Math.max(most, ++open);
      socket.on('close', () => open--);
    });
    collector.listen(0, '127.0.0.1');
    await once(collector, 'listening');
    const { port } = collector.address() as AddressInfo;
    const fanOut = new FanOut({ transports: await createTransports([config('http', { host: '127.0.0.1', port })]) });
    for (let line = 0; line < 500; line++) fanOut.push(`{"seq":${line}}`);
    while (requests < 500) await once(collector, 'request');
    expect(most).to.be.within(1, 16);
    expect(fanOut.stats()).to.deep.equal({ dropped: 0, failed: 0 });
    await fanOut.close();
    collector.closeAllConnections();
    collector.close();
  });
});

async function readBody(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request) body += String(chunk);
  return body;
}

async function readLines(path: string): Promise<string[]> {
  return (await readFile(path, 'utf8')).split('\n').slice(0, -1);
}
