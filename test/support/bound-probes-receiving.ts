/**
 * Probes of the bounds on unfinished messages, over real connections to a server with the limits that nobody
 * configured.
 */
import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import { setImmediate } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import {
  ResponderBuilder,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  ServerListenerBuilder,
} from '@grpc/grpc-js';
import { expect } from 'chai';
import { readErrorDetails } from '../../src/schema/error-status.js';
import { accountOfAddress, type CallerFunction, createCallerOf } from '../../src/server/caller.js';
import { affordableConnections } from '../../src/server/receive/connections.js';
import { limitReceiving, type ReceiveLimits } from '../../src/server/receive/receive-limits.js';
import { createProbe } from './bound-table.js';

const PATH = '/test.Sink/Take';
const MIB = 2 ** 20;
const REFUSED = 'LIMIT_EXCEEDED, limit: capacity';
const pass = (bytes: Buffer) => bytes;

interface Receiver {
  readonly limits: ReceiveLimits;
  connect(): ClientHttp2Session;
  /**
   * Begins a message that never ends.
   *
   * @param bytes that are sent of it
   * @returns the stream, when the server holds them or has refused them, and its refusal as the table writes it
   */
  begin(session: ClientHttp2Session, account: string, bytes: number): Promise<Begun>;
}

interface Begun {
  readonly refusal: Promise<string>;
  isOpen(): boolean;
}

const callerOfHeader: CallerFunction = ({ metadata }) => createCallerOf('address', String(metadata.get('who')[0]));

async function withReceiver(work: (receiver: Receiver) => Promise<void>): Promise<void> {
  const server = new Server({ 'grpc.max_receive_message_length': -1 });
  const codecs = {
    requestSerialize: pass,
    requestDeserialize: pass,
    responseSerialize: pass,
    responseDeserialize: pass,
  };
  const method = { path: PATH, requestStream: true, responseStream: true, ...codecs };
  server.addService({ take: method }, { take: (call: NodeJS.ReadableStream) => call.on('error', () => {}).resume() });
  const port = await new Promise<number>((resolve, reject) => {
    const bound = (error: Error | null, value: number) => (error ? reject(error) : resolve(value));
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), bound);
  });
  const limits = limitReceiving(server, { caller: callerOfHeader });
  const sessions: ClientHttp2Session[] = [];
  const receiver: Receiver = {
    limits,
    connect() {
      const session = connect(`http://127.0.0.1:${port}`);
      session.on('error', () => {});
      sessions.push(session);
      return session;
    },
    async begin(session, account, bytes) {
      const { heldBytes, refusals } = limits;
      const headers = { ':method': 'POST', ':path': PATH, 'content-type': 'application/grpc', te: 'trailers' };
      const stream = session.request({ ...headers, who: account }, { endStream: false });
      stream.on('error', () => {});
      const refusal = refusalOf(stream);
      const message = Buffer.alloc(bytes);
      // More than is ever sent.
      if (bytes >= 5) message.writeUInt32BE(2 ** 30, 1);
      stream.write(message);
      while (limits.heldBytes < heldBytes + bytes && limits.refusals === refusals) await setImmediate();
      return { refusal, isOpen: () => !stream.closed };
    },
  };
  try {
    await work(receiver);
  } finally {
    for (const session of sessions) session.destroy();
    server.forceShutdown();
  }
}

function refusalOf(stream: ClientHttp2Stream): Promise<string> {
  return new Promise((resolve) => {
    stream.once('response', (headers) => {
      const details = readErrorDetails(Buffer.from(String(headers['grpc-status-details-bin']), 'base64'));
      resolve(`${details?.reason}, limit: ${details?.metadata['limit']}`);
    });
  });
}

/** How many of so many empty messages grpc-js decodes before a method that takes one refuses the second. */
async function countDecoded(messages: number): Promise<number> {
  const server = new Server();
  let decoded = 0;
  const requestDeserialize = (bytes: Buffer) => {
    decoded++;
    return bytes;
  };
  const codecs = { requestSerialize: pass, requestDeserialize, responseSerialize: pass, responseDeserialize: pass };
  const method = { path: PATH, requestStream: false, responseStream: false, ...codecs };
  server.addService({ take: method }, { take: () => {} });
  const port = await new Promise<number>((resolve, reject) => {
    const bound = (error: Error | null, value: number) => (error ? reject(error) : resolve(value));
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), bound);
  });
  limitReceiving(server);
  const session = connect(`http://127.0.0.1:${port}`);
  const headers = { ':method': 'POST', ':path': PATH, 'content-type': 'application/grpc', te: 'trailers' };
  const stream = session.request(headers, { endStream: false });
  stream.resume().end(Buffer.alloc(5 * messages));
  await once(stream, 'close');
  session.destroy();
  server.forceShutdown();
  return decoded;
}

