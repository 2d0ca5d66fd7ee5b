import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { expect } from 'chai';
import { SealwireError } from '../../src/errors.js';
import { addSealedService } from '../../src/server/add-service.js';

const SECRET = 'secret 4111111111111111';
const text = { serialize: (value: string) => Buffer.from(value), deserialize: (bytes: Buffer) => bytes.toString() };

function method(path: string, responseStream: boolean, requestStream = false) {
  return {
    path,
    requestStream,
    responseStream,
    requestSerialize: text.serialize,
    requestDeserialize: text.deserialize,
    responseSerialize: text.serialize,
    responseDeserialize: text.deserialize,
  };
}
const definition = {
  one: method('/test.Service/One', false),
  many: method('/test.Service/Many', true),
  both: method('/test.Service/Both', true, true),
} satisfies ServiceDefinition;

type UnaryHandler = (
  call: ServerUnaryCall<string, string>,
  callback: (error: unknown, value?: string) => void,
) => unknown;
type StreamHandler = (call: ServerWritableStream<string, string>) => unknown;
type DuplexHandler = (call: ServerDuplexStream<string, string>) => unknown;

describe('addSealedService', () => {
  let server: Server;
  let client: Client;
  let handlers: { one?: UnaryHandler; many?: StreamHandler; both?: DuplexHandler };
  let reported: unknown[];

  beforeEach(async () => {
    reported = [];
    handlers = {};
    server = new Server();
    addSealedService(
      server,
      { definition },
      {
        one: (call: ServerUnaryCall<string, string>, callback: () => void) => handlers.one?.(call, callback),
        many: (call: ServerWritableStream<string, string>) => handlers.many?.(call),
        both: (call: ServerDuplexStream<string, string>) => handlers.both?.(call),
      },
      (error) => reported.push(error),
    );
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  });

  afterEach(() => {
    client.close();
    server.forceShutdown();
  });

  function callOne(): Promise<ServiceError | string> {
    return new Promise((resolve) => {
      const { path, requestSerialize, responseDeserialize } = definition.one;
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, 'hello', (error, value) =>
        resolve(error ?? (value as string)),
      );
    });
  }

  function callBoth(requests: readonly string[]): Promise<ServiceError | string[]> {
    return new Promise((resolve) => {
      const { path, requestSerialize, responseDeserialize } = definition.both;
      const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
      const received: string[] = [];
      call.on('data', (value: string) => received.push(value));
      call.on('error', (error) => resolve(error as ServiceError));
      call.on('end', () => resolve(received));
      for (const request of requests) call.write(request);
      call.end();
    });
  }

  function callMany(): Promise<ServiceError | string[]> {
    return new Promise((resolve) => {
      const { path, requestSerialize, responseDeserialize } = definition.many;
      const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, 'hello');
      const received: string[] = [];
      call.on('data', (value: string) => received.push(value));
      call.on('error', (error) => resolve(error as ServiceError));
      call.on('end', () => resolve(received));
    });
  }

  const failures: [string, UnaryHandler][] = [
    [
      'throws',
      () => {
        throw new Error(SECRET);
      },
    ],
    [
      'throws undefined',
      () => {
        throw undefined;
      },
    ],
    ['rejects', () => Promise.reject(new Error(SECRET))],
    ['rejects with undefined', () => Promise.reject(undefined)],
    ['calls back with a plain Error', (_call, callback) => callback(new Error(SECRET))],
    ['calls back with a string', (_call, callback) => callback(SECRET)],
    [
      'calls back with a system error',
      (_call, callback) => callback(Object.assign(new Error(SECRET), { code: 'ENOENT' })),
    ],
    [
      'calls back with a code but no details',
      (_call, callback) => callback(Object.assign(new Error(SECRET), { code: 5 })),
    ],
    ['calls back with a local error', (_call, callback) => callback(new SealwireError('KEY_FILE_INVALID', SECRET))],
  ];
  for (const [name, handler] of failures) {
    it(`gives INTERNAL with fixed text when a handler ${name}`, async () => {
      handlers.one = handler;
      const error = (await callOne()) as ServiceError;
      expect([error.code, error.details]).to.deep.equal([status.INTERNAL, 'internal error']);
      expect(JSON.stringify(error.metadata.toJSON())).not.to.contain('4111');
      expect(reported).to.have.length(1);
    });
  }

  it('passes a status object with its metadata', async () => {
    const metadata = new Metadata();
    metadata.set('hint', 'yes');
    handlers.one = (_call, callback) => callback({ code: status.NOT_FOUND, details: 'no such order', metadata });
    const error = (await callOne()) as ServiceError;
    expect([error.code, error.details]).to.deep.equal([status.NOT_FOUND, 'no such order']);
    expect(error.metadata.get('hint')).to.deep.equal(['yes']);
    expect(reported).to.deep.equal([]);
  });

  it('maps an error of ours to its reason', async () => {
    handlers.one = () => Promise.reject(new SealwireError('AUDIT_FAILED', SECRET));
    const error = (await callOne()) as ServiceError;
    expect([error.code, error.details]).to.deep.equal([status.UNAVAILABLE, 'the audit log cannot take records']);
  });

  it('answers once when a handler calls back and then throws', async () => {
    handlers.one = (_call, callback) => {
      callback(null, 'fine');
      throw new Error(SECRET);
    };
    expect(await callOne()).to.equal('fine');
  });

  for (const [name, handler] of [
    [
      'throws',
      () => {
        throw new Error(SECRET);
      },
    ],
    ['rejects', () => Promise.reject(new Error(SECRET))],
    ['emits an error', (call) => call.emit('error', new Error(SECRET))],
    ['destroys the call without an error', (call) => call.destroy()],
    ['destroys the call', (call) => call.destroy(new Error(SECRET))],
    [
      'throws after a write',
      (call) => {
        call.write('first');
        throw new Error(SECRET);
      },
    ],
  ] as [string, StreamHandler][]) {
    it(`ends a stream with INTERNAL and fixed text when its handler ${name}`, async () => {
      handlers.many = handler;
      const error = (await callMany()) as ServiceError;
      expect([error.code, error.details]).to.deep.equal([status.INTERNAL, 'internal error']);
    });
  }

  it('leaves a stream that ends well alone', async () => {
    handlers.many = (call) => {
      call.write('first');
      call.end();
    };
    expect(await callMany()).to.deep.equal(['first']);
  });

  it('lets a handler answer after it has iterated over all requests', async () => {
    handlers.both = async (call) => {
      const all: string[] = [];
      for await (const request of call) all.push(request as string);
      call.write(all.join(' '));
      await new Promise((resolve) => setImmediate(resolve));
      call.write('the end');
      call.end();
    };
    expect(await callBoth(['a', 'b'])).to.deep.equal(['a b', 'the end']);
    expect(reported).to.deep.equal([]);
  });

  it('ends a call whose handler leaves its requests early with INTERNAL', async () => {
    handlers.both = async (call) => {
      for await (const _ of call) break;
    };
    const error = (await callBoth(['a', 'b'])) as ServiceError;
    expect([error.code, error.details]).to.deep.equal([status.INTERNAL, 'internal error']);
  });

  it('takes no inherited function of Object for a handler', async () => {
    const bare = new Server();
    addSealedService(bare, { definition: { toString: definition.one } }, {});
    expect((await callOneOf(bare)).code).to.equal(status.UNIMPLEMENTED);
    bare.forceShutdown();
  });

  it('leaves methods without a handler UNIMPLEMENTED', async () => {
    const bare = new Server();
    addSealedService(bare, { definition }, {});
    expect((await callOneOf(bare)).code).to.equal(status.UNIMPLEMENTED);
    bare.forceShutdown();
  });

  async function callOneOf(other: Server): Promise<ServiceError> {
    const port = await new Promise<number>((resolve) => {
      other.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_error, bound) => resolve(bound));
    });
    client.close();
    client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
    return (await callOne()) as ServiceError;
  }
});
