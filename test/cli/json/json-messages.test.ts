import { toBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { expect } from 'chai';
import { JsonSchema } from '../../../src/cli/json/json-messages.js';
import { readJson } from '../../../src/cli/json/json-reader.js';
import { descriptorSet as projectSet } from '../../../src/gen/descriptors.js';
import { sha256 } from '../../../src/jwe/sha256.js';
import { boundDigest } from '../../../src/schema/binding.js';
import { collectSealed } from '../../../src/schema/walk.js';
import { buildProtos } from '../../codegen/helpers.js';
import { Shapes } from '../../gen/shapes/v1/shapes.js';
import { ShapesPlan } from '../../gen/shapes/v1/shapes_sealed.js';
import { descriptorSet } from '../../support/descriptor-set.js';
import { places } from '../../support/matrix-cases.js';

const schema = new JsonSchema(descriptorSet());
const authorize = schema.method('payments.v1.PaymentService/Authorize');
const TOKEN = 'eyJhbGciOiJFQ0RILUVTIn0..AAAAAAAAAAAAAAAA.AA.AAAAAAAAAAAAAAAAAAAAAA';

const parse = (text: string) => authorize.request.fromJson(readJson(text));

/** The matrix's JSON with inner messages in place, as a person types it. */
function inPlace(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inPlace);
  if (typeof value !== 'object' || value === null) return value;
  if ('$sealed' in value) return (value as unknown as { json: unknown }).json;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, inPlace(part)]));
}

