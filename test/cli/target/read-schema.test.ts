import { credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import { expect } from 'chai';
import { JsonSchema } from '../../../src/cli/json/json-messages.js';
import { readSchema } from '../../../src/cli/target/read-schema.js';
import { descriptorSet } from '../../../src/gen/descriptors.js';
import {
  type ServerReflectionRequest,
  type ServerReflectionResponse,
  ServerReflectionService,
} from '../../../src/gen/grpc/reflection/v1/reflection.js';
import { DescriptorFiles } from '../../../src/schema/run-time/descriptor-files.js';

const files = new DescriptorFiles(Buffer.from(descriptorSet, 'base64'));
const PAYMENTS = 'payments.v1.PaymentService';

describe('readSchema', () => {
  let server: Server;
  let asked: string[];

  /** A server of another make: the given version alone, and one file for each question. */
  async function serve(version: 'v1' | 'v1alpha' | 'none', endless = false): Promise<string> {
    server = new Server();
    asked = [];
    const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
    const definition = { info: { ...ServerReflectionService.serverReflectionInfo, path } };
    if (version !== 'none') {
      server.addService(definition, {
        info: (call: import('@grpc/grpc-js').ServerDuplexStream<ServerReflectionRequest, ServerReflectionResponse>) => {
          call.on('data', (request: ServerReflectionRequest) =>
            call.write(answer(request) as ServerReflectionResponse),
          );
          call.on('end', () => call.end());
        },
      });
    }
    const answer = (request: ServerReflectionRequest): Partial<ServerReflectionResponse> => {
      if (request.listServices !== undefined) return { listServicesResponse: { service: [{ name: PAYMENTS }] } };
      const name = request.fileByFilename ?? files.fileOfSymbol(request.fileContainingSymbol ?? '') ?? '';
      asked.push(name);
      const [bytes] = files.withImports(name) ?? [];
      if (bytes === undefined && !endless) return { errorResponse: { errorCode: 5, errorMessage: 'no' } };
      // A file that imports a new one, for ever.
      const invented = `\n\u0007${asked.length}`.padEnd(9, 'x') + `\u001a\u0007${asked.length + 1}`.padEnd(9, 'x');
      return {
        fileDescriptorResponse: { fileDescriptorProto: [endless ? Buffer.from(invented) : Buffer.from(bytes ?? [])] },
      };
    };
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    return `127.0.0.1:${port}`;
  }
  afterEach(() => server.forceShutdown());

  const read = (address: string, services?: readonly string[]) =>
    readSchema({ address, credentials: credentials.createInsecure(), ...(services && { services }) });

  for (const version of ['v1', 'v1alpha'] as const) {
    it(`reads from a service that has ${version} alone and sends one file at a time`, async () => {
      const schema = await read(await serve(version));
      expect([schema.version, schema.services]).to.deep.equal([version, [PAYMENTS]]);
      expect(asked).to.have.members([
        'payments/v1/payments.proto',
        'sealwire/v1/sealed.proto',
        'google/protobuf/descriptor.proto',
      ]);
      const method = new JsonSchema(schema.descriptors).method(`${PAYMENTS}/Authorize`);
      expect(method.plan.request?.sealed.map(({ name }) => name)).to.deep.equal([
        'card',
        'billing_address',
        'security_code',
      ]);
    });
  }

  async function refusal(work: Promise<unknown>): Promise<{ code: string; message: string }> {
    return work.then(
      () => expect.fail('it worked'),
      (error) => error,
    );
  }

  it('says when a service does not describe itself', async () => {
    const address = await serve('none');
    const { code, message } = await refusal(read(address));
    expect([code, message]).to.deep.equal([
      'SCHEMA_UNAVAILABLE',
      `${address} has no server reflection; give --descriptors or --proto`,
    ]);
  });

  it('says when nobody listens', async () => {
    const address = await serve('v1');
    server.forceShutdown();
    const { code, message } = await refusal(read(address));
    expect([code, message]).to.deep.equal([
      'SCHEMA_UNAVAILABLE',
      `${address} cannot be asked for its schema (UNAVAILABLE)`,
    ]);
  });

  it('names the services there are', async () => {
    const { code, message } = await refusal(read(await serve('v1'), ['payments.v1.Nothing']));
    expect([code, message]).to.deep.equal([
      'OPTIONS_INVALID',
      `the service does not know 'payments.v1.Nothing'; it has ${PAYMENTS}`,
    ]);
  });

  it('stops at a schema without end', async () => {
    const { code, message } = await refusal(read(await serve('v1', true)));
    expect([code, message]).to.deep.equal(['SCHEMA_UNAVAILABLE', 'the schema has too many files']);
  });
});
