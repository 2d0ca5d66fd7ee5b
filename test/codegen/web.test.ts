/** `target=web`: code for protobuf-es's messages, for names and shapes that are hard to print. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import { create, type DescMessage, type Message, toBinary } from '@bufbuild/protobuf';
import { type FileDescriptorSet, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import type { Transport } from '@connectrpc/connect';
import { Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';
import { expect } from 'chai';
import { KeyRing } from '../../src/keys/ring.js';
import { createPlans } from '../../src/loader/create-plans.js';
import { addSealedService } from '../../src/server/add-service.js';
import { createOpenInterceptor } from '../../src/server/open-interceptor.js';
import { type SealedWebClientOptions, WebSealer } from '../../src/web/index.js';
import { grpcTransport, webKeys } from '../support/web-client.js';
import { buildProtos, compile, FIXTURES, generateEs, generateSealed, makeFolder, writeFiles } from './helpers.js';

const TARGET = ['target=web', 'import_extension=js'];
type Module = Readonly<Record<string, unknown>>;
type Client = Readonly<Record<string, (request: object) => Promise<Record<string, unknown>>>>;

describe('code for browsers', function () {
  this.timeout(60_000);
  let protos: FileDescriptorSet;
  let folder: ReturnType<typeof makeFolder>;
  let complaints: readonly string[];
  before(() => {
    protos = buildProtos(FIXTURES);
    folder = makeFolder();
    writeFiles(folder.path, generateEs(protos, ['target=ts', 'import_extension=js']));
    writeFiles(folder.path, generateSealed(protos, [...TARGET, 'runtime_import=../src/web/index.js']));
    writeFiles(folder.path, new Map([['types.ts', TYPES]]));
    // As a page's project would: nothing of Node's, and declarations checked too.
    complaints = compile(folder.path, { types: [], lib: ['es2023', 'dom', 'dom.asynciterable'], skipLibCheck: false });
  });
  after(() => folder.remove());

  const load = async (name: string) => (await import(pathToFileURL(join(folder.path, `${name}.js`)).href)) as Module;

  it('is the golden code (rebuilt by scripts/update-golden.mjs)', () => {
    for (const [name, text] of generateSealed(protos, TARGET)) {
      const golden = join(FIXTURES, 'golden', name);
      expect(existsSync(golden), golden).to.equal(true);
      expect(text).to.equal(readFileSync(golden, 'utf8'));
    }
  });

  it('compiles, and lets nobody pass plaintext where a sealed field is meant, or the reverse', () => {
    expect(complaints).to.deep.equal([]);
  });

  it('names clients and methods as protobuf-es does, but for what means something to the client', async () => {
    const module = await load('shapes/v1/shapes_sealed_web');
    const methods = (name: string) =>
      Object.getOwnPropertyNames((module[name] as { prototype: object }).prototype).filter(
        (key) => key !== 'constructor',
      );
    expect(Object.keys(module)).to.have.members(
      ['Shape', 'Thing_', 'Object'].map((name) => `Sealed${name}ServiceClient`),
    );
    expect(methods('SealedShapeServiceClient')).to.deep.equal(['send', 'getAPIValue', 'watch', 'delete']);
    expect(methods('SealedThing_ServiceClient')).to.deep.equal(['unary_', 'then_']);
    expect(methods('SealedObjectServiceClient')).to.deep.equal([
      'toString$',
      'valueOf$',
      'propertyIsEnumerable',
      'toLocaleString',
      'constructor$',
    ]);
  });

  it('carries every field of every shape to a service that sends it back', async () => {
    const { SealedShapeServiceClient } = await load('shapes/v1/shapes_sealed_web');
    const echo = await startEcho(toBinary(FileDescriptorSetSchema, protos));
    try {
      const sealer = new WebSealer({ keys: webKeys(echo.keys) });
      const Client = SealedShapeServiceClient as new (transport: Transport, options: SealedWebClientOptions) => Client;
      const client = new Client(grpcTransport(echo.address), { sealer, binary: true });
      const request = await sample(load);
      const before = inspect(request, { depth: null });
      const response = await client['send']!(request);
      expect(inspect(request, { depth: null })).to.equal(before);
      const { forwarded, forwardedList, ...rest } = response;
      for (const token of [forwarded, ...(forwardedList as unknown[])])
        expect(token).to.match(/^ey[\w-]+(\.[\w-]+){4}$/);
      const { forwarded: _one, forwardedList: _list, ...expected } = request;
      expect(comparable(rest)).to.deep.equal(comparable(expected));
      // Of proto2: what is not set reads as its default, also when it was opened.
      const old = response['old'] as { readonly age: number };
      expect([old.age, Object.hasOwn(old, 'age')]).to.deep.equal([7, false]);
      expect(inspect(response)).to.contain('[opened legacy.v1.Old]').and.not.contain('secret 17');
      sealer.close();
    } finally {
      echo.stop();
    }
  });

  describe('has options', () => {
    const importsOf = (...options: string[]) => {
      const text = generateSealed(protos, ['target=web', ...options]).get('shapes/v1/shapes_sealed_web.ts')!;
      return [...text.matchAll(/ from "(.*)";/g)].map(([, path]) => path);
    };

    for (const [option, path, runtime] of [
      ['import_extension=none', '../../other/v1/sealwire_sealed_web', 'sealwire/web'],
      ['import_extension=ts', '../../other/v1/sealwire_sealed_web.ts', 'sealwire/web'],
      ['runtime_import=./web.js', '../../other/v1/sealwire_sealed_web', '../../web'],
      ['json_types=true', '../../other/v1/sealwire_sealed_web', 'sealwire/web'],
      ['rewrite_imports=sealwire/web:@shop/sealed', '../../other/v1/sealwire_sealed_web', '@shop/sealed'],
    ] as const) {
      it(option, () => expect(importsOf(option)).to.include.members([path, runtime]));
    }

    for (const option of ['forceLong=string', 'importSuffix=.js', 'import_extension=mjs']) {
      it(`but not ${option}`, () => expect(() => importsOf(option)).to.throw(option.split('=')[0]!));
    }

    it('and target=ts is for ts-proto, as without it', () => {
      const options = ['outputServices=grpc-js'];
      const names = (target: readonly string[]) => [...generateSealed(protos, [...target, ...options]).keys()];
      expect(names(['target=ts']))
        .to.deep.equal(names([]))
        .and.include('shapes/v1/shapes_sealed.ts');
      expect(() => names(['target=sql'])).to.throw('target=sql');
    });
  });

  it('may bind fields whose presence ts-proto loses', () => {
    const loose = buildProtos('test/schema/fixtures/loose');
    const only = ['v1/loose.proto'];
    expect(() => generateSealed(loose, ['outputServices=grpc-js'], only)).to.throw('looks the same unset and zero');
    expect([...generateSealed(loose, TARGET, only).keys()]).to.deep.equal(['v1/loose_sealed_web.ts']);
  });
});

/** Plain objects; an absent field is an empty one, and bytes may be a Buffer. */
function comparable(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(comparable);
  const kept = Object.entries(value).filter(([, part]) => part !== undefined && part !== '');
  return Object.fromEntries(kept.map(([name, part]) => [name, comparable(part)]));
}

