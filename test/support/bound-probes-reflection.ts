/** Probes of the bounds on server reflection, by calls to a real server. */
import { once } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import { Client, credentials, Metadata, Server, ServerCredentials, type ServiceError, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { descriptorSet } from '../../src/gen/descriptors.js';
import {
  ServerReflectionRequest,
  ServerReflectionResponse,
  ServerReflectionService,
} from '../../src/gen/grpc/reflection/v1/reflection.js';
import { createCallerOf } from '../../src/server/caller.js';
import { addReflection } from '../../src/server/reflection.js';
import { createProbe } from './bound-table.js';

const { path, requestSerialize, responseDeserialize } = ServerReflectionService.serverReflectionInfo;
const FILE = requestSerialize(ServerReflectionRequest.fromPartial({ fileByFilename: 'payments/v1/payments.proto' }));
const pass = (bytes: Buffer) => bytes;

interface Reflector {
  /** @returns the status of one stream with these requests, and the number of its answers */
  ask(account: string, requests: readonly Buffer[]): Promise<readonly [code: string, answers: number]>;
  /** Opens a stream with three requests that takes no byte of an answer, and awaits its headers. */
  hang(account: string): Promise<void>;
  /** How many answers were made to streams that hang. */
  made(): number;
}

async function withReflector(work: (reflector: Reflector) => Promise<void>): Promise<void> {
  const server = new Server();
  addReflection(server, {
    descriptors: Buffer.from(descriptorSet, 'base64'),
    caller: ({ metadata }) => createCallerOf('address', String(metadata.get('who')[0])),
  });
  const port = await new Promise<number>((resolve, reject) => {
    const bound = (error: Error | null, value: number) => (error ? reject(error) : resolve(value));
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), bound);
  });
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const sessions: ClientHttp2Session[] = [];
  const { encode } = ServerReflectionResponse;
  let made = 0;
  ServerReflectionResponse.encode = (...values) => {
    if (values[0].originalRequest?.fileByFilename !== undefined) made++;
    return encode(...values);
  };
  const reflector: Reflector = {
    async ask(account, requests) {
      const metadata = new Metadata();
      metadata.set('who', account);
      const call = client.makeBidiStreamRequest(path, pass, responseDeserialize, metadata);
      let answers = 0;
      call.on('data', () => answers++);
      const ended = new Promise<string>((resolve) => {
        call.once('error', (error: ServiceError) => resolve(status[error.code] as string));
        call.once('end', () => resolve('OK'));
      });
      for (const request of requests) call.write(request);
      call.end();
      return [await ended, answers];
    },
    async hang(account) {
      const session = connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: 0 } });
      session.on('error', () => {});
      sessions.push(session);
      const headers = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' };
      const stream = session.request({ ...headers, who: account }, { endStream: false });
      stream.on('error', () => {});
      const prefix = Buffer.alloc(5);
      prefix.writeUInt32BE(FILE.length, 1);
      stream.write(Buffer.concat(Array(3).fill(Buffer.concat([prefix, FILE]))));
      await once(stream, 'response');
      // The server has read all requests by then, if it reads them.
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => session.ping(resolve));
    },
    made: () => made,
  };
  try {
    await work(reflector);
  } finally {
    ServerReflectionResponse.encode = encode;
    for (const session of sessions) session.destroy();
    client.close();
    server.forceShutdown();
  }
}

/** A request of so many bytes. */
function requestOf(bytes: number): Buffer {
  const sized = (length: number) =>
    requestSerialize(ServerReflectionRequest.fromPartial({ fileContainingSymbol: 'x'.repeat(length) }));
  const request = sized(bytes - 3);
  expect(request).to.have.lengthOf(bytes);
  return request;
}

export const reflectionProbes = [
  createProbe(
    {
      resource: 'streams of server reflection',
      chargedTo: 'account',
      bound: '{streams}, with {answers} unread answer each',
      outcome: 'RESOURCE_EXHAUSTED',
    },
    ({ streams, answers }, { outcome }) =>
      withReflector(async ({ ask, hang, made }) => {
        for (let one = 0; one < streams; one++) await hang('a');
        expect(made()).to.equal(streams * answers);
        expect(await ask('a', [FILE])).to.deep.equal([outcome, 0]);
        expect(await ask('another', [FILE])).to.deep.equal(['OK', 1]);
      }),
  ),
  createProbe(
    {
      resource: 'requests of one stream of server reflection',
      chargedTo: 'stream',
      bound: '{requests} of {bytes} bytes each',
      outcome: 'RESOURCE_EXHAUSTED',
    },
    ({ requests, bytes }, { outcome }) =>
      withReflector(async ({ ask }) => {
        const largest = requestOf(bytes);
        expect(await ask('a', Array(requests).fill(largest))).to.deep.equal(['OK', requests]);
        expect((await ask('a', Array(requests + 1).fill(largest)))[0]).to.equal(outcome);
        expect(await ask('a', [requestOf(bytes + 1)])).to.deep.equal([outcome, 0]);
      }),
  ),
];
