import { Client, credentials, Server, ServerCredentials, type ServiceDefinition, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { ServiceHealth } from '../../../src/host/health.js';
import { addKeyService } from '../../../src/server/key-service.js';
import { addSmallService, MAX_SMALL_REQUEST_BYTES } from '../../../src/server/receive/small-requests.js';
import { delimited, repeat } from '../../support/wire-bytes.js';

const GZIP = 2;
const same = (bytes: Buffer) => bytes;
/** A kilobyte in gzip: half a million fields that nobody knows. */
const MANY = repeat(Buffer.from([0x78, 1]), 500_000);
const OPEN_PATHS = [
  '/sealwire.v1.KeyService/GetKeySet',
  '/grpc.health.v1.Health/Check',
  '/grpc.health.v1.Health/Watch',
];

describe('services that are open to everybody', () => {
  const server = new Server();
  let client: Client;
  let decoded = 0;

  before(async () => {
    addKeyService(server, [{ issuer: 'payments', current: () => ({ jws: 'ours', maxAgeSeconds: 900 }) }]);
    new ServiceHealth(['', 'a.v1.Service']).addTo(server);
    const method = { path: '/a.v1.Small/Ask', requestStream: false, responseStream: false };
    const codecs = { requestSerialize: same, responseSerialize: same, responseDeserialize: same };
    const requestDeserialize = (bytes: Buffer) => {
      decoded++;
      return bytes;
    };
    const definition: ServiceDefinition = { ask: { ...method, ...codecs, requestDeserialize } };
    addSmallService(server, definition, {
      ask: (call: { request: Buffer }, callback: (error: null, value: Buffer) => void) => callback(null, call.request),
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    const options = { 'grpc.default_compression_algorithm': GZIP };
    client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), options);
  });
  after(() => {
    client.close();
    server.forceShutdown();
  });

  /** @returns how the call ended; OK as soon as there is an answer */
  function ask(path: string, bytes: Buffer): Promise<status> {
    return new Promise((resolve) => {
      const call = client.makeServerStreamRequest(path, same, same, bytes);
      call.on('error', (error: Error & { code?: status }) => resolve(error.code ?? status.UNKNOWN));
      call.on('data', () => {
        resolve(status.OK);
        call.cancel();
      });
    });
  }

  for (const path of OPEN_PATHS) {
    it(`answer ${path}, but look at no request that is more than a name`, async () => {
      expect(await ask(path, Buffer.alloc(0))).to.equal(status.OK);
      expect(await ask(path, MANY)).to.equal(status.RESOURCE_EXHAUSTED);
      expect(await ask(path, Buffer.alloc(0))).to.equal(status.OK);
    });
  }

  it('decode what has 2,048 bytes, and nothing that has one more', async () => {
    const text = (bytes: number) => delimited(1, Buffer.alloc(bytes - 3));
    expect(await ask('/a.v1.Small/Ask', text(MAX_SMALL_REQUEST_BYTES))).to.equal(status.OK);
    expect(decoded).to.equal(1);
    expect(await ask('/a.v1.Small/Ask', text(MAX_SMALL_REQUEST_BYTES + 1))).to.equal(status.RESOURCE_EXHAUSTED);
    expect(decoded).to.equal(1);
  });
});