describe('JsonSchema', () => {
  for (const [shape, place] of Object.entries(places)) {
    for (const index of [0, 1]) {
      it(`reads and writes ${shape} fields with inner messages in place (${index})`, () => {
        const { json, paths } = place(index);
        const both = schema.methods().find(({ request }) => request.typeName === 'matrix.v1.Places');
        const type = both ?? expect.fail('the matrix has no such method');
        const typed = inPlace(json);
        const message = type.request.fromJson(readJson(JSON.stringify(typed)));
        const sites = collectSealed(type.plan.request ?? expect.fail('no plan'), message);
        expect(sites.map(({ path }) => path).sort()).to.deep.equal([...paths].sort());
        expect(type.request.toJson(message)).to.deep.equal(typed);
      });
    }
  }

  it('finds the same binding as generated code', () => {
    const shapes = {
      bInt32: -5,
      bInt64: '-9007199254740993',
      bUint64: '18446744073709551615',
      bBool: true,
      bString: 'ñ',
      bBytes: 'AAECAw==',
      bKind: 'KIND_SOME',
      bOptional: 0,
      bMember: '',
    };
    const echo = schema.methods().find(({ request }) => request.typeName === 'shapes.v1.EchoRequest');
    const message = echo?.request.fromJson(readJson(JSON.stringify({ shapes: { ...shapes, singular: {}, must: {} } })));
    const site = collectSealed(echo?.plan.request as never, message as object).find(
      ({ path }) => path === 'shapes.singular',
    );
    const field = ShapesPlan.sealed.find(({ name }) => name === 'singular') ?? expect.fail('no such field');
    const expected = boundDigest(field, Shapes.fromJSON(shapes), sha256);
    expect(site && boundDigest(site.field, site.holder, sha256)).to.equal(expected);
  });

  it('takes camelCase and snake_case, enums by name or number, integers as strings or numbers', () => {
    const camel = parse('{"orderId": "o", "amountMinor": "9007199254740993", "card": {"expiryMonth": 1}}');
    expect(parse('{"order_id": "o", "amount_minor": 9007199254740993, "card": {"expiry_month": 1}}')).to.deep.equal(
      camel,
    );
    expect(authorize.request.toJson(camel)).to.include({ amountMinor: '9007199254740993' });
    const { request } = schema.methods().find((one) => one.request.typeName === 'shapes.v1.EchoRequest') ?? authorize;
    const byName = request.fromJson(readJson('{"shapes": {"b_kind": "KIND_SOME"}}'));
    expect(request.fromJson(readJson('{"shapes": {"b_kind": 1}}'))).to.deep.equal(byName);
  });

  it('takes a wrapper as its value and in message form', () => {
    const bare = parse('{"security_code": "123"}');
    expect(bare).to.deep.equal({ security_code: { value: '123' } });
    expect(parse('{"security_code": {"value": "123"}}')).to.deep.equal(bare);
    expect(authorize.request.toJson(bare)).to.deep.equal({ securityCode: '123' });
  });

  it('leaves tokens as they are, and null and empty text out', () => {
    expect(parse(JSON.stringify({ card: TOKEN, security_code: TOKEN }))).to.deep.equal({
      card: TOKEN,
      security_code: TOKEN,
    });
    const empty = parse('{"card": "", "billing_address": null}');
    expect(
      collectSealed({ ...(authorize.plan.request as never as object), sealed: [], nested: [] } as never, empty),
    ).to.deep.equal([]);
    expect(authorize.request.toJson(empty)).to.deep.equal({});
  });

  it('writes and reads the wire format of other implementations', () => {
    const bytes = authorize.request.encode(parse(JSON.stringify({ order_id: 'o', amount_minor: '5', card: TOKEN })));
    expect(authorize.request.decode(bytes)).to.deep.equal({ order_id: 'o', amount_minor: '5', card: TOKEN });
  });

  const { request: echo } =
    schema.methods().find((one) => one.request.typeName === 'shapes.v1.EchoRequest') ?? authorize;
  for (const [text, said] of [
    ['{"left": {}, "bMember": ""}', 'line 1, column 25: b_member cannot be set together with left'],
    ['{"b_member": "canary", "branch": {}}', 'line 1, column 35: branch cannot be set together with b_member'],
    ['{"byNumber": {"1": {}, "canary": {}}}', 'line 1, column 35: not a key of by_number, which are int32'],
    ['{"byNumber": {"01": {}}}', 'line 1, column 26: not a key of by_number'],
    ['{"byNumber": {"2147483648": {}}}', 'line 1, column 26: not a key of by_number'],
  ] as const) {
    it(`refuses ${text} with its place, quoting no value`, () => {
      const read = () => echo.fromJson(readJson(`{"shapes": ${text}}`));
      expect(read).to.throw(said).with.property('code', 'SEAL_INPUT');
      expect(read).to.not.throw('canary');
    });
  }

  it('keeps a null that is a value, and what proto3 JSON writes in its own way', function () {
    this.timeout(30_000);
    const everything = new JsonSchema(toBinary(FileDescriptorSetSchema, buildProtos('test/schema/fixtures')));
    const { request } = everything.method('everything.v1.ClearService/Call');
    const typed = {
      value: null,
      list: [null, 'a'],
      struct: { b: null },
      time: '2026-01-02T03:04:05Z',
      duration: '1.500s',
      mask: 'a,bC',
      bytesValue: 'aGk=',
      int64Value: '9007199254740993',
    };
    expect(request.toJson(request.fromJson(readJson(JSON.stringify(typed))))).to.deep.equal(typed);
    expect(request.toJson(request.fromJson(readJson('{"boolValue": null, "list": null}')))).to.deep.equal({});
  });

  describe('of proto2 and editions', () => {
    let loose: JsonSchema;
    before(function () {
      this.timeout(30_000);
      loose = new JsonSchema(toBinary(FileDescriptorSetSchema, buildProtos('test/schema/fixtures')));
    });
    const read = (method: string, value: object) => {
      const { request } = loose.method(method);
      return { request, message: request.fromJson(readJson(JSON.stringify(value))) };
    };

    for (const [method, type] of [
      ['loose.v1.LooseService/Keep', 'loose.v1.Secret'],
      ['loose.v1.LooseEditionService/Keep', 'loose.v1.EditionSecret'],
    ] as const) {
      it(`writes messages with required fields, zero or not (${method})`, () => {
        for (const [mustText, mustCount] of [
          ['', '0'],
          ['x', '7'],
        ]) {
          const typed = { count: '0', mustText, mustCount, sealed: { text: type } };
          const { request, message } = read(method, typed);
          expect(request.toJson(message)).to.deep.equal(typed);
          request.checkRequired(message);
          const { sealed: _, ...clear } = message as { sealed: unknown };
          expect(request.decode(request.encode(clear))).to.deep.equal(clear);
        }
      });

      it(`names a required field that is missing (${method})`, () => {
        const { request, message } = read(method, { mustText: 'x' });
        for (const work of [() => request.checkRequired(message), () => request.encode(message)]) {
          expect(work)
            .to.throw(/^must_count is (required|missing)$/)
            .with.property('code', 'SEAL_INPUT');
        }
      });
    }

    it('names it inside inner messages too', () => {
      const typed = { mustText: 'x', mustCount: '1', sealed: { text: 't', next: {} } };
      const { request, message } = read('loose.v1.LooseService/Keep', typed);
      expect(() => request.checkRequired(message)).to.throw(/^sealed\.next\.text is required$/);
    });

    const unknown = { '@type': 'type.googleapis.com/nowhere.v1.Thing', '@value': 'CgF4' };
    const known = { '@type': 'type.googleapis.com/loose.v1.Secret', text: 'x' };
    const wrapper = { '@type': 'type.googleapis.com/google.protobuf.StringValue', value: 'x' };
    const nested = { '@type': 'type.googleapis.com/loose.v1.Wrapped', list: [unknown, known] };

    it('shows an Any that the schema lacks as grpcurl does, and reads it again', () => {
      const typed = { any: unknown, list: [known, unknown, wrapper, nested], map: { a: unknown, b: known } };
      const { request, message } = read('loose.v1.LooseService/Wrap', typed);
      const notes: string[] = [];
      const received = request.decode(request.encode(message));
      expect(request.toJson(received, (text) => notes.push(text))).to.deep.equal(typed);
      expect(notes).to.deep.equal(
        Array(4).fill("the schema has no 'nowhere.v1.Thing': its bytes are in @value, in base64"),
      );
      // What protobuf-es and we say of known types is the same.
      const own = { any: known, list: [wrapper] };
      expect(request.toJson(read('loose.v1.LooseService/Wrap', own).message)).to.deep.equal(own);
    });

    it('shows what an Any holds when that is not what it says, and what JSON cannot hold', () => {
      const { request } = loose.method('loose.v1.LooseService/Wrap');
      const notes: string[] = [];
      const broken = { type_url: known['@type'], value: Buffer.from([0x0a, 0x05]).toString('base64') };
      const json = request.toJson({ any: broken }, (text) => notes.push(text));
      expect(json).to.deep.equal({ any: { '@type': broken.type_url, '@value': 'CgU=' } });
      const { request: every } = loose.method('everything.v1.ClearService/Call');
      const late = { time: { seconds: '999999999999', nanos: 0 }, value: {}, mask: { paths: ['A'] } };
      expect(every.toJson(late, (text) => notes.push(text))).to.deep.equal({
        time: { seconds: '999999999999', nanos: 0 },
        value: {},
        mask: { paths: ['A'] },
      });
      expect(notes.map((text) => text.split("'")[1])).to.deep.equal([
        'loose.v1.Secret',
        'google.protobuf.FieldMask',
        'google.protobuf.Timestamp',
        'google.protobuf.Value',
      ]);
    });

    for (const [text, said] of [
      ['{"any": 5}', 'line 1, column 9: a google.protobuf.Any must be an object'],
      ['{"any": {"text": "canary"}}', "line 1, column 9: a google.protobuf.Any needs '@type'"],
      ['{"any": {"@type": "x/canary.v1.No"}}', 'line 1, column 19: the schema has no message of this type'],
      ['{"any": {"@type": "x/loose.v1.Secret", "text": 5}}', 'line 1, column 40: text is not a valid string'],
    ] as const) {
      it(`refuses ${text} with its place, quoting nothing`, () => {
        const { request } = loose.method('loose.v1.LooseService/Wrap');
        expect(() => request.fromJson(readJson(text)))
          .to.throw(said)
          .with.property('code', 'SEAL_INPUT');
        expect(() => request.fromJson(readJson(text))).to.not.throw('canary');
      });
    }
  });

  it('takes null for a member that is not there, and the keys that a map has', () => {
    const typed = { shapes: { byNumber: { '-2147483648': {}, 0: {} }, bMember: 'x' } };
    const text = JSON.stringify({ shapes: { left: null, ...typed.shapes, branch: null } });
    expect(echo.toJson(echo.fromJson(readJson(text)))).to.deep.equal(typed);
  });

  for (const [text, said] of [
    ['[]', 'line 1, column 1: a payments.v1.AuthorizeRequest must be an object in braces'],
    ['{"order_id": "a", "orderId": "b"}', 'line 1, column 19: order_id occurs twice'],
    ['{\n "ordre_id": "canary"}', 'line 2, column 2: payments.v1.AuthorizeRequest has no field of this name'],
    [
      '{"card": {"nmber": "canary"}}',
      'line 1, column 11: payments.v1.CardDetails has no field of this name; it has number,',
    ],
    ['{"card": {"number": 4242}}', 'line 1, column 11: number is not a valid string'],
    ['{"card": {"expiry_month": "canary"}}', 'line 1, column 11: expiry_month is not a valid int32'],
    ['{"amount_minor": 1.5}', 'line 1, column 2: amount_minor is not a valid int64'],
    ['{"amount_minor": 9223372036854775808}', 'line 1, column 2: amount_minor is not a valid int64'],
    [
      '{"card": "canary"}',
      'line 1, column 10: card must be a payments.v1.CardDetails in braces, or a whole token of five parts',
    ],
    ['{"card": [1]}', 'line 1, column 10: a payments.v1.CardDetails must be an object in braces'],
    [
      '{"security_code": {"valu": "canary"}}',
      'line 1, column 19: security_code is not a valid google.protobuf.StringValue',
    ],
  ] as const) {
    it(`refuses ${text.slice(0, 40)} with its place, quoting nothing`, () => {
      expect(() => parse(text))
        .to.throw(said)
        .with.property('code', 'SEAL_INPUT');
      expect(() => parse(text)).to.not.throw('canary');
    });
  }

  it('names the methods and services there are', () => {
    expect(() => schema.method('payments.v1.PaymentService/Autorize')).to.throw(
      /has no method 'Autorize'; it has Authorize,/,
    );
    expect(() => schema.method('payments.v1.Payments.Authorize')).to.throw(
      /no service 'payments.v1.Payments'.*payments.v1.PaymentService/,
    );
    expect(() => schema.method('Authorize')).to.throw('package.Service/Method');
    expect(schema.method('/payments.v1.PaymentService.Authorize').path).to.equal(authorize.path);
  });

  it('finds sealed fields by their full names', () => {
    const { plan, inner, holder } = schema.field('payments.v1.Payment.card');
    expect([plan.bind.map(({ name }) => name), inner.typeName, holder.typeName]).to.deep.equal([
      ['payment_id', 'order_id'],
      'payments.v1.CardDetails',
      'payments.v1.Payment',
    ]);
    for (const name of ['payments.v1.Payment.order_id', 'payments.v1.Payment', 'card', '']) {
      expect(() => schema.field(name))
        .to.throw('no sealed field')
        .with.property('code', 'OPTIONS_INVALID');
    }
  });

  it('makes plain messages of services without sealed fields', () => {
    const health = new JsonSchema(Buffer.from(projectSet, 'base64')).method('grpc.health.v1.Health/Check');
    expect(health.plan).to.include({ requestStream: false, responseStream: false }).and.not.have.property('request');
  });
});
