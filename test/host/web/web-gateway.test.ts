import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcWebTransport } from '@connectrpc/connect-node';
import { Metadata, type ServerUnaryCall, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { SealwireError } from '../../../src/errors.js';
import { hostDescriptors, paymentsDescriptors } from '../../../src/gen/descriptors.js';
import { errorStatus, STATUS_DETAILS_KEY } from '../../../src/schema/error-status.js';
import { AUTHORIZE, type EchoHandlers, type EchoHost, startEchoHost, WATCH } from '../../support/echo-host.js';
import { callWeb, FORMS, frame, framesOf, post, statusOf } from '../../support/web-requests.js';

type Handlers = { -readonly [H in keyof EchoHandlers]: EchoHandlers[H] };
type Call = ServerUnaryCall<Buffer, Buffer>;

const echo: EchoHandlers = {
  authorize: ({ request }, callback) => callback(null, request),
  watchPayments(call) {
    for (let index = 0; index < 3; index++) call.write(call.request);
    call.end();
  },
};

describe('the web gateway', () => {
  const handlers: Handlers = { ...echo };
  let host: EchoHost;
  let url: string;
  before(async () => {
    host = await startEchoHost(handlers, { web: { listen: '127.0.0.1:0', origins: ['https://shop.example'] } });
    url = host.url;
  });
  after(() => host.stop());
  afterEach(() => Object.assign(handlers, echo));

  // Before the others: only so many lines are printed in a second.
  it('logs what a proxy knows of a call, and neither its message nor its headers', async () => {
    const secret = 'eyJ0b2tlbi1vZi10aGUtdGVzdA';
    await callWeb('connect', url + AUTHORIZE, Buffer.from(secret), {
      'sealwire-reply': secret,
      'x-request-id': 'log-1',
    });
    const line =
      host
        .logged()
        .split('\n')
        .find((each) => each.includes('log-1')) ?? '';
    const { ms, ...facts } = JSON.parse(line.slice(line.indexOf('{'))) as { ms: number };
    expect(ms).to.be.at.least(0);
    expect(facts).to.deep.equal({
      method: AUTHORIZE,
      form: 'connect',
      code: 'ok',
      bytesIn: 26,
      bytesOut: 31,
      client: '127.0.0.1',
      requestId: 'log-1',
    });
    expect(host.logged()).not.to.include(secret);
  });

  for (const form of FORMS) {
    describe(`for ${form}`, () => {
      it('passes the bytes of messages unchanged, whatever they are', async () => {
        // The third is a field whose tag has needless bytes: whoever decodes and encodes it loses them.
        const messages = [Buffer.alloc(0), randomBytes(1), Buffer.from('8a8000026869', 'hex'), randomBytes(1_000_000)];
        for (const message of messages) {
          const outcome = await callWeb(form, url + AUTHORIZE, message);
          expect(outcome.code).to.equal(undefined);
          expect(outcome.messages.map((each) => each.equals(message))).to.deep.equal([true]);
        }
      });

      it('passes metadata and trailers, and nothing of the browser', async () => {
        let seen: Metadata | undefined;
        handlers.authorize = (call, callback) => {
          seen = call.metadata;
          const first = new Metadata();
          first.set('first', 'one');
          first.set('first-bin', Buffer.from([0, 255]));
          call.sendMetadata(first);
          const last = new Metadata();
          last.set('last', 'two');
          callback(null, call.request, last);
        };
        const sent = { 'sealwire-reply': 'a.b.c.d.e', 'x-request-id': 'r-1', 'some-bin': 'AP8' };
        const browsers = { cookie: 'session=1', referer: 'https://shop.example/', 'sec-fetch-site': 'same-origin' };
        const { headers, trailers } = await callWeb(form, url + AUTHORIZE, Buffer.from('m'), { ...sent, ...browsers });
        expect(seen?.get('sealwire-reply')).to.deep.equal(['a.b.c.d.e']);
        expect(seen?.get('some-bin')).to.deep.equal([Buffer.from([0, 255])]);
        expect(Object.keys(seen?.getMap() ?? {})).to.have.members([...Object.keys(sent), 'user-agent']);
        expect(headers.get('first')).to.equal('one');
        expect(headers.get('first-bin')).to.match(/^AP8=?$/);
        expect(trailers.get('last')).to.equal('two');
      });

      it('tells the deadline to the handler, and its passing to the client', async () => {
        let deadline: unknown;
        handlers.authorize = (call: Call) => {
          deadline = call.getDeadline();
        };
        const startedAt = Date.now();
        const timeout = form === 'grpc-web' ? { 'grpc-timeout': '300m' } : { 'connect-timeout-ms': '300' };
        const { code } = await callWeb(form, url + AUTHORIZE, Buffer.from('m'), timeout);
        expect(code).to.equal('deadline_exceeded');
        expect(Number(deadline) - startedAt).to.be.within(300, 10_000);
      });

      it('refuses what is larger than gRPC takes, as gRPC does', async () => {
        const { code, message } = await callWeb(form, url + AUTHORIZE, Buffer.alloc(1_048_577));
        expect([code, message]).to.deep.equal([
          'resource_exhausted',
          'Received message larger than max (1048577 vs 1048576)',
        ]);
      });

      it('refuses JSON with a sentence that says what to do', async () => {
        const type = { connect: 'json', 'connect stream': 'connect+json', 'grpc-web': 'grpc-web+json' }[form];
        const { code, message } = await callWeb(form, url + AUTHORIZE, Buffer.from('{}'), {
          'content-type': `application/${type}`,
        });
        expect(code).to.equal('unimplemented');
        expect(message).to.match(/knows no JSON: .*useBinaryFormat/);
      });

      it('passes on the answer of a method that is not there', async () => {
        expect((await callWeb(form, url + AUTHORIZE.replace('Authorize', 'Other'), Buffer.alloc(0))).code).to.equal(
          'unimplemented',
        );
      });
    });
  }

  for (const [name, createTransport] of [
    ['Connect', createConnectTransport],
    ['gRPC-Web', createGrpcWebTransport],
  ] as const) {
    it(`passes status details to a client of ${name}'s own`, async () => {
      const failure = new SealwireError('KEY_UNKNOWN', 'kid', {
        path: 'card',
        metadata: { currentKid: 'kid-2' },
      } as never);
      handlers.authorize = (_call, callback) => {
        const { code, details, statusDetails } = errorStatus(failure);
        const metadata = new Metadata();
        metadata.set(STATUS_DETAILS_KEY, Buffer.from(statusDetails as Uint8Array));
        callback({ code, details, metadata });
      };
      const bytes = [hostDescriptors, paymentsDescriptors].map((text) => Buffer.from(text, 'base64'));
      const set = fromBinary(FileDescriptorSetSchema, Buffer.concat(bytes));
      const service = createFileRegistry(set).getService('payments.v1.PaymentService');
      const transport = createTransport({ baseUrl: url, httpVersion: '1.1', useBinaryFormat: true });
      const client = createClient(service as never, transport) as Record<string, (request: object) => Promise<unknown>>;
      const error = await client['authorize']?.({}).catch((thrown: unknown) => thrown);
      expect(error).to.be.instanceOf(ConnectError);
      const { code, details } = error as ConnectError;
      expect(code).to.equal(status.FAILED_PRECONDITION);
      expect(details).to.have.length(1);
      expect(JSON.stringify(details)).to.include('google.rpc.ErrorInfo');
    });
  }

  it('hands on the messages of a stream as they come, and tells the handler that the client has gone', async () => {
    let ended: Promise<unknown> = Promise.resolve();
    handlers.watchPayments = (call) => {
      ended = once(call, 'cancelled');
      call.write(call.request);
    };
    const leaving = new AbortController();
    const response = await fetch(url + WATCH, {
      method: 'POST',
      body: frame(Buffer.from('one')),
      headers: { 'content-type': 'application/grpc-web+proto' },
      signal: leaving.signal,
    });
    const reader = response.body?.getReader();
    const first = Buffer.from((await reader?.read())?.value as Uint8Array);
    expect(framesOf(first).map(({ bytes }) => bytes.toString())).to.deep.equal(['one']);
    leaving.abort();
    await ended;
  });

  it('gives all messages of a stream in both streaming forms, and refuses one for a single call', async () => {
    for (const form of ['connect stream', 'grpc-web'] as const) {
      const { messages, code } = await callWeb(form, url + WATCH, Buffer.from('m'));
      expect([messages.join(), code]).to.deep.equal(['m,m,m', undefined]);
    }
    const { code, message } = await callWeb('connect', url + WATCH, Buffer.from('m'));
    expect([code, message]).to.deep.equal(['unimplemented', 'the method answers with a stream: call it as one']);
  });

  it('takes a message whose length is not told, up to 64 KiB', async () => {
    const send = async (bytes: number) => {
      const body = new Blob([Buffer.alloc(bytes)]).stream();
      const headers = { 'content-type': 'application/proto' };
      const response = await fetch(url + AUTHORIZE, { method: 'POST', body, headers, duplex: 'half' } as RequestInit);
      return response.status;
    };
    expect(await send(65_536)).to.equal(200);
    expect(await send(65_537)).to.equal(429);
  });

  it('shows the client and not itself to the service', async () => {
    let peer = '';
    handlers.authorize = (call, callback) => {
      peer = call.getPeer();
      callback(null, call.request);
    };
    const socket = connect(Number(url.split(':')[2]), '127.0.0.1');
    await once(socket, 'connect');
    const head = `POST ${AUTHORIZE} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/proto\r\ncontent-length: 1\r\n`;
    socket.write(`${head}\r\nm`);
    await once(socket, 'data');
    expect(peer).to.equal(`127.0.0.1:${socket.localPort}`);
    socket.destroy();
  });

  it('counts what is unfinished, over all connections of a client, as for gRPC', async () => {
    // Nothing of it is held by the gateway: its caller may have 16 MiB in the service.
    const head = `POST ${AUTHORIZE} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/proto\r\n`;
    const sockets = Array.from({ length: 18 }, () => {
      const socket = connect(Number(url.split(':')[2]), '127.0.0.1');
      socket.write(`${head}content-length: 1000000\r\n\r\n`);
      socket.write(Buffer.alloc(999_999));
      return socket;
    });
    const [answer] = await Promise.race(sockets.map((socket) => once(socket, 'data')));
    expect(String(answer)).to.match(/^HTTP\/1\.1 429 .*"code":"resource_exhausted"/s);
    for (const socket of sockets) socket.destroy();
  });

  it('answers other requests as HTTP has it', async () => {
    const type = { 'content-type': 'application/proto' };
    const got = await fetch(url + AUTHORIZE);
    expect([got.status, got.headers.get('allow')]).to.deep.equal([405, 'POST']);
    const text = await post(url + AUTHORIZE, Buffer.alloc(0), { 'content-type': 'application/grpc-web-text' });
    expect([text.status, text.body.toString()]).to.deep.equal([
      415,
      'content types that are taken: application/proto, application/connect+proto, application/grpc-web+proto\n',
    ]);
    for (const path of ['/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', '/other.v1.Service/Call', '/'])
      expect((await post(url + path, Buffer.alloc(0), type)).status, path).to.equal(404);
    expect(await statusOf(url, { path: '/', headers: { host: 'evil.example' } })).to.equal(421);
    const long = await post(url + AUTHORIZE, Buffer.alloc(0), { ...type, long: 'x'.repeat(66_000) });
    expect(long.status).to.equal(431);
  });

  it('lets pages of listed origins call and read, and refuses others', async () => {
    const type = { 'content-type': 'application/proto' };
    const ask = (origin: string) =>
      fetch(url + AUTHORIZE, {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-headers': 'content-type,sealwire-reply' },
      });
    const asked = await ask('https://shop.example');
    expect(asked.status).to.equal(204);
    expect(Object.fromEntries(asked.headers)).to.include({
      'access-control-allow-origin': 'https://shop.example',
      'access-control-allow-methods': 'POST',
      'access-control-allow-headers': 'content-type,sealwire-reply',
      vary: 'Origin',
    });
    const listed = await post(url + AUTHORIZE, Buffer.alloc(0), { ...type, origin: 'https://shop.example' });
    expect(listed.status).to.equal(200);
    expect(listed.headers.get('access-control-allow-origin')).to.equal('https://shop.example');
    expect(listed.headers.get('access-control-expose-headers')).to.equal('*');
    const own = await post(url + AUTHORIZE, Buffer.alloc(0), { ...type, origin: url });
    expect([own.status, own.headers.get('access-control-allow-origin')]).to.deep.equal([200, null]);
    for (const origin of ['https://evil.example', 'http://shop.example', 'https://shop.example:444', 'null']) {
      const refused = await post(url + AUTHORIZE, Buffer.alloc(0), { ...type, origin });
      expect([refused.status, refused.headers.get('access-control-allow-origin')], origin).to.deep.equal([403, null]);
      expect((await ask(origin)).status, origin).to.equal(403);
    }
  });
});
