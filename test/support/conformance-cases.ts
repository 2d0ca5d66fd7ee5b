/** Unary requests that every source of plans must seal, open, bind and refuse alike. */
import { type MessageJson, sealed } from './sealed-json.js';

/** One request and what must become of it. */
export interface RequestCase {
  readonly service: string;
  readonly method: string;
  readonly request: string;
  readonly json: MessageJson;
  /** Path and outcome of each token, in the order of the record; the paths are of proto names. */
  readonly fields: readonly string[];
  /** Bound values by path, as they go into the record. */
  readonly bound?: Readonly<Record<string, readonly (readonly [string, unknown])[]>>;
}

/** A request that is sealed well and refused, or that cannot be sealed. */
export interface RefusalCase extends Omit<RequestCase, 'fields' | 'bound'> {
  /** Changes the proto3 JSON between sealing and the wire. */
  readonly tamper?: (json: Record<string, never>) => void;
  /** `INVALID_ARGUMENT SEALED_FIELD_INVALID` and the path. */
  readonly refusal: string;
}

const TEXT = 'canary ñ漢🎴';
const card = sealed('payments.v1.CardDetails', { number: TEXT, expiryMonth: 12, expiryYear: 2031 });
const elsewhere = sealed('shapes.v1.Elsewhere', { text: TEXT, number: '-5' });
const gift = sealed('shop.v1.GiftMessage', { text: TEXT });
const score = sealed('games.v1.Score', { points: '-7', level: 4_294_967_295, perfect: true });

const authorize = {
  service: 'payments.v1.PaymentService',
  method: 'Authorize',
  request: 'payments.v1.AuthorizeRequest',
} as const;
const saveRecord = {
  service: 'clinic.v1.PatientService',
  method: 'SaveRecord',
  request: 'clinic.v1.SaveRecordRequest',
} as const;
const submit = { service: 'games.v1.ScoreService', method: 'Submit', request: 'games.v1.SubmitRequest' } as const;
const checkout = {
  service: 'shop.v1.CheckoutService',
  method: 'Checkout',
  request: 'shop.v1.CheckoutRequest',
} as const;
const echo = { service: 'shapes.v1.FirstService', method: 'Echo', request: 'shapes.v1.EchoRequest' } as const;

const allBound = {
  bInt32: -2_147_483_648,
  bInt64: '-9007199254740991',
  bUint64: '9007199254740991',
  bBool: true,
  bString: TEXT,
  bBytes: '/wD+',
  bKind: 'KIND_SOME',
  bOptional: 0,
};

