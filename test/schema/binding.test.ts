import { createHash } from 'node:crypto';
import { create, createFileRegistry, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt';
import { Long } from '@grpc/proto-loader';
import { expect } from 'chai';
import { SealwireError } from '../../src/errors.js';
import { sha256 } from '../../src/jwe/sha256.js';
import { boundDigest, boundValues, encodeBound } from '../../src/schema/binding.js';
import type { BoundFieldPlan, BoundKind, SealedFieldPlan } from '../../src/schema/plan.js';
import { wellKnownCodecs } from '../../src/schema/well-known.js';

type Value = string | number | bigint | boolean | Uint8Array;

function sealedWith(...bind: BoundFieldPlan[]): SealedFieldPlan {
  return {
    fullName: 't.M.f',
    name: 'f',
    key: 'f',
    shape: 'singular',
    codec: wellKnownCodecs.StringValue,
    recipient: '',
    required: false,
    transient: false,
    bind,
  };
}

function bound(kind: BoundKind, explicitPresence = false, number = 7): BoundFieldPlan {
  return { name: 'v', key: 'v', number, kind, explicitPresence };
}

/** The same field encoded by an independent encoder from a descriptor. */
function independent(kind: BoundKind, value: Value): Buffer {
  const type = kind === 'enum' ? Type.INT32 : Type[kind.toUpperCase() as keyof typeof Type];
  const file = create(FileDescriptorProtoSchema, {
    name: 't.proto',
    syntax: 'proto3',
    messageType: [{ name: 'M', field: [{ name: 'v', number: 7, type: type as Type, label: 1, jsonName: 'v' }] }],
  });
  const set = toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [file] }));
  const schema = createFileRegistry(fromBinary(FileDescriptorSetSchema, set)).getMessage('M');
  if (schema === undefined) throw new Error('no schema');
  return Buffer.from(toBinary(schema, create(schema, { v: value } as never)));
}

const values: [BoundKind, Value[]][] = [
  ['int32', [0, 1, -1, 2_147_483_647, -2_147_483_648]],
  ['sint32', [0, 1, -1, -2_147_483_648]],
  ['uint32', [0, 1, 4_294_967_295]],
  ['fixed32', [0, 4_294_967_295]],
  ['sfixed32', [0, -5]],
  ['enum', [0, 1, -1]],
  ['int64', [0n, 1n, -1n, 9_223_372_036_854_775_807n, -9_223_372_036_854_775_808n]],
  ['sint64', [0n, -1n, 9_223_372_036_854_775_807n]],
  ['uint64', [0n, 18_446_744_073_709_551_615n]],
  ['fixed64', [0n, 18_446_744_073_709_551_615n]],
  ['sfixed64', [0n, -5n]],
  ['bool', [false, true]],
  ['string', ['', '0', 'a', 'ñ漢🎴', 'x'.repeat(300)]],
  ['bytes', [new Uint8Array(), new Uint8Array([0, 255])]],
];

