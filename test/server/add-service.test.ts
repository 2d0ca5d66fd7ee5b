import { once } from 'node:events';
import type { Duplex } from 'node:stream';
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
  all: method('/test.Service/All', false, true),
} satisfies ServiceDefinition;

type UnaryHandler = (
  call: ServerUnaryCall<string, string>,
  callback: (error: unknown, value?: string, trailer?: Metadata) => void,
) => unknown;
type StreamHandler = (call: ServerWritableStream<string, string>) => unknown;
type CollectHandler = (call: Duplex, callback: (error: unknown, value?: string, trailer?: Metadata) => void) => unknown;
type DuplexHandler = (call: ServerDuplexStream<string, string>) => unknown;

describe('addSealedService', () => {
  let server: Server;
  let client: Client;
  let handlers: { one?: UnaryHandler; many?: StreamHandler; both?: DuplexHandler; all?: CollectHandler };
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
        all: (call: Duplex, callback: () => void) => handlers.all?.(call, callback),
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

  function callAll(requests: readonly string[]): Promise<ServiceError | string> {
    return new Promise((resolve) => {
      const { path, requestSerialize, responseDeserialize } = definition.all;
      const call = client.makeClientStreamRequest(path, requestSerialize, responseDeserialize, (error, value) =>
        resolve(error ?? (value as string)),
      );
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

  it('lets a handler give its one answer some time after it has iterated over all requests', async () => {
    handlers.all = async (call, callback) => {
      const all: string[] = [];
      for await (const request of call) all.push(request as string);
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
      callback(null, all.join(' '));
    };
    expect(await callAll(['a', 'b'])).to.equal('a b');
    expect(reported).to.deep.equal([]);
  });

  it('ends a call whose handler leaves its requests early with INTERNAL', async () => {
    handlers.both = async (call) => {
      for await (const _ of call) break;
    };
    const error = (await callBoth(['a', 'b'])) as ServiceError;
    expect([error.code, error.details]).to.deep.equal([status.INTERNAL, 'internal error']);
  });

  describe('keeps the process and the call in order when a handler', () => {
    const wrong = { toJSON: () => SECRET } as unknown as Metadata;
    const forbidden = new Metadata();
    forbidden.set('connection', 'close');
    const long = new Metadata();
    long.set('long', 'x'.repeat(40_000));
    const INTERNAL = [status.INTERNAL, 'internal error'];
    type Misuse<H> = readonly [name: string, handler: H, expected?: unknown];
    const later = (work: () => void) => new Promise<void>((resolve) => setImmediate(() => resolve(work())));
    const notFound = (metadata: unknown) => ({ code: status.NOT_FOUND, details: SECRET, metadata });

    const ofOne: readonly Misuse<UnaryHandler>[] = [
      ['calls back twice', (_call, callback) => [callback(null, 'a'), callback(null, 'b')], 'a'],
      ['calls back again later', (_call, back) => later(() => back(new Error(SECRET))).then(() => back(null, 'b'))],
      [
        'calls back with no value',
        (_call, callback) => callback(null),
        [status.INTERNAL, 'Error serializing response'],
      ],
      ['gives trailers that are none', (_call, callback) => callback(null, 'a', wrong)],
      ['gives trailers that HTTP/2 forbids', (_call, callback) => callback(null, 'a', forbidden)],
      ['gives an error such trailers', (_call, callback) => callback(notFound(undefined), undefined, forbidden)],
      ['gives a status metadata that is none', (_call, callback) => callback(notFound({}))],
      ['gives a status metadata that HTTP/2 forbids', (_call, callback) => callback(notFound(forbidden))],
      ['gives a status half a character', (_call, callback) => callback({ code: 5, details: 'a\ud800' })],
      ['gives a status long details', (_call, callback) => callback({ code: 5, details: 'é'.repeat(3_000) })],
      ['gives a status long metadata', (_call, callback) => callback(notFound(long))],
      ['gives a status a fraction for its code', (_call, callback) => callback({ code: 5.5, details: SECRET })],
      ['gives a status a text for its code', (_call, callback) => callback({ code: '5', details: SECRET })],
      ['gives a status the code OK', (_call, callback) => callback({ code: 0, details: SECRET })],
      ['gives a status a code that gRPC lacks', (_call, callback) => callback({ code: 17, details: SECRET })],
      [
        'sends metadata that is none',
        (call, back) => later(() => call.sendMetadata(wrong)).then(() => back(null, 'a')),
      ],
      [
        'sends metadata that HTTP/2 forbids',
        (call, back) => later(() => call.sendMetadata(forbidden)).then(() => back(null, 'a')),
      ],
      [
        'sends metadata twice',
        (call, back) => [call.sendMetadata(new Metadata()), call.sendMetadata(wrong), back(null, 'a')],
      ],
    ];
    for (const [name, handler, expected = INTERNAL] of ofOne) {
      it(name, async () => {
        handlers.one = handler;
        const answer = await callOne();
        expect(typeof answer === 'string' ? answer : [answer.code, answer.details]).to.deep.equal(expected);
        handlers.one = (_call, callback) => callback(null, 'lives');
        expect(await callOne()).to.equal('lives');
      });
    }

    const ofMany: readonly Misuse<StreamHandler>[] = [
      ['ends a stream with a message', (call) => call.end('a' as never)],
      ['ends a stream with a message later', (call) => later(() => call.end({ a: SECRET } as never))],
      ['ends a stream with a function', (call) => call.end((() => {}) as never)],
      ['ends a stream with metadata that HTTP/2 forbids', (call) => call.end(forbidden)],
      ['ends a stream twice', (call) => [call.write('a'), call.end(), call.end()], ['a']],
      ['ends a stream again with a message', (call) => [call.write('a'), call.end(), call.end('b' as never)]],
      ['writes after the end', (call) => [call.write('a'), call.end(), call.write('b')]],
      ['writes after the end was sent', (call) => [call.end(), later(() => call.write('b'))], []],
      ['writes null', (call) => call.write(null as never)],
      [
        'writes what cannot be encoded',
        (call) => call.write({} as never),
        [status.INTERNAL, 'Error serializing response'],
      ],
      ['emits a status with wrong metadata', (call) => later(() => call.emit('error', notFound({})))],
      [
        'emits an error twice',
        (call) => [call.emit('error', new Error(SECRET)), call.emit('error', new Error(SECRET))],
      ],
      ['sends metadata of a stream that is none', (call) => later(() => call.sendMetadata(wrong))],
    ];
    for (const [name, handler, expected = INTERNAL] of ofMany) {
      it(name, async () => {
        for (const [kind, ask] of [
          ['many', callMany],
          ['both', () => callBoth(['hello'])],
        ] as const) {
          handlers[kind] = handler as never;
          const answer = await ask();
          expect(Array.isArray(answer) ? answer : [answer.code, answer.details], kind).to.deep.equal(expected);
        }
        handlers.one = (_call, callback) => callback(null, 'lives');
        expect(await callOne()).to.equal('lives');
      });
    }

    const ofAll: readonly Misuse<CollectHandler>[] = [
      ['ends a call for one answer with a message', (call) => call.end('a')],
      ['ends a call for one answer', (call, callback) => [call.end(), callback(null, 'a')]],
      ['writes to a call for one answer', (call, callback) => [call.write('b'), callback(null, 'a')]],
      ['writes to it after its answer', (call, callback) => [callback(null, 'a'), later(() => call.write('b'))], 'a'],
      ['emits an error on a call for one answer', (call) => call.emit('error', new Error(SECRET))],
      ['destroys it', (call) => call.destroy(new Error(SECRET))],
      ['gives it trailers that are none', (_call, callback) => callback(null, 'a', wrong)],
    ];
    for (const [name, handler, expected = INTERNAL] of ofAll) {
      it(name, async () => {
        handlers.all = handler;
        const answer = await callAll(['hello']);
        expect(typeof answer === 'string' ? answer : [answer.code, answer.details]).to.deep.equal(expected);
        handlers.one = (_call, callback) => callback(null, 'lives');
        expect(await callOne()).to.equal('lives');
      });
    }

    it('tells whoever runs the service what the handler did', async () => {
      handlers.many = (call) => call.end('a' as never);
      await callMany();
      expect(reported).to.have.length(1);
      expect(reported[0]).to.be.instanceOf(SealwireError);
      expect((reported[0] as SealwireError).message).to.equal(
        'what call.end() is given must be Metadata: give the last message to call.write()',
      );
    });
  });

  it('tells of what handlers do, and not of how they end when their caller has gone', async () => {
    const begun: (() => void)[] = [];
    const begin = () => new Promise<void>((resolve) => begun.push(resolve));
    const over: Promise<unknown>[] = [];
    const read = async (call: AsyncIterable<unknown>) => {
      begun.shift()?.();
      for await (const _ of call);
    };
    const readAll = (call: AsyncIterable<unknown>) => {
      const reading = read(call);
      over.push(reading.catch(() => {}));
      return reading;
    };
    handlers.both = readAll;
    handlers.all = readAll;
    handlers.many = (call) => over.push(once(call, 'cancelled')) && begun.shift()?.();
    const { both, all, many } = definition;
    for (const ask of [
      () => client.makeBidiStreamRequest(both.path, text.serialize, text.deserialize),
      () => client.makeClientStreamRequest(all.path, text.serialize, text.deserialize, () => {}),
      () => client.makeServerStreamRequest(many.path, text.serialize, text.deserialize, 'hello'),
    ]) {
      const started = begin();
      const call = ask();
      call.on('error', () => {});
      await started;
      call.cancel();
    }
    await Promise.all(over);
    await new Promise((resolve) => setImmediate(resolve));
    expect(reported).to.deep.equal([]);

    handlers.many = async (call) => {
      call.end();
      await once(call, 'cancelled');
      throw new Error(SECRET);
    };
    expect(await callMany()).to.deep.equal([]);
    while (reported.length === 0) await new Promise((resolve) => setImmediate(resolve));
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