export const requestCases: Readonly<Record<string, RequestCase>> = {
  'a singular field alone, its optional siblings absent': {
    ...authorize,
    json: { orderId: 'o', amountMinor: '1999', currencyCode: 'EUR', card },
    fields: ['card opened'],
    bound: {
      card: [
        ['order_id', 'o'],
        ['amount_minor', '1999'],
        ['currency_code', 'EUR'],
      ],
    },
  },
  'three singular fields, one of a well-known type and transient': {
    ...authorize,
    json: {
      orderId: 'o',
      amountMinor: '-1',
      card,
      billingAddress: sealed('payments.v1.PostalAddress', { line1: TEXT, countryCode: 'CH' }),
      securityCode: sealed('google.protobuf.StringValue', TEXT),
    },
    fields: ['card opened', 'billing_address opened', 'security_code opened'],
  },
  'an inner message that is empty': {
    ...authorize,
    json: { orderId: 'o', card: sealed('payments.v1.CardDetails', {}) },
    fields: ['card opened'],
  },
  'an optional field, and one of another recipient, which stays a token': {
    ...saveRecord,
    json: {
      patientId: 'p',
      visit: '1',
      findings: sealed('clinic.v1.Findings', {
        diagnoses: [TEXT, ''],
        measurements: { weight: 81.25 },
        seenAt: '2024-02-29T12:00:00.000000005Z',
        note: '',
      }),
      contact: sealed('clinic.v1.Contact', { name: TEXT }),
      claim: sealed('google.protobuf.Struct', { hidden: TEXT, nested: { list: [1, true, null] } }),
    },
    fields: ['findings opened', 'contact opened', 'claim passed'],
  },
  'an optional field that is set to the empty text': {
    ...saveRecord,
    json: { patientId: 'p', findings: sealed('clinic.v1.Findings', {}), contact: '' },
    fields: ['findings opened'],
  },
  'a map, with keys that are hard to carry': {
    ...submit,
    json: { matchId: 'm', mode: 'MODE_RANKED', scores: { 'a "b"': score, '': score, 'ñ.[0]': score } },
    fields: ['scores["a \\"b\\""] opened', 'scores[""] opened', 'scores["ñ.[0]"] opened'],
    bound: {
      'scores[""]': [
        ['match_id', 'm'],
        ['mode', 1],
      ],
    },
  },
  'a map that binds an enum number without a name': {
    ...submit,
    json: { matchId: 'm', mode: -77, scores: { one: score } },
    fields: ['scores["one"] opened'],
    bound: {
      'scores["one"]': [
        ['match_id', 'm'],
        ['mode', -77],
      ],
    },
  },
  'nothing sealed at all': { ...submit, json: { matchId: 'm' }, fields: [] },
  'the first member of a oneof': {
    ...checkout,
    json: { cartId: 'c', card: sealed('shop.v1.Card', { number: TEXT }) },
    fields: ['card opened'],
  },
  'the second member of a oneof': {
    ...checkout,
    json: { cartId: 'c', iban: sealed('shop.v1.Iban', { value: TEXT }) },
    fields: ['iban opened'],
  },
  'a member of a oneof that is not sealed, beside repeated texts': {
    ...checkout,
    json: {
      voucher: 'v',
      notes: [sealed('google.protobuf.StringValue', TEXT), sealed('google.protobuf.StringValue', '')],
    },
    fields: ['notes[0] opened', 'notes[1] opened'],
  },
  'a sealed member of a oneof that is set to the empty text': {
    ...checkout,
    json: { cartId: 'c', iban: '', notes: [sealed('google.protobuf.StringValue', TEXT)] },
    fields: ['notes[0] opened'],
  },
  'nested, repeated, recursive and map-valued messages': {
    ...checkout,
    json: {
      items: [
        { sku: 's', quantity: 1, gift, extras: [{ sku: 't', gift }, { extras: [{ gift }] }] },
        { sku: 'without a gift' },
      ],
      substitutes: { '': { sku: 'u', gift }, k: { extras: [{ sku: 'v', gift }] }, empty: {} },
    },
    fields: [
      'items[0].gift opened',
      'items[0].extras[0].gift opened',
      'items[0].extras[1].extras[0].gift opened',
      'substitutes[""].gift opened',
      'substitutes["k"].extras[0].gift opened',
    ],
  },
  'every shape in one message, all siblings bound': {
    ...echo,
    json: {
      opened: { secret: elsewhere },
      shapes: {
        singular: elsewhere,
        must: elsewhere,
        maybe: sealed('google.protobuf.Int64Value', '9007199254740991'),
        right: sealed('google.protobuf.Struct', { a: [{ b: TEXT }], c: null }),
        many: [sealed('google.protobuf.StringValue', TEXT)],
        byNumber: { '-1': elsewhere, 7: sealed('shapes.v1.Elsewhere', { flag: false }) },
        oneNested: { inner: elsewhere },
        manyNested: [{ inner: elsewhere }, {}],
        mapNested: { k: { inner: elsewhere } },
        self: { must: elsewhere, self: { must: elsewhere, bMember: '', singular: elsewhere } },
        class: sealed('shapes.v1.Elsewhere.Deep', { data: 'AAH/' }),
        constructor: sealed('clinic.v1.Contact', { name: TEXT }),
        record: { findings: sealed('clinic.v1.Findings', { diagnoses: [TEXT] }) },
        forOther: elsewhere,
        ...allBound,
      },
    },
    fields: [
      'shapes.singular opened',
      'shapes.must opened',
      'shapes.maybe opened',
      'shapes.right opened',
      'shapes.many[0] opened',
      'shapes.by_number["7"] opened',
      'shapes.by_number["-1"] opened',
      'shapes.class opened',
      'shapes.constructor opened',
      'shapes.for_other passed',
      'shapes.one_nested.inner opened',
      'shapes.many_nested[0].inner opened',
      'shapes.map_nested["k"].inner opened',
      'shapes.self.must opened',
      'shapes.self.self.singular opened',
      'shapes.self.self.must opened',
      'shapes.record.findings opened',
      'opened.secret opened',
    ],
    bound: {
      'shapes.singular': [
        ['b_int32', -2_147_483_648],
        ['b_int64', '-9007199254740991'],
        ['b_uint64', '9007199254740991'],
        ['b_bool', true],
        ['b_string', TEXT],
        ['b_bytes', '_wD-'],
        ['b_kind', 1],
        ['b_optional', 0],
      ],
    },
  },
  'a message inside a oneof': {
    ...echo,
    json: { shapes: { must: elsewhere, branch: { inner: elsewhere } } },
    fields: ['shapes.must opened', 'shapes.branch.inner opened'],
  },
  'a method whose name has capitals': {
    service: 'shapes.v1.FirstService',
    method: 'GetAPIValue',
    request: 'shapes.v1.GetAPIValueRequest',
    json: { default: sealed('google.protobuf.BoolValue', false) },
    fields: ['default opened'],
  },
};

