import {
  create,
  createFileRegistry,
  type DescMessage,
  type FileRegistry,
  fromJson,
  type JsonValue,
  toBinary,
} from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { Long, type Options } from '@grpc/proto-loader';
import { expect } from 'chai';
import { createPlans } from '../../src/loader/create-plans.js';
import type { LoaderOptions } from '../../src/loader/loader-form.js';
import type { InnerCodec } from '../../src/schema/plan.js';
import { buildProtos } from '../codegen/helpers.js';
import { type LoadedType, loadTypes, type ProtoFiles } from '../support/protobufjs.js';
import { loaderSettings } from '../support/sources.js';

const FOLDER = 'test/schema/fixtures';
const TYPE = 'everything.v1.Everything';

/** proto3 JSON of `everything.v1.Everything`. */
const samples: Readonly<Record<string, JsonValue>> = {
  nothing: {},
  'scalars at one end': {
    fDouble: -1.5e300,
    fFloat: 0.5,
    fInt32: -2_147_483_648,
    fInt64: '-9007199254740991',
    fUint32: 4_294_967_295,
    fUint64: '9007199254740991',
    fSint32: -1,
    fSint64: '-1',
    fFixed32: 1,
    fFixed64: '1',
    fSfixed32: -5,
    fSfixed64: '-5',
    fBool: true,
    fString: 'ñ漢🎴\u0000',
    fBytes: '/wD+',
    mood: 'MOOD_SAD',
  },
  'aliases and numbers without a name': { mood: 'MOOD_GLAD', manyMoods: [1, 0, 5, -1], optMood: 77 },
  'optional fields at zero': { optInt64: '0', optString: '', optBytes: '', optMood: 0, optNested: {} },
  'repeated fields': {
    manyDoubles: [0, -0.25],
    manyLongs: ['0', '1'],
    manyTexts: ['', 'a'],
    manyBytes: ['', 'AA=='],
    manyNested: [{}, { text: 'x', children: [{}, { children: [{ text: 'y' }] }] }],
  },
  maps: {
    longsByText: { '': '0', a: '-7', constructor: '5' },
    bytesByNumber: { '-1': 'AA==', 0: '' },
    moodsByFlag: { true: 'MOOD_SAD', false: 'MOOD_UNSPECIFIED' },
    nestedByText: { k: { text: 'x' }, empty: {} },
  },
  'a oneof: text': { chosenText: '' },
  'a oneof: number': { chosenLong: '0' },
  'a oneof: message': { chosenMessage: { chosenMessage: { fInt32: 5 } } },
  'a oneof: struct': { chosenStruct: { a: [1, null] } },
  'a oneof: wrapper': { chosenWrapper: '' },
  'well-known types': {
    duration: '-3.000000001s',
    empty: {},
    mask: 'a.b,c',
    struct: { text: 't', number: 1.5, flag: false, nothing: null, list: [[], {}, 'x'], object: { deep: {} } },
    time: '1969-12-31T23:59:59.5Z',
    value: null,
    list: [1, 'two'],
    bytesValue: 'AA==',
    int64Value: '-5',
    boolValue: false,
  },
  'an empty struct and list': { struct: {}, list: [], value: [] },
  'a message in an Any': { any: { '@type': 'type.googleapis.com/everything.v1.Everything', fInt32: 5 } },
  names: { foo1bar: '1', aB: '2', X: '3', LOUDNAME: '4', mixedCaseName: '5', class: '6', toString: '7' },
  'a proto2 message': { old: { name: '', tags: ['x'] } },
  'a proto2 message with an enum': { old: { name: 'n', age: 7, grade: 'GRADE_BAD' } },
};

/** Values that differ between settings where `longs: Number` has no form for them. */
const unsafe: JsonValue = {
  fInt64: '-9223372036854775808',
  fUint64: '18446744073709551615',
  manyLongs: ['9007199254740993'],
};

