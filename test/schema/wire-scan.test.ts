import { create, type DescMessage, type Message, toBinary } from '@bufbuild/protobuf';
import { type Struct, StructSchema, type Value, ValueSchema } from '@bufbuild/protobuf/wkt';
import { expect } from 'chai';
import { type ErrorCode, SealwireError } from '../../src/errors.js';
import { scanMessage } from '../../src/schema/wire-scan.js';
import { descriptorRegistry } from '../support/descriptor-set.js';
import { delimited, group, repeat, varint } from '../support/wire-bytes.js';

describe('scanMessage', () => {
  let checkout: DescMessage;
  before(() => {
    checkout = descriptorRegistry().getMessage('shop.v1.CheckoutRequest') as DescMessage;
  });

  function expectRefusal(bytes: Uint8Array, code: ErrorCode, most?: number): void {
    expect(() => scanMessage(checkout, bytes, most))
      .to.throw(SealwireError)
      .with.property('code', code);
  }

  const item = delimited(2, Buffer.alloc(0));
  const extra = delimited(4, Buffer.alloc(0));
  const entry = (key: Uint8Array, lengthBytes = 0) => delimited(7, delimited(1, key, lengthBytes));

  it('counts nested messages at any depth, map entries and their values', () => {
    expect(scanMessage(checkout, Buffer.alloc(0))).to.equal(0);
    expect(scanMessage(checkout, repeat(item, 5))).to.equal(5);
    expect(scanMessage(checkout, delimited(2, repeat(extra, 3)))).to.equal(4);
    expect(scanMessage(checkout, delimited(7, delimited(2, extra)))).to.equal(3);
    // An unknown field may be anything: its bytes are skipped.
    expect(scanMessage(checkout, delimited(99, repeat(item, 9)))).to.equal(0);
  });

  it('counts fields of other kinds, 16 like one message', () => {
    expect(scanMessage(checkout, repeat(delimited(6, Buffer.from('x')), 160))).to.equal(10);
    expect(scanMessage(checkout, repeat(Buffer.from([0x08, 0x01]), 32))).to.equal(2);
    expectRefusal(repeat(Buffer.from([0x08, 0x01]), 33), 'TOO_MANY_MESSAGES', 2);
  });

  it('refuses the first message that is too many, however they nest', () => {
    expect(scanMessage(checkout, repeat(item, 8_192))).to.be.at.least(8_192);
    expectRefusal(repeat(item, 8_193), 'TOO_MANY_MESSAGES');
    expectRefusal(delimited(2, repeat(extra, 8_192)), 'TOO_MANY_MESSAGES');
    expectRefusal(repeat(delimited(7, Buffer.alloc(0)), 8_193), 'TOO_MANY_MESSAGES');
    expectRefusal(repeat(group(99, Buffer.alloc(0)), 8_193), 'TOO_MANY_MESSAGES');
    expect(scanMessage(checkout, repeat(item, 8_193), 10_000)).to.be.at.least(8_193);
  });

  it('refuses what is nested deeper than 100', () => {
    let nested: Buffer = Buffer.alloc(0);
    for (let depth = 0; depth < 99; depth++) nested = delimited(4, nested);
    expect(scanMessage(checkout, delimited(2, nested))).to.be.at.least(100);
    expectRefusal(delimited(2, delimited(4, nested)), 'NESTED_TOO_DEEP');
    let groups: Buffer = Buffer.alloc(0);
    for (let depth = 0; depth < 101; depth++) groups = group(99, groups);
    expectRefusal(groups, 'NESTED_TOO_DEEP');
  });

  it('refuses the map key __proto__, however it is written', () => {
    const key = Buffer.from('__proto__');
    expectRefusal(entry(key), 'MAP_KEY_FORBIDDEN');
    expectRefusal(entry(key, 5), 'MAP_KEY_FORBIDDEN');
    // The decoder of text drops the mark.
    expectRefusal(entry(Buffer.from('\ufeff__proto__')), 'MAP_KEY_FORBIDDEN');
    // A tag may take five bytes, and of two keys the last counts.
    const longTag = Buffer.concat([Buffer.from([0x8a, 0x80, 0x80, 0x80, 0x00]), varint(9), key]);
    expectRefusal(delimited(7, Buffer.concat([delimited(1, Buffer.from('x')), longTag])), 'MAP_KEY_FORBIDDEN');
    const deep = delimited(7, delimited(2, delimited(4, Buffer.alloc(0))));
    expectRefusal(Buffer.concat([deep, entry(key)]), 'MAP_KEY_FORBIDDEN');
  });

  it('lets that text stand anywhere else', () => {
    const text = Buffer.from('__proto__');
    const values = [
      delimited(1, text),
      delimited(2, delimited(1, text)),
      delimited(7, delimited(2, delimited(1, text))),
    ];
    for (const bytes of [...values, entry(Buffer.from('__proto__x')), entry(Buffer.from('constructor'))]) {
      scanMessage(checkout, bytes);
    }
  });

  it('refuses that key in a google.protobuf.Struct at any depth', () => {
    const encode = (struct: Struct) => toBinary(StructSchema, struct);
    const inner: Value = create(ValueSchema, { kind: { case: 'nullValue', value: 0 } });
    const struct = (fields: Record<string, Value>): Struct => create(StructSchema, { fields });
    const value = (held: Struct): Value => create(ValueSchema, { kind: { case: 'structValue', value: held } });
    const bad = struct({ a: value(struct({ ['__proto__']: inner })) });
    expect(() => scanMessage(StructSchema, encode(bad)))
      .to.throw(SealwireError)
      .with.property('code', 'MAP_KEY_FORBIDDEN');
    scanMessage(StructSchema, encode(struct({ a: value(struct({ proto: inner })) })));
  });

  for (const [name, bytes] of Object.entries({
    'a length that is too long': Buffer.from([0x12, 0x05, 0x00]),
    'a nested length beyond its message': delimited(2, Buffer.from([0x22, 0x05])),
    'a varint without an end': Buffer.from([0x08, 0xff]),
    'a varint of eleven bytes': Buffer.concat([Buffer.from([0x08]), Buffer.alloc(10, 0x80), Buffer.from([0x01])]),
    'field number 0': Buffer.from([0x02, 0x00]),
    'wire type 6': Buffer.from([0x0e]),
    'half a fixed64': Buffer.from([0x09, 0x00]),
    'a group without an end': Buffer.from([0x0b]),
    'an end without a group': Buffer.from([0x0c]),
    'the end of another group': Buffer.from([0x0b, 0x14]),
  })) {
    it(`refuses ${name} as malformed`, () => {
      expect(() => scanMessage(checkout, bytes)).to.throw(Error, 'not a message');
    });
  }

  it('takes what encoders make', () => {
    const message = create(checkout, {
      cartId: 'c',
      items: [{ sku: 's', quantity: 3, extras: [{ sku: 't' }] }],
      substitutes: { a: { sku: 'u' } },
    } as never) as Message;
    expect(scanMessage(checkout, toBinary(checkout, message))).to.equal(4);
  });
});
