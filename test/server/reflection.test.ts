import { Client, credentials, Server, ServerCredentials, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { descriptorSet } from '../../src/gen/descriptors.js';
import {
  ServerReflectionRequest,
  type ServerReflectionResponse,
  ServerReflectionService,
} from '../../src/gen/grpc/reflection/v1/reflection.js';
import { DescriptorFiles } from '../../src/schema/run-time/descriptor-files.js';
import { addReflection } from '../../src/server/reflection.js';

const set = Buffer.from(descriptorSet, 'base64');
const { requestSerialize, responseDeserialize } = ServerReflectionService.serverReflectionInfo;

describe('addReflection', () => {
  let server: Server;
  let client: Client;
  before(async () => {
    server = new Server();
    addReflection(server, { descriptors: set, services: ['payments.v1.PaymentService'] });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
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
});
