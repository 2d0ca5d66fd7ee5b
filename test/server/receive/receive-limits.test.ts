import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import { setImmediate } from 'node:timers/promises';
import { Client, credentials, Server, ServerCredentials, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { SealwireError } from '../../../src/errors.js';
import { readErrorDetails } from '../../../src/schema/error-status.js';
import {
  limitReceiving,
  type ReceiveLimitOptions,
  type ReceiveLimits,
} from '../../../src/server/receive/receive-limits.js';

const PATH = '/test.Echo/Talk';
const ONE_PATH = '/test.Echo/One';
const MIB = 1_048_576;
const pass = (bytes: Buffer) => bytes;

/** A message of gRPC: its length, then as many of its bytes as are asked for. */
function frame(length: number, sent = length): Buffer {
  const bytes = Buffer.alloc(5 + sent, 'x');
  bytes.writeUInt8(0, 0);
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

interface Ended {
  readonly code: number | undefined;
  readonly reason: string | undefined;
  readonly rst: number;
}

describe('limitReceiving', () => {
  let server: Server;
  let limits: ReceiveLimits;
  let address: string;
  const sessions: ClientHttp2Session[] = [];

  async function start(options: ReceiveLimitOptions): Promise<void> {
    server = new Server({ 'grpc.max_receive_message_length': MIB });
    const talk = (call: NodeJS.ReadWriteStream) => {
      call.on('data', (bytes: Buffer) => call.write(Buffer.from(String(bytes.length))));
      call.on('end', () => call.end());
      call.on('error', () => {});
    };
    const method = { path: PATH, requestStream: true, responseStream: true, requestSerialize: pass };
    const codecs = { requestDeserialize: pass, responseSerialize: pass, responseDeserialize: pass };
    const one = (_call: unknown, answer: (error: null, value: Buffer) => void) => answer(null, Buffer.alloc(0));
    const single = { path: ONE_PATH, requestStream: false, responseStream: false };
    const methods = { talk: { ...method, ...codecs }, one: { ...method, ...codecs, ...single } };
    server.addService(methods, { talk, one } as never);
    const port = await new Promise<number>((resolve, reject) => {
      const bound = (error: Error | null, value: number) => (error ? reject(error) : resolve(value));
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), bound);
    });
    address = `127.0.0.1:${port}`;
    limits = limitReceiving(server, options);
  }

  afterEach(() => {
    for (const session of sessions.splice(0)) session.destroy();
    server.forceShutdown();
  });

  function open(): ClientHttp2Session {
    const session = connect(`http://${address}`);
    session.on('error', () => {});
    sessions.push(session);
    return session;
  }

  function call(session: ClientHttp2Session, headers: Record<string, string> = {}): ClientHttp2Stream {
    const own = { ':method': 'POST', ':path': PATH, 'content-type': 'application/grpc', te: 'trailers', ...headers };
    const stream = session.request(own, { endStream: false });
    stream.on('error', () => {});
    return stream;
  }

  async function ended(stream: ClientHttp2Stream): Promise<Ended> {
    let code: number | undefined;
    let reason: string | undefined;
    stream.once('response', (headers) => {
      const own = headers['grpc-status'];
      code = own === undefined ? undefined : Number(own);
      const details = headers['grpc-status-details-bin'];
      reason = typeof details === 'string' ? readErrorDetails(Buffer.from(details, 'base64'))?.reason : undefined;
    });
    stream.resume();
    // `once` would reject for a reset.
    if (!stream.destroyed) await new Promise((resolve) => stream.once('close', resolve));
    return { code, reason, rst: stream.rstCode ?? -1 };
  }

  /** When the server holds this much. */
  async function seen(bytes: number): Promise<void> {
    while (limits.heldBytes < bytes) await setImmediate();
  }

  const refused = { code: status.RESOURCE_EXHAUSTED, reason: 'LIMIT_EXCEEDED', rst: constants.NGHTTP2_NO_ERROR };

  it('ends a message that is never finished, and forgets its bytes', async () => {
    await start({ messageTimeoutMs: 100 });
    const stream = call(open());
    stream.write(frame(MIB, 200_000));
    expect(await ended(stream)).to.deep.equal(refused);
    expect([limits.heldBytes, limits.refusals]).to.deep.equal([0, 1]);
  });

  it('ends half a request of a method that takes one', async () => {
    await start({ messageTimeoutMs: 100 });
    const stream = call(open(), { ':path': ONE_PATH });
    stream.write(frame(MIB, 200_000));
    expect(await ended(stream)).to.deep.equal(refused);
  });

  it('lets nothing flow of a method that is not there', async () => {
    await start({});
    const stream = call(open(), { ':path': '/test.Echo/Nothing' });
    stream.end(frame(10, 9));
    expect((await ended(stream)).code).to.equal(status.UNIMPLEMENTED);
    expect(limits.heldBytes).to.equal(0);
  });

  it('counts the time of each message anew, and none between messages', async () => {
    await start({ messageTimeoutMs: 100 });
    const session = open();
    const idle = call(session);
    idle.write(frame(10));
    await once(idle, 'response');
    const half = call(session);
    half.write(frame(10, 9));
    expect(await ended(half)).to.deep.equal(refused);
    // Older than the other and still there: it had nothing unfinished.
    expect(idle.closed).to.equal(false);
    idle.write(frame(20));
    idle.end();
    expect((await ended(idle)).rst).to.equal(constants.NGHTTP2_NO_ERROR);
    expect(limits.refusals).to.equal(1);
  });

  it('holds no more of a connection than its budget, however many streams share it', async () => {
    await start({ connectionBytes: MIB });
    const session = open();
    const streams = Array.from({ length: 20 }, () => call(session));
    for (const stream of streams) stream.write(frame(MIB, 100_000));
    await Promise.race(streams.map(ended));
    expect(limits.heldBytes).to.be.at.most(MIB);
    expect(limits.refusals).to.be.at.least(1);
    // Others are not affected.
    const other = open();
    const stream = call(other);
    stream.end(frame(MIB));
    expect((await ended(stream)).rst).to.equal(constants.NGHTTP2_NO_ERROR);
  });

  it('holds no more of a caller than its budget, however many connections it has', async () => {
    const caller = ({ metadata }: { readonly metadata: { get(key: string): unknown[] } }) =>
      String(metadata.get('who')[0]);
    await start({ callerBytes: 500_000, caller });
    const good = open();
    const slow = call(good, { who: 'good' });
    slow.write(frame(MIB, 300_000));
    await seen(300_000);
    const bad = Array.from({ length: 8 }, () => call(open(), { who: 'bad' }));
    for (const stream of bad) stream.write(frame(MIB, 100_000));
    expect(await Promise.race(bad.map(ended))).to.deep.equal(refused);
    expect(slow.closed).to.equal(false);
    expect(limits.heldBytes).to.be.at.most(300_005 + 500_000);
  });

  it('takes from the caller who holds most when all together hold too much', async () => {
    const caller = ({ metadata }: { readonly metadata: { get(key: string): unknown[] } }) =>
      String(metadata.get('who')[0]);
    await start({ totalBytes: 600_000, caller });
    const session = open();
    const small = call(session, { who: 'small' });
    small.write(frame(MIB, 100_000));
    await seen(100_000);
    const great = call(session, { who: 'great' });
    great.write(frame(MIB, 450_000));
    await seen(550_000);
    const third = call(session, { who: 'third' });
    third.write(frame(MIB, 200_000));
    expect(await ended(great)).to.deep.equal(refused);
    expect([small.closed, third.closed]).to.deep.equal([false, false]);
  });

  it('resets a stream that was answered already', async () => {
    await start({ messageTimeoutMs: 100 });
    const stream = call(open());
    stream.write(frame(3));
    await once(stream, 'response');
    stream.write(frame(MIB, 10));
    expect((await ended(stream)).rst).to.equal(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  });

  it('closes connections of an address that has enough', async () => {
    await start({ addressConnections: 2, shares: { 'address:127.0.0.1': 2 } });
    const [first, ...others] = [open(), open(), open(), open()];
    await Promise.all([first, ...others].map((session) => once(session as ClientHttp2Session, 'remoteSettings')));
    const further = open();
    await new Promise((resolve) => further.once('close', resolve));
    expect([limits.refusals, others.some(({ destroyed }) => destroyed)]).to.deep.equal([1, false]);
    first?.destroy();
    while (first?.socket) await setImmediate();
    const stream = call(others[0] as ClientHttp2Session);
    stream.end(frame(1));
    expect((await ended(stream)).rst).to.equal(constants.NGHTTP2_NO_ERROR);
    await once(open(), 'remoteSettings');
  });

  it('closes the stream of a call that was answered, if its caller does not', async () => {
    await start({});
    const stream = call(open(), { ':path': ONE_PATH });
    stream.write(Buffer.concat([frame(1), frame(1)]));
    const { code, rst } = await ended(stream);
    expect([code, rst]).to.deep.equal([status.UNIMPLEMENTED, constants.NGHTTP2_NO_ERROR]);
  });

  it('follows messages across chunks of any size', async () => {
    await start({});
    const stream = call(open());
    const bytes = Buffer.concat([frame(0), frame(3), frame(70_000), frame(0), frame(5)]);
    const received: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => received.push(chunk));
    for (let at = 0; at < bytes.length; at += at < 40 ? 1 : 9_999)
      stream.write(bytes.subarray(at, at + (at < 40 ? 1 : 9_999)));
    stream.end();
    await ended(stream);
    const text = Buffer.concat(received)
      .toString('latin1')
      .replaceAll(/\0.../gs, ' ')
      .replaceAll(/[^0-9 ]/g, '');
    expect(text.trim().split(/ +/)).to.deep.equal(['0', '3', '70000', '0', '5']);
    expect(limits.heldBytes).to.equal(0);
  });

  it('does not start where grpc-js hides its HTTP/2 servers, or before it has any', () => {
    server = new Server();
    for (const one of [server, {} as Server, { http2Servers: new Map([[{}, {}]]) } as unknown as Server]) {
      expect(() => limitReceiving(one))
        .to.throw(SealwireError)
        .with.property('code', 'OPTIONS_INVALID');
    }
  });

  it('lets clients of grpc-js see what happened', async () => {
    await start({ connectionBytes: 65_536 });
    const client = new Client(address, credentials.createInsecure());
    const stream = client.makeBidiStreamRequest(PATH, pass, pass);
    stream.write(Buffer.alloc(MIB - 10));
    const [error] = (await once(stream, 'error')) as [{ code: number; details: string }];
    expect([error.code, error.details]).to.deep.equal([
      status.RESOURCE_EXHAUSTED,
      'a limit on sealed fields is exceeded',
    ]);
    client.close();
  });
});