/** A service on proto-loader that answers with what it got. */
async function startEcho(descriptors: Uint8Array) {
  const options = { longs: String };
  const loaded = loader.loadFileDescriptorSetFromBuffer(Buffer.from(descriptors), options);
  const plans = createPlans(descriptors, { ...options, loadedFrom: 'descriptor-set' });
  const service = plans.define(loaded['shapes.v1.ShapeService'] as ServiceDefinition);
  const keys = await KeyRing.create('P-256');
  const audit = { commit: async () => {}, note() {} };
  const server = new Server({
    interceptors: [createOpenInterceptor({ services: [service], keys, audit }).interceptor],
  });
  addSealedService(server, service, {
    Send: (call: { readonly request: object }, callback: (error: null, value: object) => void) =>
      callback(null, call.request),
  });
  const port = await new Promise<number>((resolve, reject) => {
    const bound = (error: Error | null, value: number) => (error ? reject(error) : resolve(value));
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), bound);
  });
  return { keys, address: `127.0.0.1:${port}`, stop: () => server.forceShutdown() };
}

/** An opened `Everything`, with all properties that protobuf-es gives it. */
async function sample(load: (name: string) => Promise<Module>): Promise<Record<string, unknown>> {
  const [shapes, other, legacy, wkt] = await Promise.all([
    load('shapes/v1/shapes_pb'),
    load('other/v1/sealwire_pb'),
    load('legacy/v1/legacy_pb'),
    import('@bufbuild/protobuf/wkt') as Promise<unknown> as Promise<Module>,
  ]);
  const make = (module: Module, name: string, init: object): Message =>
    create(module[`${name}Schema`] as DescMessage, init as never);
  const secret = (text: string) =>
    make(shapes, 'Secret', {
      text: `secret ${text}`,
      bigNumber: 9_007_199_254_740_993n,
      mode: -2,
      seenAt: { seconds: 1n, nanos: 5 },
      blobs: [new Uint8Array([0, 255])],
      ratios: { a: 0.5 },
      choice: { case: 'right', value: 18_446_744_073_709_551_615n },
      inner: { text: 'inner' },
      extra: { a: [1, null] },
    });
  const innermost = (value: string) => make(shapes, 'Everything_Nested_Inner', { value });
  const nested = (value: string) => make(shapes, 'Everything_Nested', { deep: { secret: innermost(value) } });
  const everything = (init: object) => make(shapes, 'Everything', init);
  const foreign = (text: string) => make(other, 'Foreign', { text });
  const long = make(wkt, 'Int64Value', { value: -9_223_372_036_854_775_808n });
  return everything({
    id: 'ñ',
    singular: secret('1'),
    maybe: secret('2'),
    paymentMethod: { case: 'bankAccount', value: secret('3') },
    many: [secret('4'), secret('5')],
    byName: { constructor: secret('6'), '': secret('7') },
    byLong: { '-5': long },
    byBool: { true: make(shapes, 'Blank', {}) },
    nested: nested('8'),
    nestedList: [make(shapes, 'Everything_Nested', {}), nested('9')],
    nestedMap: { k: nested('10') },
    nestedLong: { 7: nested('11') },
    child: everything({ singular: secret('12'), paymentMethod: { case: 'inChoice', value: nested('13') } }),
    children: [
      everything({
        singular: secret('14'),
        paymentMethod: { case: 'card', value: make(wkt, 'StringValue', { value: 'secret card' }) },
        children: [everything({ singular: secret('15'), paymentMethod: { case: 'voucher', value: 'v' } })],
      }),
    ],
    wrapped: make(wkt, 'BytesValue', { value: new Uint8Array([1, 2]) }),
    object: make(wkt, 'Struct', { fields: { a: { kind: { case: 'boolValue', value: true } } } }),
    blank: make(shapes, 'Blank', {}),
    foreign: foreign('secret 16'),
    old: make(legacy, 'Old', { name: 'secret 17', tags: ['t'] }),
    forwarded: secret('18'),
    forwardedList: [secret('19')],
    manyBound: secret('20'),
    kinds: -2,
    fInt32: -1,
    fSint64: -5n,
    fFixed64: 7n,
    fUint32: 4_294_967_295,
    fBool: true,
    fBytes: new Uint8Array([9]),
    optInt: 0,
    sheet: make(other, 'Sheet', {
      title: 't',
      cell: foreign('21'),
      rows: [make(other, 'OpenedSheet', { cell: foreign('22') })],
      plan: make(other, 'SheetPlan', { cell: foreign('23') }),
    }),
    clear: secret('in clear'),
  }) as unknown as Record<string, unknown>;
}

