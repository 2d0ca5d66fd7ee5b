/** The way to a service that doctor checks is the way that grpc-js takes. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Client, credentials, logVerbosity, setLogVerbosity } from '@grpc/grpc-js';
import { expect } from 'chai';
import { findProxy, openSocket, parseTarget } from '../../../src/cli/debug/route.js';
import { refusal } from '../../keys/helpers.js';

describe('parseTarget', () => {
  const tcp = (host: string, port: number) => ({ host, place: { host, port } });
  const cases: readonly (readonly [address: string, endpoint: object])[] = [
    ['localhost:50051', tcp('localhost', 50_051)],
    ['payments.example', tcp('payments.example', 443)],
    ['[::1]:50051', tcp('::1', 50_051)],
    ['dns:payments.example:8443', tcp('payments.example', 8_443)],
    ['dns:payments.example', tcp('payments.example', 443)],
    ['dns:///payments.example:8443', tcp('payments.example', 8_443)],
    ['dns://192.0.2.1/payments.example:8443', tcp('payments.example', 8_443)],
    ['ipv4:192.0.2.1:50051,192.0.2.2:50051', tcp('192.0.2.1', 50_051)],
    ['ipv6:[2001:db8::1]:50051', tcp('2001:db8::1', 50_051)],
    ['unix:/run/payments.sock', { host: 'localhost', place: { path: '/run/payments.sock' } }],
    ['unix:///run/payments.sock', { host: 'localhost', place: { path: '/run/payments.sock' } }],
    ['unix:payments.sock', { host: 'localhost', place: { path: 'payments.sock' } }],
  ];
  for (const [address, endpoint] of cases) {
    it(`reads ${address}`, () => void expect(parseTarget(address)).to.deep.equal(endpoint));
  }
  for (const address of ['', 'host:0', 'host:65536', 'host:http', 'http://host:1', 'a b', 'unix:', 'xds:///host']) {
    it(`refuses '${address}'`, () => refusal(() => parseTarget(address), 'OPTIONS_INVALID'));
  }
});

describe('the proxy of doctor', () => {
  let proxy: Server;
  let address: string;
  /** Targets of CONNECT. */
  let asked: string[];
  const kept = { ...process.env };
  const VARIABLES = ['grpc_proxy', 'https_proxy', 'http_proxy', 'no_grpc_proxy', 'no_proxy'] as const;
  before(async () => {
    // Channels that were closed may still complain later.
    setLogVerbosity(logVerbosity.NONE);
    proxy = createServer();
    proxy.on('connect', ({ url = '' }, socket) => {
      asked.push(url);
      socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    });
    await once(proxy.listen(0, '127.0.0.1'), 'listening');
    address = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  });
  beforeEach(() => {
    asked = [];
    for (const name of VARIABLES) delete process.env[name];
  });
  after(() => {
    proxy.close();
    for (const name of VARIABLES) {
      if (kept[name] === undefined) delete process.env[name];
      else process.env[name] = kept[name];
    }
  });

  /** Whether grpc-js asks the proxy for this target. */
  async function grpcAsks(target: string): Promise<boolean> {
    const client = new Client(target, credentials.createInsecure());
    await new Promise((done) => {
      // A call fails as soon as its connection does.
      const raw = (value: Buffer) => value;
      client.makeUnaryRequest('/a.B/C', raw, raw, Buffer.alloc(0), done);
    });
    client.close();
    return asked.length > 0;
  }

  // Nobody listens on port 1, so that a way without the proxy ends at once.
  const cases: readonly (readonly [name: string, env: () => NodeJS.ProcessEnv, target: string, isProxied: boolean])[] =
    [
      ['http_proxy', () => ({ http_proxy: address }), '127.0.0.1:1', true],
      [
        'grpc_proxy before http_proxy',
        () => ({ grpc_proxy: address, http_proxy: 'http://127.0.0.1:1' }),
        'dns:localhost:1',
        true,
      ],
      ['no_proxy by name', () => ({ https_proxy: address, no_proxy: 'example,localhost' }), 'localhost:1', false],
      ['no_proxy by end of name', () => ({ http_proxy: address, no_proxy: 'host' }), 'localhost:1', false],
      ['no_grpc_proxy by network', () => ({ http_proxy: address, no_grpc_proxy: '127.0.0.0/8' }), '127.0.0.1:1', false],
      [
        'no_grpc_proxy before no_proxy',
        () => ({ http_proxy: address, no_grpc_proxy: 'other', no_proxy: '127.0.0.1' }),
        '127.0.0.1:1',
        true,
      ],
      ['a network that it is not in', () => ({ http_proxy: address, no_proxy: '10.0.0.0/8' }), '127.0.0.1:1', true],
      ['a proxy that is no HTTP proxy', () => ({ http_proxy: 'socks5://127.0.0.1:1' }), '127.0.0.1:1', false],
      ['a socket of this machine', () => ({ http_proxy: address }), 'unix:/nowhere.sock', false],
    ];
  for (const [name, env, target, isProxied] of cases) {
    it(`is that of grpc-js: ${name}`, async () => {
      Object.assign(process.env, env());
      expect(findProxy(parseTarget(target)) !== undefined, 'doctor').to.equal(isProxied);
      expect(await grpcAsks(target), 'grpc-js').to.equal(isProxied);
    });
  }

  it('is named with its answer, and how to go without it', async () => {
    process.env['http_proxy'] = address;
    const { message } = await refusal(() => openSocket(parseTarget('[::1]:1'), 5_000), 'SCHEMA_UNAVAILABLE');
    expect(asked).to.deep.equal(['[::1]:1']);
    expect(message).to.match(
      /^the proxy of http_proxy, 127\.0\.0\.1:\d+, answers 403 for \[::1\]:1; unset http_proxy or set no_grpc_proxy=::1 /,
    );
  });
});