/** Timers of this length that are set while `work` runs: they can be made to be over. */
async function timersSet(lengthMs: number, work: () => Promise<void>): Promise<(() => void)[]> {
  const { setTimeout: set } = globalThis;
  const over: (() => void)[] = [];
  globalThis.setTimeout = ((run: () => void, ms: number, ...values: []) => {
    if (ms === lengthMs) over.push(run);
    return set(run, ms, ...values);
  }) as typeof setTimeout;
  try {
    await work();
  } finally {
    globalThis.setTimeout = set;
  }
  return over;
}

/** Calls with one compressed message each, whose handlers ask for no more until they are told to. */
async function withUnpacker(
  work: (calls: { send(who: string): void; readonly held: { who: string; release(): void }[] }) => Promise<void>,
): Promise<void> {
  const held: { who: string; release(): void }[] = [];
  const hold: ServerInterceptor = (_method, call) => {
    let who = '';
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        who = String(metadata.get('who')[0]);
        next(metadata);
      })
      .withOnReceiveMessage((message, next) => void held.push({ who, release: () => next(message) }))
      .build();
    return new ServerInterceptingCall(call, new ResponderBuilder().withStart((next) => next(listener)).build());
  };
  const server = new Server({ interceptors: [hold] });
  const codecs = {
    requestSerialize: pass,
    requestDeserialize: pass,
    responseSerialize: pass,
    responseDeserialize: pass,
  };
  const answer = (_call: object, done: (error: null, value: Buffer) => void) => done(null, Buffer.alloc(0));
  server.addService({ take: { path: PATH, requestStream: false, responseStream: false, ...codecs } }, { take: answer });
  const port = await new Promise<number>((resolve, reject) => {
    const bound = (error: Error | null, value: number) => (error ? reject(error) : resolve(value));
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), bound);
  });
  limitReceiving(server, { caller: callerOfHeader });
  const session = connect(`http://127.0.0.1:${port}`);
  const body = gzipSync('');
  const message = Buffer.concat([Buffer.from([1, 0, 0, 0, body.length]), body]);
  const headers = { ':method': 'POST', ':path': PATH, 'content-type': 'application/grpc', te: 'trailers' };
  const { setTimeout: set } = globalThis;
  // Nobody loses a turn for being slow.
  globalThis.setTimeout = ((run: () => void, ms: number) => set(run, ms === 1_000 ? 2 ** 30 : ms)) as typeof setTimeout;
  try {
    await work({
      held,
      send(who) {
        const stream = session.request({ ...headers, who, 'grpc-encoding': 'gzip' }, { endStream: false });
        stream.on('error', () => {});
        stream.end(message);
      },
    });
  } finally {
    globalThis.setTimeout = set;
    session.destroy();
    server.forceShutdown();
  }
}

