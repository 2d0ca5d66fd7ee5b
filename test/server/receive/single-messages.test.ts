import { once } from 'node:events';
import { connect, createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { expect } from 'chai';
import { limitReceiving } from '../../../src/server/receive/receive-limits.js';
import { deliverFew, deliverSingly, type StreamTurns, Turns } from '../../../src/server/receive/single-messages.js';

const HEADERS = { ':method': 'POST', ':path': '/a.v1.Sink/Take', 'content-type': 'application/grpc', te: 'trailers' };

const atOnce: StreamTurns = {
  ask(begin) {
    begin();
    return () => {};
  },
  end() {},
};

function frame(message: Buffer, flag = 1): Buffer {
  const prefix = Buffer.from([flag, 0, 0, 0, 0]);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

describe('messages that come together', () => {
  let server: Http2Server;
  const closing: (() => void)[] = [];
  afterEach(() => {
    for (const close of closing.splice(0).reverse()) close();
  });

  /** Sends parts on a stream. @returns the server's end of it */
  async function send(parts: readonly Buffer[], listen: (stream: ServerHttp2Stream) => void): Promise<void> {
    server = createServer();
    server.on('stream', (stream: ServerHttp2Stream) => {
      stream.on('error', () => {});
      listen(stream);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    closing.push(
      () => server.close(),
      () => session.destroy(),
    );
    const stream = session.request(HEADERS, { endStream: false });
    stream.on('error', () => {});
    for (const part of parts) stream.write(part);
    stream.end();
  }

  it('reach who pauses for each of them one by one, however they were cut, and then their end', async () => {
    const messages = ['one', '', 'three', 'x'.repeat(100)].map((text) => frame(Buffer.from(text)));
    const bytes = Buffer.concat(messages);
    for (const cut of [bytes.length, 2, 9, 17]) {
      const got: Buffer[] = [];
      let isEnded = false;
      let stream: ServerHttp2Stream | undefined;
      await send([bytes.subarray(0, cut), bytes.subarray(cut)], (opened) => {
        stream = opened;
        opened.on('data', (chunk: Buffer) => {
          got.push(chunk);
          opened.pause();
        });
        opened.on('end', () => {
          isEnded = true;
        });
        deliverSingly(opened, atOnce);
      });
      while (!isEnded) {
        const { length } = got;
        await nextTurn();
        expect(got.length - length, `cut at ${cut}`).to.be.at.most(1);
        stream?.resume();
      }
      expect(Buffer.concat(got)).to.deep.equal(bytes);
      // None has a byte of the next one.
      let at = 0;
      const ends = messages.map((message) => (at += message.length));
      let position = 0;
      for (const chunk of got) {
        const next = ends.find((end) => end > position) as number;
        position += chunk.length;
        expect(position).to.be.at.most(next);
      }
    }
  });

  it('reach who does not pause, thousands at once', async () => {
    const bytes = Buffer.concat(Array.from({ length: 10_000 }, () => frame(Buffer.alloc(0))));
    let got = 0;
    await new Promise<void>((resolve) => {
      void send([bytes], (stream) => {
        stream.on('data', (chunk: Buffer) => {
          got += chunk.length;
        });
        stream.on('end', resolve);
        deliverSingly(stream, atOnce);
      });
    });
    expect(got).to.equal(bytes.length);
  });

  it('reach who pauses at each of them sixteen at a time, if they are not compressed, and then their end', async () => {
    const bytes = Buffer.concat(Array.from({ length: 100 }, (_, index) => frame(Buffer.alloc(index % 3), 0)));
    for (const cut of [bytes.length, 2, 99]) {
      const got: Buffer[] = [];
      let stream: ServerHttp2Stream | undefined;
      let isEnded = false;
      await send([bytes.subarray(0, cut), bytes.subarray(cut)], (opened) => {
        stream = opened;
        opened.on('data', (chunk: Buffer) => {
          got.push(chunk);
          opened.pause();
        });
        opened.on('end', () => {
          isEnded = true;
        });
        deliverFew(opened);
      });
      for (; !isEnded; stream?.resume()) await nextTurn();
      expect(Buffer.concat(got)).to.deep.equal(bytes);
      expect(Math.max(...got.map(({ length }) => length)), `cut at ${cut}`).to.be.at.most(16 * 7);
    }
  });

  it('take turns: who waits has it when another one wants more, or is gone', async () => {
    const all = new Turns(1);
    const got: string[] = [];
    const streams: ServerHttp2Stream[] = [];
    for (const name of ['a', 'b', 'c']) {
      await send([frame(Buffer.from(name)), frame(Buffer.from(name))], (stream) => {
        streams.push(stream);
        stream.on('data', (chunk: Buffer) => {
          if (chunk.length > 0) got.push(chunk.subarray(-1).toString());
          stream.pause();
        });
        deliverSingly(stream, { ask: (begin) => all.ask('address:x', 1, begin), end: () => all.end('address:x') });
      });
      while (got.length === 0) await nextTurn();
    }
    while (streams.length < 3) await nextTurn();
    const others: string[] = [];
    const push = (name: string) => () => others.push(name) > 0;
    all.ask('address:y', 1, push('y'));
    for (const share of [2, 2, 2]) all.ask('proxy:z', share, push('z'));
    expect([got, others]).to.deep.equal([['a'], ['y', 'z', 'z']]);
    streams[0]?.resume();
    while (got.length < 2) await nextTurn();
    streams[0]?.resume();
    streams[1]?.destroy();
    while (!got.includes('c')) {
      await nextTurn();
      streams[0]?.resume();
    }
  });

  it('take turns from those that are gone, however many they are, and from those that gave up', () => {
    const all = new Turns(1);
    const begun: string[] = [];
    const push = (name: string) => () => begun.push(name) > 0;
    all.ask('address:x', 1, push('first'));
    for (let one = 0; one < 20_000; one++) all.ask('address:x', 1, () => false);
    all.ask('address:x', 1, push('given up'))();
    all.ask('address:x', 1, push('last'));
    all.end('address:x');
    expect(begun).to.deep.equal(['first', 'last']);
    all.end('address:x');
    all.ask('address:x', 1, () => false);
    all.ask('address:x', 1, push('later'));
    expect(begun).to.deep.equal(['first', 'last', 'later']);
  });

  it('wait no longer than their stream is open', async () => {
    let givenUp = 0;
    const [opened] = await Promise.all([
      new Promise<ServerHttp2Stream>((resolve) => {
        void send([frame(Buffer.from('a'))], (stream) => {
          stream.on('data', () => {});
          deliverSingly(stream, { ask: () => () => givenUp++, end: () => {} });
          stream.once('pause', () => resolve(stream));
        });
      }),
    ]);
    opened.destroy();
    while (givenUp === 0) await nextTurn();
  });

  /** How many of them grpc-js decodes before a method that takes one refuses the second. */
  async function countDecoded(messages: readonly Buffer[], encoding: string): Promise<number> {
    const grpc = new Server();
    let decoded = 0;
    const pass = (bytes: Buffer) => bytes;
    const codecs = { requestSerialize: pass, responseSerialize: pass, responseDeserialize: pass };
    const requestDeserialize = (bytes: Buffer) => {
      decoded++;
      return bytes;
    };
    const method = {
      path: HEADERS[':path'],
      requestStream: false,
      responseStream: false,
      ...codecs,
      requestDeserialize,
    };
    grpc.addService(
      { take: method },
      { take: (_call: object, done: (error: null, value: Buffer) => void) => done(null, Buffer.alloc(0)) },
    );
    const port = await new Promise<number>((resolve, reject) => {
      grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    limitReceiving(grpc);
    const session = connect(`http://127.0.0.1:${port}`);
    closing.push(
      () => grpc.forceShutdown(),
      () => session.destroy(),
    );
    const stream = session.request({ ...HEADERS, 'grpc-encoding': encoding }, { endStream: false });
    stream.on('error', () => {});
    stream.resume();
    stream.end(Buffer.concat(messages));
    await once(stream, 'close');
    return decoded;
  }

  it('are not all decoded because they came together', async () => {
    const large = Array.from({ length: 15 }, () => frame(gzipSync(Buffer.alloc(100_000))));
    expect(await countDecoded(large, 'gzip')).to.be.within(1, 2);
    const tiny = Array.from({ length: 9_000 }, () => frame(Buffer.alloc(0), 0));
    expect(await countDecoded(tiny, 'identity')).to.be.within(1, 32);
  });
});