describe('binding', () => {
  for (const [kind, list] of values) {
    it(`encodes ${kind} as an independent encoder does`, () => {
      for (const v of list)
        expect(Buffer.from(encodeBound(sealedWith(bound(kind)), { v }))).to.deep.equal(independent(kind, v));
    });
  }

  it('gives 64-bit values one encoding, whatever carries them', () => {
    const halves = { low: -1999, high: -1, unsigned: false };
    const encodings = [-1999, -1999n, '-1999', Long.fromNumber(-1999), halves].map((v) =>
      boundDigest(sealedWith(bound('int64')), { v }, sha256),
    );
    expect(new Set(encodings).size).to.equal(1);
    // The bits count, as for protobufjs, whatever the object itself thinks of its sign.
    const bits = [Long.fromNumber(-1), Long.MAX_UNSIGNED_VALUE, 18_446_744_073_709_551_615n];
    expect(new Set(bits.map((v) => boundDigest(sealedWith(bound('uint64')), { v }, sha256))).size).to.equal(1);
  });

  it('takes bytes as bytes, as numbers, and as base64 with or without padding', () => {
    const forms = [Buffer.from([255, 0]), [255, 0], '/wA=', '/wA'];
    expect(new Set(forms.map((v) => boundDigest(sealedWith(bound('bytes')), { v }, sha256))).size).to.equal(1);
    for (const v of [[], '']) expect(encodeBound(sealedWith(bound('bytes')), { v })).to.have.length(0);
  });

  it('takes every spelling of a 64-bit zero as zero, and the text 0 as text', () => {
    for (const v of ['0', '00', '-0', 0, -0, 0n]) {
      expect(encodeBound(sealedWith(bound('int64')), { v }), String(v)).to.have.length(0);
      expect(Buffer.from(encodeBound(sealedWith(bound('int64', true)), { v })).toString('hex')).to.equal('3800');
    }
    const text = sealedWith(bound('string'));
    expect(boundDigest(text, { v: '0' }, sha256)).not.to.equal(boundDigest(text, { v: '' }, sha256));
  });

  it('omits zero of implicit presence and emits it of explicit presence', () => {
    for (const [kind, [zero]] of values) {
      expect(encodeBound(sealedWith(bound(kind)), { v: zero })).to.have.length(0);
      expect(encodeBound(sealedWith(bound(kind, true)), { v: zero }), kind).not.to.have.length(0);
      expect(encodeBound(sealedWith(bound(kind, true)), {}), kind).to.have.length(0);
    }
  });

  it('emits ascending by number and digests with SHA-256', () => {
    const field = sealedWith({ ...bound('string'), key: 'a', number: 1 }, { ...bound('bool'), key: 'b', number: 2 });
    const bytes = Buffer.from('0a017810' + '01', 'hex');
    expect(Buffer.from(encodeBound(field, { b: true, a: 'x' }))).to.deep.equal(bytes);
    expect(boundDigest(field, { a: 'x', b: true }, sha256)).to.equal(
      createHash('sha256').update(bytes).digest('base64url'),
    );
    expect(boundDigest(sealedWith(), {}, sha256)).to.equal(undefined);
  });

  it('leaves nothing of a message that failed half-way to the next one', () => {
    const first = { ...bound('string', false, 1), name: 'a', key: 'a' };
    const second = { ...bound('int32', false, 2), name: 'b', key: 'b' };
    const field = sealedWith(first, second);
    const expected = encodeBound(field, { a: 'order-1', b: 2 });
    for (const b of ['2', 2 ** 40]) {
      expect(() => encodeBound(field, { a: 'order-1', b })).to.throw(SealwireError);
      expect(encodeBound(field, { a: 'order-1', b: 2 })).to.deep.equal(expected);
    }
    expect([...expected]).to.deep.equal([0x0a, 7, ...Buffer.from('order-1'), 0x10, 2]);
  });

  it('reads enums by name and members of unions', () => {
    const byName = { ...bound('enum'), enumNumbers: { SOME: 3 } };
    expect(Buffer.from(encodeBound(sealedWith(byName), { v: 'SOME' })).toString('hex')).to.equal('3803');
    const member = { ...bound('int32', true), oneof: { property: 'u', style: 'unions-value' } } as const;
    expect(Buffer.from(encodeBound(sealedWith(member), { u: { $case: 'v', value: 0 } })).toString('hex')).to.equal(
      '3800',
    );
    expect(encodeBound(sealedWith(member), { u: { $case: 'w', value: 1 } })).to.have.length(0);
  });

  for (const [kind, v] of [
    ['string', 5],
    ['int32', 'x'],
    ['int32', 2 ** 40],
    ['int32', 1.5],
    ['uint32', -1],
    ['int64', 'soon'],
    ['bool', 'true'],
    // What decoders differ about: URL-safe, with loose bits, white space, padding in excess, half a byte.
    ['bytes', '_wA'],
    ['bytes', 'AB'],
    ['bytes', 'AA\n'],
    ['bytes', 'AA==='],
    ['bytes', 'A'],
    ['bytes', [256]],
    ['bytes', [-1]],
    ['bytes', [0.5]],
    ['bytes', ['1']],
    ['bytes', { length: 0 }],
    ['enum', 'NO_SUCH_NAME'],
    ['enum', 'toString'],
    ['enum', 2 ** 31],
    ['string', ['a']],
    // Half a surrogate pair.
    ['string', '\ud800'],
    ['string', 'a\udc00b'],
    ['bool', 0],
    ['int32', '5'],
    ['int32', Number.NaN],
    // A number that may stand for another one.
    ['int64', 2 ** 53],
    ['uint64', 2 ** 60],
    ['sfixed64', -(2 ** 53)],
    ['int64', 1.5],
    ['int64', ''],
    ['int64', ' 1'],
    ['int64', '0x10'],
    ['int64', '1e3'],
    ['int64', true],
    ['int64', [5]],
    ['int64', { low: 5 }],
    ['int64', '9223372036854775808'],
    ['sint64', '-9223372036854775809'],
    ['sfixed64', '9223372036854775808'],
    ['uint64', '18446744073709551616'],
    ['uint64', '-1'],
    ['fixed64', -1],
    ['fixed32', 2 ** 32],
  ] as const) {
    it(`refuses ${typeof v === 'number' ? v : JSON.stringify(v)} for ${kind} without quoting it`, () => {
      expect(() => encodeBound(sealedWith(bound(kind)), { v }))
        .to.throw(SealwireError, /^v is not a valid/)
        .with.property('code', 'SEAL_INPUT');
    });
  }

  it('takes only names of the enum itself, not what every object has', () => {
    const byName = sealedWith({ ...bound('enum'), enumNumbers: { SOME: 3 } });
    expect(boundValues(byName, { v: 'SOME' })).to.deep.equal([['v', 3]]);
    for (const v of ['toString', 'constructor', '__proto__']) {
      expect(() => boundValues(byName, { v }), v).to.throw(SealwireError, 'v is not a valid enum');
    }
  });

  it('lists bound values as JSON values for the audit record', () => {
    const field = sealedWith(
      { ...bound('int64'), name: 'amount', key: 'a' },
      { ...bound('bytes'), key: 'b' },
      { ...bound('bool'), key: 'c' },
    );
    expect(boundValues(field, { a: 5n, b: new Uint8Array([255]), c: true })).to.deep.equal([
      ['amount', '5'],
      ['v', '_w'],
      ['v', true],
    ]);
    const loose = { a: Long.fromNumber(5), b: '/w', c: true };
    expect(boundValues(field, loose)).to.deep.equal(boundValues(field, { a: 5n, b: new Uint8Array([255]), c: true }));
  });
});