export const receivingProbes = [
  createProbe(
    {
      resource: 'connections',
      chargedTo: 'address',
      bound: '{most}; IPv6 addresses count by their /{bits}',
      outcome: 'further ones are closed',
    },
    ({ most, bits }) =>
      withReceiver(async ({ limits, connect }) => {
        expect([accountOfAddress('2001:db8::1')]).to.deep.equal([`address:2001:db8:0:0::/${bits}`]);
        const open = async (count: number) => {
          const all = Array.from({ length: count }, () => once(connect(), 'remoteSettings'));
          await Promise.all(all);
        };
        await open(most);
        expect(limits.refusals).to.equal(0);
        await once(connect(), 'close');
        expect(limits.refusals).to.equal(1);
      }),
  ),
  createProbe(
    {
      resource: 'connections',
      chargedTo: 'all',
      bound: '{part} of {whole} descriptors of the process, at most {most}',
      outcome: 'the address that has most loses its latest',
    },
    ({ part, whole, most }) => {
      const limits = (descriptors: number) => `Max open files            ${descriptors}         ${descriptors}`;
      expect(affordableConnections(limits(1_000))).to.equal((1_000 * part) / whole);
      expect(affordableConnections(limits(2 ** 20))).to.equal(most);
    },
  ),
  createProbe(
    {
      resource: 'messages that are decoded before anybody asks for them',
      chargedTo: 'stream',
      bound: '{most}',
      outcome: 'the others wait as they came',
    },
    async ({ most }) => {
      expect(await countDecoded(10 * most)).to.equal(most);
    },
  ),
  createProbe(
    {
      resource: 'compressed messages that are decompressed and decoded',
      chargedTo: 'account',
      bound: '{most} at once, {each} of each stream',
      outcome: 'the others wait as they came',
    },
    ({ most, each }) =>
      withUnpacker(async ({ send, held }) => {
        expect(each).to.equal(1);
        const until = async (count: number) => {
          while (held.length < count) await setImmediate();
        };
        for (let call = 0; call < most + 2; call++) send('a');
        await until(most);
        send('b');
        await until(most + 1);
        expect(held.at(-1)?.who).to.equal('b');
        held[0]?.release();
        await until(most + 2);
        expect(held).to.have.lengthOf(most + 2);
      }),
  ),
  createProbe(
    {
      resource: "time from a message's first byte to its last",
      chargedTo: 'one message',
      bound: '{seconds} s',
      outcome: REFUSED,
    },
    ({ seconds }, { outcome }) =>
      withReceiver(async ({ connect, begin }) => {
        const session = connect();
        let begun: Begun | undefined;
        const timers = await timersSet(seconds * 1_000, async () => {
          begun = await begin(session, 'a', 1);
        });
        expect(begun?.isOpen()).to.equal(true);
        for (const end of timers) end();
        expect(timers).to.have.lengthOf(1);
        expect(await begun?.refusal).to.equal(outcome);
      }),
  ),
  createProbe(
    {
      resource: 'bytes of unfinished messages',
      chargedTo: 'connection',
      bound: '{most}',
      outcome: `${REFUSED}, for the message that exceeds it`,
    },
    ({ most }) =>
      withReceiver(async ({ limits, connect, begin }) => {
        const session = connect();
        const held = [await begin(session, 'a', MIB), await begin(session, 'b', most - MIB)];
        expect([limits.heldBytes, limits.refusals]).to.deep.equal([most, 0]);
        expect(await (await begin(session, 'c', 1)).refusal).to.equal(REFUSED);
        expect(held.map((one) => one.isOpen())).to.deep.equal([true, true]);
        await begin(connect(), 'c', 1);
        expect([limits.heldBytes, limits.refusals]).to.deep.equal([most + 1, 1]);
      }),
  ),
  createProbe(
    {
      resource: 'bytes of unfinished messages',
      chargedTo: 'account',
      bound: '{most}',
      outcome: REFUSED,
    },
    ({ most }, { outcome }) =>
      withReceiver(async ({ limits, connect, begin }) => {
        const parts = Array.from({ length: 4 }, () => most / 4);
        const held: Begun[] = [];
        for (const part of parts) held.push(await begin(connect(), 'a', part));
        expect([limits.heldBytes, limits.refusals]).to.deep.equal([most, 0]);
        expect(await (await begin(connect(), 'a', 1)).refusal).to.equal(outcome);
        expect(held.map((one) => one.isOpen())).to.deep.equal(parts.map(() => true));
        await begin(connect(), 'another', 1);
        expect([limits.heldBytes, limits.refusals]).to.deep.equal([most + 1, 1]);
      }),
  ),
  createProbe(
    {
      resource: 'bytes of unfinished messages',
      chargedTo: 'all',
      bound: '{most}',
      outcome: `${REFUSED}, for the oldest message of the account that holds most`,
    },
    ({ most }) =>
      withReceiver(async ({ limits, connect, begin }) => {
        const size = most / 32;
        const before = await begin(connect(), 'before', size);
        const greatest = [await begin(connect(), 'greatest', size), await begin(connect(), 'greatest', size)];
        const others: Begun[] = [];
        while (limits.heldBytes < most) others.push(await begin(connect(), `other ${others.length}`, size));
        expect([limits.heldBytes, limits.refusals]).to.deep.equal([most, 0]);
        const newcomer = await begin(connect(), 'newcomer', 1);
        expect(await greatest[0]?.refusal).to.equal(REFUSED);
        const rest = [before, greatest[1], ...others, newcomer];
        expect(rest.filter((one) => !one?.isOpen())).to.deep.equal([]);
        expect([limits.heldBytes, limits.refusals]).to.deep.equal([most - size + 1, 1]);
      }),
  ),
];