/** Each `@ts-expect-error` fails the compilation when there is nothing wrong behind it. */
const TYPES = `
import { create } from '@bufbuild/protobuf';
import type { OpenedInit, SealedToken } from '../src/web/index.js';
import { BlankSchema, type Everything, EverythingSchema, SecretSchema } from './shapes/v1/shapes_pb.js';
import type { OpenedEverything, SealedShapeServiceClient } from './shapes/v1/shapes_sealed_web.js';

declare const client: SealedShapeServiceClient;
declare const wire: Everything;
declare const opened: OpenedEverything;
declare const token: SealedToken;
declare const text: string;
const singular = { text: 'x' };

void client.send({ singular });
void client.send({ ...opened, many: [create(SecretSchema, singular)], maybe: undefined });
void client.send({
  singular: { bigNumber: 5n, seenAt: { seconds: 1n }, choice: { case: 'left', value: 'x' }, extra: { a: [null] } },
  paymentMethod: { case: 'card', value: { value: 'x' } },
  byName: { a: singular },
  byLong: { '5': { value: 5n } },
  nested: { deep: { secret: { value: 'x' } } },
  nestedLong: { '5': { deep: {} } },
  child: { singular, paymentMethod: { case: 'inChoice', value: { deep: { secret: {} } } } },
  children: [{ singular }, opened],
  object: { fields: { a: { kind: { case: 'boolValue', value: true } } } },
  forwarded: token,
  forwardedList: [token, singular],
  sheet: { rows: [{ cell: { text: 'x' } }] },
  fBytes: new Uint8Array(),
});
void client.send({ singular, paymentMethod: { case: 'voucher', value: 'in clear' } });
export const answer: Promise<OpenedEverything> = client.send(opened);
export const number = async (): Promise<bigint | undefined> => (await answer).byLong['5']?.value;
export const init: OpenedInit<OpenedEverything> = opened;
// @ts-expect-error a required inner message cannot be left out
void client.send({ id: 'x' });
// @ts-expect-error nor further inside
void client.send({ singular, child: {} });
// @ts-expect-error text is no inner message
void client.send({ singular: text });
// @ts-expect-error nor is a token
void client.send({ singular: token });
// @ts-expect-error not even where everything in it may be left out
void client.send({ singular, blank: text });
// @ts-expect-error in a list
void client.send({ singular, many: [text] });
// @ts-expect-error in a map
void client.send({ singular, byName: { a: text } });
// @ts-expect-error in a oneof
void client.send({ singular, paymentMethod: { case: 'card', value: text } });
// @ts-expect-error wrapper types keep message form
void client.send({ singular, wrapped: new Uint8Array() });
// @ts-expect-error nor do those in clear
void client.send({ singular: { seenAt: new Date() } });
// @ts-expect-error an inner message of another type
void client.send({ singular: create(BlankSchema) });
// @ts-expect-error only a token may be forwarded, not any text
void client.send({ singular, forwarded: text });
// @ts-expect-error no such field
void client.send({ singular, secret: singular });
// @ts-expect-error a message with tokens is not an opened one
void client.send(wire);
// @ts-expect-error nor the reverse
export const a: Everything = opened;
// @ts-expect-error an opened message is not made into one with tokens
create(EverythingSchema, opened);
// @ts-expect-error an inner message is not a token
create(EverythingSchema, { singular });
// @ts-expect-error an opened inner message may be absent
export const b: string = opened.maybe.text;
// @ts-expect-error browsers cannot send a stream of requests
void client.v1beta1Upload;
`;
