import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import type { FileDescriptorSet } from '@bufbuild/protobuf/wkt';
import { status } from '@grpc/grpc-js';
import { expect } from 'chai';
import type { MessagePlan, SealedServiceDefinition } from '../../src/schema/plan.js';
import { collectSealed, replaceSealed } from '../../src/schema/walk.js';
import {
  BASE,
  buildProtos,
  compile,
  FIXTURES,
  generateBoth,
  generateSealed,
  generateTsProto,
  makeFolder,
  writeFiles,
} from './helpers.js';

/** ts-proto's object of one message, as far as it is needed here. */
interface Fns {
  create(value: object): object;
  encode(message: object): { finish(): Uint8Array };
  decode(bytes: Uint8Array): object;
}
type Module = Readonly<Record<string, unknown>>;

describe('generated code for names and shapes that are hard to print', function () {
  this.timeout(120_000);
  let protos: FileDescriptorSet;
  let folder: ReturnType<typeof makeFolder>;
  before(() => {
    protos = buildProtos(FIXTURES);
  });
  beforeEach(() => {
    folder = makeFolder();
  });
  afterEach(() => folder.remove());

  /** @returns the compiler's complaints */
  function build(options: readonly string[]): string[] {
    generateBoth(protos, folder.path, options);
    return compile(folder.path);
  }

  async function load(name: string): Promise<Module> {
    return (await import(pathToFileURL(join(folder.path, `${name}.js`)).href)) as Module;
  }

  it('is the golden code (rebuilt by scripts/update-golden.mjs)', () => {
    for (const [name, text] of generateSealed(protos, [...BASE, 'forceLong=string'])) {
      const golden = join(FIXTURES, 'golden', name);
      expect(existsSync(golden), golden).to.equal(true);
      expect(text).to.equal(readFileSync(golden, 'utf8'));
    }
  });

  for (const options of [
    ['forceLong=string'],
    ['forceLong=bigint', 'oneof=unions', 'useDate=false'],
    ['forceLong=long', 'oneof=unions-value', 'useOptionals=messages'],
    ['useOptionals=all', 'stringEnums=true', 'useDate=string'],
    ['snakeToCamel=false', 'oneof=unions', 'useOptionals=all'],
  ]) {
    it(`compiles and carries every field with ${options.join(', ')}`, async () => {
      expect(build(options)).to.deep.equal([]);
      const messages = await load('shapes/v1/shapes');
      const { SealedShapeService } = await load('shapes/v1/shapes_sealed');
      const { plan } = SealedShapeService as SealedServiceDefinition;
      const request = plan.methods['/shapes.v1.ShapeService/Send']?.request as MessagePlan;
      const fns = messages['Everything'] as Fns;
      const opened = sample(options, messages['Secret'] as Fns);
      const before = inspect(opened, { depth: null });

      const sites = collectSealed(request, opened);
      const found = sites.map(({ path }) => path);
      expect(found).to.have.members(PATHS);
      // Sealed with each field's own codec: the hex of its bytes stands for the token.
      const tokens = sites.map(({ field, value }) => Buffer.from(field.codec.encode(value)).toString('hex') || '-');
      const wire = replaceSealed(request, opened, sites, tokens, { absent: '' });
      const received = fns.decode(fns.encode(fns.create(wire)).finish());
      const receivedSites = collectSealed(request, received);
      const inner = receivedSites.map(({ field, value }) =>
        field.codec.decode(Buffer.from(value === '-' ? '' : String(value), 'hex')),
      );
      const reopened = replaceSealed(request, received, receivedSites, inner, { absent: undefined });
      const again = collectSealed(request, reopened);

      expect(inspect(opened, { depth: null })).to.equal(before);
      expect(receivedSites.map(({ path }) => path)).to.deep.equal(found);
      expect(receivedSites.map(({ value }) => value)).to.deep.equal(tokens);
      again.forEach(({ field, value }, index) => {
        expect(Buffer.from(field.codec.encode(value)).toString('hex') || '-', found[index]).to.equal(tokens[index]);
      });
    });
  }

  it('decodes proto3 JSON against the embedded descriptors, and refuses what does not fit', async () => {
    expect(build(['forceLong=string', 'useDate=false'])).to.deep.equal([]);
    const { EverythingPlan } = await load('shapes/v1/shapes_sealed');
    const codecs = new Map((EverythingPlan as MessagePlan).sealed.map((field) => [field.name, field.codec]));
    const json = '{"text":"ñ","bigNumber":"9007199254740993","mode":"MODE_BELOW","seenAt":"2026-01-02T03:04:05Z"}';
    expect(codecs.get('singular')?.decodeJson(json)).to.deep.include({
      text: 'ñ',
      bigNumber: '9007199254740993',
      mode: -2,
      seenAt: { seconds: '1767323045', nanos: 0 },
    });
    expect(codecs.get('old')?.decodeJson('{"name":"n"}')).to.deep.include({ name: 'n' });
    expect(codecs.get('object')?.decodeJson('{"a":[1]}')).to.have.nested.property('fields.a');
    expect(codecs.get('card')?.decodeJson('"123"')).to.deep.equal({ value: '123' });
    for (const [name, text] of [
      ['singular', '{"text":5}'],
      ['singular', '{"unknown":1}'],
      ['singular', '{"bigNumber":"1.5"}'],
      ['singular', '[]'],
      ['old', '{}'],
      ['card', '{"value":"123"}'],
      ['card', '"123" x'],
    ] as const) {
      expect(() => codecs.get(name)?.decodeJson(text), `${name} ${text}`).to.throw();
    }
  });

  it('keys methods as grpc-js does, and lets clients keep their own', async () => {
    expect(build([])).to.deep.equal([]);
    const sealed = await load('shapes/v1/shapes_sealed');
    const clear = await load('shapes/v1/shapes');
    const client = (name: string) =>
      Object.getOwnPropertyNames((sealed[name] as { prototype: object }).prototype).filter(
        (key) => key !== 'constructor',
      );
    expect(client('SealedShapeServiceClient')).to.have.members(Object.keys(clear['ShapeServiceService'] as object));
    expect(client('SealedThing_ServiceClient')).to.deep.equal(['unary_', 'then_']);
    expect(sealed).not.to.have.property('SealedNothingSealed');
    const { plan } = sealed['SealedShapeService'] as SealedServiceDefinition;
    const methods = Object.values(plan.methods).map((method) => [
      method.path.split('/').pop(),
      method.idempotency,
      [method.requestStream, method.responseStream].map(Number).join(''),
      [method.request?.typeName, method.response?.typeName].map((name) => name?.split('.').pop() ?? '').join('→'),
    ]);
    expect(methods).to.deep.equal([
      ['Send', 'unknown', '00', 'Everything→Everything'],
      ['GetAPIValue', 'idempotent', '00', '→Keywords'],
      ['V1beta1Upload', 'unknown', '10', 'Everything→'],
      ['Watch', 'no-side-effects', '01', '→Everything'],
      ['Talk', 'unknown', '11', 'Keywords→Thing'],
      ['Delete', 'unknown', '00', '→'],
    ]);
  });

  it('serves rpcs named like the functions of every object, all of them or some', async () => {
    generateBoth(protos, folder.path, []);
    writeFiles(folder.path, new Map([['use.ts', OBJECT_SERVICE]]));
    expect(compile(folder.path)).to.deep.equal([]);
    const { callAll } = await load('use');
    expect(await (callAll as () => Promise<unknown>)()).to.deep.equal([
      ['toString:1', 'hasOwnProperty:2', 'valueOf:3', 'isPrototypeOf:4', 'constructor:5'],
      status.UNIMPLEMENTED,
    ]);
  });

  describe('does not compile when ts-proto ran with another', () => {
    const mismatches: [string, string[], string[]][] = [
      ['forceLong', ['forceLong=bigint'], ['forceLong=string']],
      ['oneof', ['oneof=unions'], ['oneof=properties']],
      ['oneof, both unions', ['oneof=unions'], ['oneof=unions-value']],
      ['useOptionals', ['useOptionals=all'], ['useOptionals=none']],
      ['useOptionals for messages', ['useOptionals=none'], ['useOptionals=messages']],
      ['snakeToCamel', ['snakeToCamel=false'], ['snakeToCamel=keys']],
      ['snakeToCamel of union members', ['oneof=unions'], ['oneof=unions', 'snakeToCamel=false']],
      ['useDate', ['useDate=string'], ['useDate=false']],
      ['stringEnums', ['stringEnums=true'], ['stringEnums=false']],
    ];
    let all: readonly string[];
    before(() => {
      const { path, remove } = makeFolder();
      mismatches.forEach(([, theirs, ours], index) => {
        generateBoth(protos, join(path, `mismatch${index}`), theirs, ours);
      });
      all = compile(path);
      remove();
    });

    mismatches.forEach(([name], index) => {
      it(name, () => {
        const complaints = all.filter((line) => line.includes(`mismatch${index}/`));
        expect(complaints).not.to.deep.equal([]);
        for (const line of complaints) expect(line).to.match(/_sealed\.ts\(/);
      });
    });

    it('importSuffix', () => {
      writeFiles(folder.path, generateTsProto(protos, BASE));
      writeFiles(folder.path, generateSealed(protos, [...BASE.filter((option) => !option.startsWith('importS'))]));
      expect(compile(folder.path).join()).to.contain('_sealed.ts(');
    });
  });
});

/** A user's program. It leaves two methods out. */
const OBJECT_SERVICE = `
import { credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import { createOpenInterceptor, KeyRing, staticKeySource } from '../src/index.js';
import { addSealedObjectService, SealedObjectService, SealedObjectServiceClient } from './shapes/v1/shapes_sealed.js';

export async function callAll() {
  const keys = await KeyRing.create();
  const audit = { commit: async () => {}, note() {} };
  const server = new Server({
    interceptors: [createOpenInterceptor({ services: [SealedObjectService], keys, audit }).interceptor],
  });
  addSealedObjectService(server, {
    toString({ request }, callback) { callback(null, { a: { x: 'toString:' + request.a!.x } }); },
    async hasOwnProperty(call, callback) {
      let last = '';
      for await (const { a } of call) last = a.x;
      callback(null, { a: { x: 'hasOwnProperty:' + last } });
    },
    valueOf(call) {
      call.write({ a: { x: 'valueOf:' + call.request.a!.x } });
      call.end();
    },
    async isPrototypeOf(call) {
      for await (const { a } of call) call.write({ a: { x: 'isPrototypeOf:' + a.x } });
      call.end();
    },
    constructor({ request }, callback) { callback(null, { a: { x: 'constructor:' + request.a!.x } }); },
  });
  addSealedObjectService(new Server(), {});
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, value) => (error ? reject(error) : resolve(value)));
  });
  const client = new SealedObjectServiceClient('127.0.0.1:' + port, credentials.createInsecure(), {
    keys: staticKeySource(keys.current()),
  });
  try {
    const said = [
      (await client.toString({ a: { x: '1' } })).a!.x,
      (await client.hasOwnProperty([{ a: { x: '2' } }])).a!.x,
    ];
    for await (const { a } of client.valueOf({ a: { x: '3' } })) said.push(a!.x);
    for await (const { a } of client.isPrototypeOf([{ a: { x: '4' } }])) said.push(a!.x);
    said.push((await client.constructor_({ a: { x: '5' } })).a!.x);
    const code = await client.toLocaleString({ a: { x: '6' } }).then(() => 0, (error: { code: number }) => error.code);
    return [said, code];
  } finally {
    client.close();
    server.forceShutdown();
  }
}
`;

/** Everything that {@link sample} seals, in proto names. */
const PATHS = [
  'singular',
  'maybe',
  'bank_account',
  'many[0]',
  'many[1]',
  'by_name["constructor"]',
  'by_long["-5"]',
  'by_bool["true"]',
  'wrapped',
  'object',
  'blank',
  'foreign',
  'old',
  'forwarded',
  'forwarded_list[0]',
  'nested.deep.secret',
  'nested_list[1].deep.secret',
  'nested_map["k"].deep.secret',
  'nested_long["7"].deep.secret',
  'child.singular',
  'child.in_choice.deep.secret',
  'children[0].singular',
  'children[0].children[0].singular',
  'sheet.cell',
  'sheet.rows[0].cell',
  'sheet.plan.cell',
];

/** An opened `Everything` in the style that ts-proto's options ask for. */
function sample(options: readonly string[], secrets: Fns): object {
  const camel = !options.includes('snakeToCamel=false');
  const union = options.find((option) => option.startsWith('oneof='))?.slice('oneof='.length) ?? 'properties';
  const usesMaps = options.some((option) => /^forceLong=(long|bigint)$/.test(option));
  const key = (name: string) => (camel ? name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()) : name);
  const named = (fields: Readonly<Record<string, unknown>>): object =>
    Object.fromEntries(Object.entries(fields).map(([name, value]) => [key(name), value]));
  const oneof = (property: string, member: string, value: unknown): Record<string, unknown> => {
    if (union === 'properties') return { [member]: value };
    return { [property]: { $case: key(member), [union === 'unions' ? key(member) : 'value']: value } };
  };
  const longs = (at: string, value: unknown) =>
    usesMaps ? new Map([[options.includes('forceLong=bigint') ? BigInt(at) : longOf(at), value]]) : { [at]: value };
  const secret = (text: string) => secrets.create({ text, blobs: [new Uint8Array([0, 255])], ratios: { a: 0.5 } });
  const nested = (value: string) => ({ deep: { secret: { value } } });
  const empty = { many: [], by_name: {}, nested_list: [], children: [], forwarded_list: [] };
  const small = (text: string, more: Record<string, unknown> = {}) =>
    named({ ...empty, by_bool: new Map(), by_long: usesMaps ? new Map() : {}, singular: secret(text), ...more });
  return small('1', {
    id: 'ñ',
    maybe: secret('2'),
    ...oneof('payment_method', 'bank_account', secret('3')),
    many: [secret('4'), secret('5')],
    by_name: { constructor: secret('6') },
    by_long: longs('-5', { value: '9223372036854775807' }),
    by_bool: new Map([[true, {}]]),
    nested: nested('7'),
    nested_list: [{}, nested('8')],
    nested_map: { k: nested('9') },
    nested_long: longs('7', nested('10')),
    child: small('11', oneof('payment_method', 'in_choice', nested('12'))),
    children: [small('13', { children: [small('14')] })],
    wrapped: { value: Buffer.from([1, 2]) },
    object: { fields: { a: undefined } },
    blank: {},
    foreign: { text: '15' },
    old: { name: '16', tags: [] },
    forwarded: secret('17'),
    forwarded_list: [secret('18')],
    sheet: { title: 't', cell: { text: '19' }, rows: [{ cell: { text: '20' } }], plan: { cell: { text: '21' } } },
  });
}

/** What ts-proto's `Long` looks like to a map key. */
function longOf(text: string): object {
  return {
    toString: () => text,
    equals: () => false,
    low: Number(text),
    high: Number(text) < 0 ? -1 : 0,
    unsigned: false,
  };
}
