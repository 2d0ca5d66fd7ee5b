/** How the gateway starts and stops, and what it serves besides calls. */
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { connect as connectSecure } from 'node:http2';
import { request } from 'node:https';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { expect } from 'chai';
import { CallLines } from '../../../src/host/web/call-lines.js';
import { TestCa } from '../../support/certificates.js';
import { environment, finish, MAIN } from '../../support/command.js';
import { AUTHORIZE, type EchoHandlers, type EchoHost, startEchoHost, WATCH } from '../../support/echo-host.js';
import { callWeb, frame, readWeb, statusOf } from '../../support/web-requests.js';

const echo: EchoHandlers = {
  authorize: ({ request: message }, callback) => callback(null, message),
  watchPayments: (call) => call.write(call.request),
};

describe('the web gateway of a host', () => {
  let folder: string;
  let host: EchoHost | undefined;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'sealwire-web-'));
    mkdirSync(join(folder, 'pages/deep'), { recursive: true });
    writeFileSync(join(folder, 'secret.html'), 'secret');
    for (const name of ['index.html', 'app.js', 'notes.txt', 'deep/index.html'])
      writeFileSync(join(folder, 'pages', name), `of ${name}`);
  });
  after(() => rmSync(folder, { recursive: true }));
  afterEach(() => host?.stop());

  it("serves an app's pages, under a policy that allows no script but theirs", async () => {
    host = await startEchoHost(echo, {}, { pages: join(folder, 'pages') });
    const { url } = host;
    for (const [path, text, type] of [
      ['/', 'of index.html', 'text/html; charset=utf-8'],
      ['/app.js', 'of app.js', 'text/javascript; charset=utf-8'],
      ['/deep/?a=1', 'of deep/index.html', 'text/html; charset=utf-8'],
    ] as const) {
      const page = await fetch(url + path);
      expect([page.status, await page.text()]).to.deep.equal([200, text]);
      const headers = Object.fromEntries(page.headers);
      expect(headers).to.include({ 'content-type': type, 'x-content-type-options': 'nosniff' });
      expect(headers['content-security-policy']).to.match(/^default-src 'none'; script-src 'self'; /);
      expect(headers['content-security-policy']).not.to.include('unsafe');
      const again = await fetch(url + path, { headers: { 'if-none-match': headers['etag'] as string } });
      expect([again.status, await again.text()]).to.deep.equal([304, '']);
    }
    const head = await fetch(url, { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length')]).to.deep.equal([200, '13']);
    for (const path of [
      '/notes.txt',
      '/other.html',
      '/../secret.html',
      '/%2e%2e/secret.html',
      '/deep/..%2f..%2fsecret.html',
      '//',
    ]) {
      expect(await statusOf(url, { path }), path).to.equal(404);
    }
  });

  it('tells nothing at /insight where the app does not want it', async () => {
    host = await startEchoHost(echo, {}, { pages: join(folder, 'pages') });
    expect((await fetch(`${host.url}/insight`)).status).to.equal(404);
  });

  it('tells nothing at /insight where other machines can ask', async () => {
    host = await startEchoHost(echo, { web: { listen: '0.0.0.0:0' } }, { insight: true });
    expect((await fetch(`${host.url.replace('0.0.0.0', '127.0.0.1')}/insight`)).status).to.equal(404);
    expect(host.logged())
      .to.include(`web gateway on http://${host.service.webAddress}/`)
      .and.not.to.include('(loopback');
  });

  it('tells a page how to reach the service, and what is known of a call, at /insight', async () => {
    host = await startEchoHost(echo, {}, { insight: true });
    await callWeb('connect', host.url + AUTHORIZE, Buffer.from('m'), { 'x-request-id': 'seen-1' });
    await callWeb('connect', host.url + AUTHORIZE, Buffer.from('m'), { 'x-request-id': 'seen-2' });
    const read = async (query: string) => (await fetch(`${host?.url}/insight${query}`)).json();
    const { root } = host.service;
    expect(await read('')).to.deep.equal({ service: 'echo', root, calls: [], records: [] });
    const { calls } = (await read('?request=seen-1')) as { calls: { requestId: string }[] };
    expect(calls.map(({ requestId }) => requestId)).to.deep.equal(['seen-1']);
  });

  it('lets calls finish, takes no new ones, and ends those that last too long', async () => {
    let reached: (answer: () => void) => void;
    const called = new Promise<() => void>((resolve) => (reached = resolve));
    host = await startEchoHost({
      ...echo,
      authorize: ({ request: message }, callback) => reached(() => callback(null, message)),
    });
    const { url } = host;
    const answered = callWeb('connect', url + AUTHORIZE, Buffer.from('m'));
    const watching = fetch(url + WATCH, {
      method: 'POST',
      body: frame(Buffer.from('w')),
      headers: { 'content-type': 'application/connect+proto' },
    });
    const [watched, answer] = await Promise.all([watching, called]);
    const half = connect(Number(url.split(':')[2]), '127.0.0.1');
    await once(half, 'connect');
    half.write('POST /');
    // It may be reset: `once` of events would fail then.
    half.on('error', () => {});
    const closed = new Promise((resolve) => half.once('close', resolve));
    const stopped = host.stop();
    expect(await fetch(url).catch((error: Error) => error.cause)).to.have.property('code', 'ECONNREFUSED');
    answer();
    expect((await answered).messages.join()).to.equal('m');
    const body = Buffer.from(await watched.arrayBuffer());
    const { messages, code } = readWeb('connect stream', { status: 200, headers: watched.headers, body });
    expect([messages.join(), code]).to.deep.equal(['w', 'unavailable']);
    await stopped;
    await closed;
  });

  it('speaks HTTP/2 and 1.1 with the certificate of the service, and with the next one', async function () {
    const ca = new TestCa(join(folder, 'ca'), this);
    for (const name of ['one', 'two']) ca.sign(name);
    const tls = { cert: join(folder, 'tls.pem'), key: join(folder, 'tls.key') };
    const use = (name: string) => {
      cpSync(ca.at(`${name}.pem`), tls.cert);
      cpSync(ca.at(`${name}.key`), tls.key);
    };
    use('one');
    host = await startEchoHost(echo, { tls, web: { listen: '127.0.0.1:0' } });
    const trusted = { ca: readFileSync(ca.at('ca.pem')) };
    const session = connectSecure(host.url, trusted);
    const call = session.request({ ':method': 'POST', ':path': AUTHORIZE, 'content-type': 'application/proto' });
    call.end('m');
    const [headers] = (await once(call, 'response')) as [Record<string, unknown>];
    expect(headers[':status']).to.equal(200);
    expect(String((await once(call, 'data'))[0])).to.equal('m');
    expect(session.remoteSettings).to.include({ maxConcurrentStreams: 100, maxHeaderListSize: 65_536 });
    session.close();
    expect(host.logged()).to.include(
      `web gateway on https://${host.service.webAddress}/ (loopback: this machine only)`,
    );
    const nameServed = async () => {
      const asked = request(`${host?.url}/`, { ...trusted, agent: false }).end();
      const [response] = (await once(asked, 'response')) as [IncomingMessage];
      expect(response.httpVersion).to.equal('1.1');
      response.resume();
      return String((response.socket as TLSSocket).getPeerCertificate().subject.CN);
    };
    expect(await nameServed()).to.equal('one');
    use('two');
    await host.loggedText('new connections get another certificate');
    expect(await nameServed()).to.equal('two');
  });

  describe('on an address that is taken', () => {
    let taken: Server;
    let address: string;
    before(async () => {
      taken = createServer().listen(0, '127.0.0.1');
      await once(taken, 'listening');
      address = `127.0.0.1:${(taken.address() as { port: number }).port}`;
    });
    after(() => taken.close());

    it('is left out, and the log says so, if nobody asked for it', async () => {
      host = await startEchoHost(echo, { web: {} }, { listen: address });
      expect(host.service.webAddress).to.equal(undefined);
      expect(host.logged()).to.include(
        ` warn no web gateway: ${address} is taken; set web.listen or SEALWIRE_WEB_LISTEN`,
      );
    });

    it('stops the start, if it was configured', async () => {
      const error = await startEchoHost(echo, { web: { listen: address } }).catch((thrown: unknown) => thrown);
      expect(error).to.have.property('code', 'EADDRINUSE');
    });
  });

  it('is off unless configured or wanted by the app', async () => {
    host = await startEchoHost(echo, { web: {} });
    expect(host.service.webAddress).to.equal(undefined);
    expect(host.logged()).not.to.include('web gateway');
  });

  it('is refused where clients need certificates, and where its package is missing', async function () {
    const ca = new TestCa(join(folder, 'mutual'), this);
    ca.sign('one');
    const tls = { cert: ca.at('one.pem'), key: ca.at('one.key'), clientCa: ca.at('ca.pem') };
    const error = await startEchoHost(echo, { tls, web: { listen: '127.0.0.1:0' } }).catch((thrown: unknown) => thrown);
    expect(error).to.have.property('code', 'OPTIONS_INVALID');
    expect(error).to.have.property('message', 'web.listen: not with tls.clientCa: browsers have no certificates');
    const config = join(folder, 'config.json');
    writeFileSync(config, JSON.stringify({ web: { listen: '127.0.0.1:0' } }));
    const hooks = `export async function resolve(name, context, next) {
      if (!name.startsWith('@connectrpc/')) return next(name, context);
      throw Object.assign(new Error('not installed'), { code: 'ERR_MODULE_NOT_FOUND' });
    }`;
    const data = (text: string) => `data:text/javascript,${encodeURIComponent(text)}`;
    const preload = `import { register } from 'node:module'; register(${JSON.stringify(data(hooks))});`;
    const flags = ['serve', '--listen', '127.0.0.1:0', '--dir', join(folder, 'without'), '--config', config];
    const { SEALWIRE_WEB_LISTEN: _, ...env } = environment;
    const { code, stderr } = await finish(process.execPath, ['--import', data(preload), MAIN, ...flags], { env });
    expect(code).to.equal(2);
    expect(stderr).to.include('web.listen needs the package @connectrpc/connect: npm install @connectrpc/connect');
  });
});

describe("the gateway's lines", () => {
  it('are at most 20 in a second; the next one says how many were left out', () => {
    let now = 0;
    const said: object[] = [];
    const log = (_message: string, facts?: object) => said.push(facts ?? {});
    const lines = new CallLines({ error: log, warn: log, info: log, debug: log }, () => now);
    const line = { method: '/a.B/C', form: 'connect', code: 'ok', bytesIn: 0, bytesOut: 0, ms: 0, client: '::1' };
    for (let count = 0; count < 25; count++) lines.add(line);
    expect(said).to.have.length(20);
    now = 1_000;
    lines.add(line);
    expect(said.at(-1)).to.include({ omitted: 5 });
  });
});