const bindings: Readonly<Record<string, (shapes: Record<string, unknown>) => void>> = {
  'an int32 by one': (shapes) => (shapes['bInt32'] = -2_147_483_647),
  'an int64 by one': (shapes) => (shapes['bInt64'] = '-9007199254740990'),
  'an int64 to zero': (shapes) => delete shapes['bInt64'],
  'a uint64 beyond the safe integers': (shapes) => (shapes['bUint64'] = '9007199254740993'),
  'a boolean': (shapes) => (shapes['bBool'] = false),
  'a text by its last letter': (shapes) => (shapes['bString'] = 'canary ñ漢🎵'),
  'bytes by their length': (shapes) => (shapes['bBytes'] = '/wD+AA=='),
  'an enum to a number without a name': (shapes) => (shapes['bKind'] = 5),
  'an optional number from zero to absent': (shapes) => delete shapes['bOptional'],
  'a member of a oneof from absent to empty': (shapes) => (shapes['bMember'] = ''),
};

export const refusalCases: Readonly<Record<string, RefusalCase>> = {
  'a required field that is absent': {
    ...authorize,
    json: { orderId: 'o' },
    refusal: 'INVALID_ARGUMENT SEALED_FIELD_REQUIRED card',
  },
  'a required field in a nested message': {
    ...echo,
    json: { shapes: { self: { must: elsewhere }, must: elsewhere } },
    tamper: (json) => delete (json as { shapes?: { self: { must?: string } } }).shapes?.self.must,
    refusal: 'INVALID_ARGUMENT SEALED_FIELD_REQUIRED shapes.self.must',
  },
  'an empty element of a repeated field': {
    ...checkout,
    json: { notes: [sealed('google.protobuf.StringValue', TEXT)] },
    tamper: (json) => (json as { notes?: string[] }).notes?.push(''),
    refusal: 'INVALID_ARGUMENT SEALED_FIELD_INVALID notes[1]',
  },
  'an empty value of a map': {
    ...submit,
    json: { scores: { a: score } },
    tamper: (json) => Object.assign((json as { scores?: object }).scores ?? {}, { b: '' }),
    refusal: 'INVALID_ARGUMENT SEALED_FIELD_INVALID scores["b"]',
  },
  'a token of another field': {
    ...checkout,
    json: { card: sealed('shop.v1.Card', { number: TEXT }) },
    tamper: (json) => {
      const moved = json as { card?: string; iban?: string };
      moved.iban = moved.card as string;
      delete moved.card;
    },
    refusal: 'INVALID_ARGUMENT SEALED_FIELD_INVALID iban',
  },
  'a token moved to another item': {
    ...checkout,
    json: { items: [{ sku: 's', gift }, { sku: 't' }] },
    tamper: (json) => {
      const [first, second] = (json as { items?: { gift?: string }[] }).items ?? [];
      second!.gift = first!.gift as string;
      delete first!.gift;
    },
    refusal: 'INVALID_ARGUMENT SEALED_FIELD_INVALID items[1].gift',
  },
  ...Object.fromEntries(
    Object.entries(bindings).map(([change, tamper]): [string, RefusalCase] => [
      `a sibling changed on the way: ${change}`,
      {
        ...echo,
        json: { shapes: { must: elsewhere, singular: elsewhere, ...allBound } },
        tamper: (json) => tamper((json as { shapes?: Record<string, unknown> }).shapes ?? {}),
        refusal: 'INVALID_ARGUMENT SEALED_FIELD_INVALID shapes.singular',
      },
    ]),
  ),
};
