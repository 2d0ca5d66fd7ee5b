import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import { Client, credentials, Server, ServerCredentials, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { descriptorSet } from '../../src/gen/descriptors.js';
import {
  ServerReflectionRequest,
  ServerReflectionResponse,
  ServerReflectionService,
} from '../../src/gen/grpc/reflection/v1/reflection.js';
import { DescriptorFiles } from '../../src/schema/run-time/descriptor-files.js';
import { addReflection } from '../../src/server/reflection.js';

const set = Buffer.from(descriptorSet, 'base64');
const { requestSerialize, responseDeserialize } = ServerReflectionService.serverReflectionInfo;

describe('addReflection', () => {
  let server: Server;
  let client: Client;
  let target: string;
  before(async () => {
    server = new Server();
    addReflection(server, { descriptors: set, services: ['payments.v1.PaymentService'] });
    target = await listen(server);
    client = new Client(target, credentials.createInsecure());
  });
  after(() => {
    client.close();
    server.forceShutdown();
  });

  async function ask(
    requests: readonly Partial<ServerReflectionRequest>[],
    version = 'v1',
  ): Promise<ServerReflectionResponse[]> {
    const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
    const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    for (const request of requests) call.write(ServerReflectionRequest.fromPartial({ host: 'here', ...request }));
    call.end();
    return call.toArray() as Promise<ServerReflectionResponse[]>;
  }

  for (const version of ['v1', 'v1alpha']) {
    it(`answers every kind of request in order (${version})`, async () => {
      const answers = await ask(
        [
          { listServices: '' },
          { fileByFilename: 'sealwire/v1/sealed.proto' },
          { fileContainingSymbol: 'payments.v1.AuthorizeRequest' },
          { fileContainingExtension: { containingType: 'google.protobuf.FieldOptions', extensionNumber: 51_789 } },
          { allExtensionNumbersOfType: 'google.protobuf.FieldOptions' },
        ],
        version,
      );
      const files = new DescriptorFiles(set);
      const bytesOf = (name: string) => files.withImports(name)?.map((bytes) => Buffer.from(bytes));
      expect(answers.map(({ validHost }) => validHost)).to.deep.equal(Array(5).fill('here'));
      expect(answers[0]?.listServicesResponse).to.deep.equal({ service: [{ name: 'payments.v1.PaymentService' }] });
      const given = (index: number) => answers[index]?.fileDescriptorResponse?.fileDescriptorProto.map(Buffer.from);
      expect(given(1)).to.deep.equal(bytesOf('sealwire/v1/sealed.proto'));
      expect(given(2)).to.deep.equal(bytesOf('payments/v1/payments.proto'));
      expect(given(3)).to.deep.equal(bytesOf('sealwire/v1/sealed.proto'));
      expect(answers[4]?.allExtensionNumbersResponse).to.deep.equal({
        baseTypeName: 'google.protobuf.FieldOptions',
        extensionNumber: [51_789],
      });
      expect(answers[2]?.originalRequest?.fileContainingSymbol).to.equal('payments.v1.AuthorizeRequest');
    });
  }

  it('says what is not there, and goes on', async () => {
    const answers = await ask([
      { fileByFilename: '../keys/ring.json' },
      { fileContainingSymbol: 'toString' },
      { fileContainingExtension: { containingType: 'google.protobuf.FieldOptions', extensionNumber: -1 } },
      { allExtensionNumbersOfType: 'nobody.Knows' },
      {},
      { listServices: '' },
    ]);
    const { NOT_FOUND, UNIMPLEMENTED } = status;
    const codes = answers.map(({ errorResponse }) => errorResponse?.errorCode);
    expect(codes).to.deep.equal([NOT_FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND, UNIMPLEMENTED, undefined]);
  });

  it('outlives a caller that goes away in the middle', async () => {
    const { path } = ServerReflectionService.serverReflectionInfo;
    const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    const ended = new Promise<void>((resolve) => call.once('error', () => resolve()));
    for (let count = 0; count < 1_000; count++) {
      call.write(ServerReflectionRequest.fromPartial({ fileByFilename: 'payments/v1/payments.proto' }));
    }
    call.cancel();
    await ended;
    expect(await ask([{ listServices: '' }])).to.have.length(1);
  });

  describe('and callers who take no answer', () => {
    const FILE = { host: 'nobody', fileByFilename: 'payments/v1/payments.proto' };
    const { encode } = ServerReflectionResponse;
    let answers = 0;
    const sessions: ClientHttp2Session[] = [];
    before(() => {
      ServerReflectionResponse.encode = (...values) => {
        // With files only once, without them for each request.
        if (values[0].originalRequest?.host === 'nobody') answers++;
        return encode(...values);
      };
    });
    beforeEach(() => {
      answers = 0;
    });
    afterEach(() => {
      for (const session of sessions.splice(0)) session.destroy();
    });
    after(() => {
      ServerReflectionResponse.encode = encode;
    });

    /** Sends requests; `window` is how many bytes of answers it takes. */
    function stream(to: string, requests: readonly Partial<ServerReflectionRequest>[], window = 0): ClientHttp2Stream {
      const session = connect(`http://${to}`, { settings: { initialWindowSize: window } });
      sessions.push(session);
      session.on('error', () => {});
      const path = ServerReflectionService.serverReflectionInfo.path;
      const headers = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' };
      const opened = session.request(headers, { endStream: false });
      opened.on('error', () => {});
      for (const request of requests) {
        const bytes = requestSerialize(ServerReflectionRequest.fromPartial(request));
        const prefix = Buffer.alloc(5);
        prefix.writeUInt32BE(bytes.length, 1);
        opened.write(Buffer.concat([prefix, bytes]));
      }
      return opened;
    }

    it('makes no second answer while the first is not taken', async () => {
      const opened = stream(target, Array(500).fill(FILE));
      await once(opened, 'response');
      // The server has read all requests by then, if it reads them.
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => opened.session?.ping(resolve));
      expect(answers).to.equal(1);
    });

    it('has places again when streams end', async () => {
      for (let turn = 0; turn < 40; turn++) expect(await ask([{ listServices: '' }])).to.have.length(1);
    });

    it('refuses more than 32 streams of one caller', async () => {
      const busy = Array.from({ length: 32 }, () => stream(target, [FILE]));
      await Promise.all(busy.map((opened) => once(opened, 'response')));
      const error = await ask([{ listServices: '' }]).catch((reason: unknown) => reason);
      expect(error).to.have.property('code', status.RESOURCE_EXHAUSTED);
      const closed = busy.map((opened) => once(opened, 'close'));
      for (const session of sessions.splice(0)) session.destroy();
      await Promise.all(closed);
      let answer: unknown;
      while (answer === undefined) answer = await ask([{ listServices: '' }]).catch(() => undefined);
      expect(answer).to.have.length(1);
    });

    it('refuses a request of more than 2,048 bytes', async () => {
      expect(await ask([{ fileContainingSymbol: 'x'.repeat(2_000) }])).to.have.length(1);
      const error = await ask([{ fileContainingSymbol: 'x'.repeat(2_048) }]).catch((reason: unknown) => reason);
      expect(error).to.have.property('code', status.RESOURCE_EXHAUSTED);
    });

    it('refuses more than 1,000 requests in a stream', async () => {
      expect(await ask(Array(1_000).fill({ listServices: '' }))).to.have.length(1_000);
      const error = await ask(Array(1_001).fill({ listServices: '' })).catch((reason: unknown) => reason);
      expect(error).to.have.property('code', status.RESOURCE_EXHAUSTED);
    });
  });
});

function listen(server: Server): Promise<string> {
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(`127.0.0.1:${bound}`),
    );
  });
}