describe('codec of run-time plans', () => {
  let protos: ProtoFiles;
  let registry: FileRegistry;
  before(() => {
    const set = buildProtos(FOLDER);
    protos = { set, folders: ['proto', FOLDER], files: ['everything/v1/everything.proto'] };
    registry = createFileRegistry(set);
  });

  const wire = (json: JsonValue) => {
    const desc = registry.getMessage(TYPE)!;
    return Buffer.from(toBinary(desc, fromJson(desc, json, { registry })));
  };
  /** `everything.v1.Everything` with an `Any` of any type and content. */
  const anyPack = (desc: DescMessage, typeUrl: string, value: Uint8Array) =>
    Buffer.from(toBinary(desc, create(desc, { any: create(AnySchema, { typeUrl, value }) } as never)));
  const codecOf = (options: LoaderOptions): InnerCodec => {
    const plan = createPlans(protos.set, options).service('everything.v1.EverythingService');
    return plan.methods['/everything.v1.EverythingService/Call']!.request!.sealed[0]!.codec;
  };

  for (const [name, options] of Object.entries(loaderSettings)) {
    describe(`with ${name}`, () => {
      let codec: InnerCodec;
      let theirs: LoadedType;
      before(() => {
        codec = codecOf(options);
        theirs = loadTypes(options, options.loadedFrom === 'descriptor-set', protos)(TYPE);
      });

      for (const [sample, json] of Object.entries(samples)) {
        it(`gives ${sample} as protobufjs does, and back`, () => {
          const bytes = wire(json);
          const expected = theirs.toObject(theirs.decode(bytes), options as Options);
          const decoded = codec.decode(bytes);
          expect(decoded).to.deep.equal(expected);
          expect(codec.decodeJson(JSON.stringify(json))).to.deep.equal(decoded);
          // In proto2 `defaults` sets what was not.
          if (options.defaults && sample.includes('proto2')) return;
          expect(Buffer.from(codec.encode(decoded)).toString('hex')).to.equal(bytes.toString('hex'));
          expect(Buffer.from(codec.encode(expected)).toString('hex'), 'theirs').to.equal(bytes.toString('hex'));
        });
      }

      it('keeps 64 bits, or refuses what a number cannot carry', () => {
        const bytes = wire(unsafe);
        if (options.longs === Number) {
          expect(() => codec.decode(bytes)).to.throw(RangeError);
          return;
        }
        expect(codec.decode(bytes)).to.deep.equal(theirs.toObject(theirs.decode(bytes), options as Options));
        expect(Buffer.from(codec.encode(codec.decode(bytes)))).to.deep.equal(bytes);
      });

      it('keeps maps by 64-bit keys, which protobufjs garbles', () => {
        const bytes = wire({ textsByLong: { '9007199254740991': 'x' } });
        expect(Buffer.from(codec.encode(codec.decode(bytes)))).to.deep.equal(bytes);
      });

      it('keeps an Any of a type that the descriptors lack', () => {
        const any = anyPack(registry.getMessage(TYPE)!, 'example.com/no.such.Type', Buffer.from('0801', 'hex'));
        expect(codec.decode(any)).to.deep.equal(theirs.toObject(theirs.decode(any), options as Options));
        expect(Buffer.from(codec.encode(codec.decode(any)))).to.deep.equal(any);
      });

      it('keeps numbers that are not finite', () => {
        const bytes = wire({ manyDoubles: ['NaN', 'Infinity', '-Infinity'] });
        expect(codec.decode(bytes)).to.deep.equal(theirs.toObject(theirs.decode(bytes), options as Options));
        expect(Buffer.from(codec.encode(codec.decode(bytes)))).to.deep.equal(bytes);
      });
    });
  }

  it('takes every form of a value under any options', () => {
    const codec = codecOf({});
    const forms: Readonly<Record<string, readonly unknown[]>> = {
      fInt64: [-5, -5n, '-5', Long.fromNumber(-5), { low: -5, high: -1 }],
      fUint64: ['18446744073709551615', 2n ** 64n - 1n, Long.MAX_UNSIGNED_VALUE],
      fBytes: [Buffer.from([1]), new Uint8Array([1]), [1], 'AQ==', 'AQ'],
      mood: ['MOOD_SAD', -1],
      fDouble: [Number.NaN, 'NaN'],
      longsByText: [{ a: 1 }, new Map([['a', 1n]]), [{ key: 'a', value: '1' }]],
      textsByLong: [{ 7: 'x' }, new Map([[7n, 'x']]), [{ key: Long.fromNumber(7, true), value: 'x' }]],
      nested: [{ text: 'x' }, Object.create({ text: 'x' }), { text: 'x', children: null, unknown: 1 }],
      optString: [null, undefined],
    };
    for (const [key, values] of Object.entries(forms)) {
      const encoded = values.map((value) => Buffer.from(codec.encode({ [key]: value })).toString('hex'));
      expect(new Set(encoded).size, `${key}: ${encoded.join(' ')}`).to.equal(1);
      expect(encoded[0] === '', key).to.equal(key === 'optString');
    }
  });

  for (const [key, value] of [
    ['fInt32', '5'],
    ['fInt32', 1.5],
    ['fInt32', 2 ** 31],
    ['fUint32', -1],
    ['fInt64', 2 ** 53],
    ['fInt64', ''],
    ['fInt64', '0x1'],
    ['fInt64', '9223372036854775808'],
    ['fInt64', { low: 1 }],
    ['fFloat', 1e300],
    ['fDouble', '1'],
    ['fBool', 'true'],
    ['fString', 5],
    ['fString', '\ud800'],
    ['fBytes', '_w'],
    ['fBytes', [256]],
    ['mood', 'NO_SUCH_MOOD'],
    ['mood', 'toString'],
    ['nested', 'text'],
    ['nested', []],
    ['nested', { text: {} }],
    ['manyTexts', 'text'],
    ['manyTexts', [null]],
    ['manyNested', [undefined]],
    ['longsByText', 'text'],
    ['longsByText', { a: {} }],
    ['bytesByNumber', { a: [] }],
    ['moodsByFlag', { yes: 0 }],
    ['any', { '@type': 'no.such.Type' }],
    ['any', { '@type': 'everything.v1.Everything', fInt32: 'x' }],
  ] as const) {
    it(`refuses ${JSON.stringify(value)} for ${key}, and coerces nothing`, () => {
      expect(() => codecOf({}).encode({ [key]: value })).to.throw();
    });
  }

  it('refuses two members of a oneof, what is no object, and endless nesting', () => {
    const codec = codecOf({});
    expect(() => codec.encode({ chosenText: 'a', chosenLong: 1 })).to.throw(TypeError);
    for (const value of [null, undefined, 'text', 5, []]) expect(() => codec.encode(value), String(value)).to.throw();
    const endless: Record<string, unknown> = {};
    endless['chosenMessage'] = endless;
    expect(() => codec.encode(endless)).to.throw(RangeError, 'nested too deep');
  });

  it('refuses malformed wire format and JSON', () => {
    const codec = codecOf({});
    expect(() => codec.decode(Buffer.from('0a', 'hex'))).to.throw();
    for (const json of ['', '[]', '{"fInt32": "x"}', '{"noSuchField": 1}', '{"mood": "NO_SUCH"}']) {
      expect(() => codec.decodeJson(json), json).to.throw();
    }
  });
});
