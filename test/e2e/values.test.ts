/** What a client puts into a message is what the handler gets, to the last bit. */
import { credentials, Metadata, Server, ServerCredentials, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../src/client/client.js';
import type { OpenedAuthorizeRequest } from '../../src/gen/payments/v1/payments_sealed.js';
import { staticKeySource } from '../../src/keys/key-source.js';
import { KeyRing } from '../../src/keys/ring.js';
import { REPLY_FIELD, REPLY_METADATA } from '../../src/profile/replies.js';
import { wellKnownCodecs } from '../../src/schema/well-known.js';
import { createOpenInterceptor } from '../../src/server/open-interceptor.js';
import {
  createEchoHandlers,
  deepFreeze,
  makeRequest,
  type RecordingServer,
  startRecordingServer,
} from '../client/helpers.js';
import { FirstServiceClient, Kind, Shapes } from '../gen/shapes/v1/shapes.js';
import {
  addSealedFirstService,
  type OpenedShapes,
  SealedFirstService,
  SealedFirstServiceClient,
} from '../gen/shapes/v1/shapes_sealed.js';
import { forge } from '../jwe/helpers.js';
import { clientWays } from '../support/client-ways.js';
import { failureOf } from '../support/harness.js';

const KIB_64 = 65_536;
const INT64 = { min: -9_223_372_036_854_775_808n, max: 9_223_372_036_854_775_807n };
const UINT64_MAX = 18_446_744_073_709_551_615n;
const texts: Readonly<Record<string, string>> = {
  empty: '',
  'a space': ' ',
  'a NUL': '\0',
  'a NUL in the middle': 'a\0b',
  'line ends': '\r\n\n\u2028\u2029',
  'what looks like a token': 'eyJhbGciOiJkaXIifQ..AA.AA.AA',
  'what looks like JSON': '{"__proto__":{"x":1},"$case":"y"}',
  emoji: '👩‍👩‍👧‍👦🏳️‍🌈🇪🇸',
  'a combining accent, not composed': 'e\u0301 ≠ é',
  'right to left, with marks': '\u202eשלום مرحبا\u202c',
  'outside the basic plane': '𝒜𐍈\u{10ffff}',
  'a byte order mark': '\ufeffx',
};

/** Every object has a `constructor`, though not of that type. */
type Change = Partial<Omit<OpenedShapes, 'constructor'>>;

/** An `Elsewhere` as it arrives. */
const elsewhere = (text: string, rest: { number?: bigint; flag?: boolean } = {}) => ({
  text,
  number: undefined,
  flag: undefined,
  ...rest,
});

/** All fields at rest: absent, empty or 0. */
const nothing = (): OpenedShapes => ({
  singular: undefined,
  must: elsewhere('must'),
  maybe: undefined,
  left: undefined,
  right: undefined,
  bMember: undefined,
  branch: undefined,
  many: [],
  byNumber: {},
  oneNested: undefined,
  manyNested: [],
  mapNested: {},
  self: undefined,
  class: undefined,
  constructor: undefined,
  record: undefined,
  bInt32: 0,
  bInt64: 0n,
  bUint64: 0n,
  bBool: false,
  bString: '',
  bBytes: Buffer.alloc(0),
  bKind: Kind.KIND_UNSPECIFIED,
  bOptional: undefined,
  forOther: undefined,
});

/** `singular` binds all of the `b…` fields: it opens only when both sides see the same values. */
const bound = (change: Change): Change => ({ singular: elsewhere('bound'), ...change });

const shapes: Readonly<Record<string, Change>> = {
  'everything absent': {},
  'an inner message that is empty': { singular: elsewhere('') },
  'a required inner message that is empty': { must: elsewhere('') },
  'a member 0': { left: elsewhere('', { number: 0n }) },
  'a member false': { left: elsewhere('', { flag: false }) },
  'the least int64': { singular: elsewhere('x', { number: INT64.min }) },
  'the greatest int64': { singular: elsewhere('x', { number: INT64.max }) },
  'a wrapped 0': { maybe: { value: '0' } },
  'the least wrapped int64': { maybe: { value: String(INT64.min) } },
  'the greatest wrapped int64': { maybe: { value: String(INT64.max) } },
  'a Struct without fields': { right: { fields: {} } },
  'a Struct of all kinds': {
    right: { fields: { text: '', zero: 0, no: false, none: null, list: [], deep: { '': [1, { a: 'é' }] } } },
  },
  'no bytes': { class: { data: Buffer.alloc(0) } },
  'every byte': { class: { data: Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)) } },
  'a list of empty texts': { many: [{ value: '' }, { value: 'x' }, { value: '' }] },
  'map keys 0 and the least and greatest int32': {
    byNumber: { [-2_147_483_648]: elsewhere('least'), 0: elsewhere(''), 2147483647: elsewhere('greatest') },
  },
  'an empty map key, and one that is a name of Object': {
    mapNested: {
      '': { inner: elsewhere('a') },
      constructor: { inner: elsewhere('b') },
      'é.x[0]"': { inner: undefined },
    },
  },
  'an empty nested message': { oneNested: { inner: undefined }, manyNested: [{ inner: undefined }] },
  'a nested message in a oneof': { branch: { inner: elsewhere('x') } },
  'a recursive message': { self: { ...nothing(), self: { ...nothing(), many: [{ value: '3' }] } } },
  'bound: all at rest': bound({}),
  'bound: the least values': bound({ bInt32: -2_147_483_648, bInt64: INT64.min }),
  'bound: the greatest values': bound({ bInt32: 2_147_483_647, bInt64: INT64.max, bUint64: UINT64_MAX }),
  'bound: an optional 0': bound({ bOptional: 0 }),
  'bound: an empty member': bound({ bMember: '' }),
  'bound: bytes, true, an unknown enum value': bound({ bBytes: Buffer.from([0, 255]), bBool: true, bKind: 77 as Kind }),
  'exactly 64 KiB': { must: elsewhere('x'.repeat(KIB_64 - 4)) },
  'exactly 64 KiB of four-byte characters': { must: elsewhere('🔒'.repeat((KIB_64 - 4) / 4)) },
  'exactly 64 KiB of bytes': { class: { data: Buffer.alloc(KIB_64 - 4, 255) } },
  ...Object.fromEntries(Object.entries(texts).map(([name, text]) => [`text: ${name}`, { singular: elsewhere(text) }])),
  ...Object.fromEntries(Object.entries(texts).map(([name, text]) => [`bound text: ${name}`, bound({ bString: text })])),
};

for (const [way, optionsFor] of Object.entries(clientWays)) {
  describe(`values of a message of every shape, ${way}`, () => {
    let server: Server;
    let keys: KeyRing;
    let client: SealedFirstServiceClient;
    let raw: FirstServiceClient;
    let opened: (OpenedShapes | undefined)[];

    before(async () => {
      keys = await KeyRing.create();
      const audit = { commit: () => Promise.resolve(), note() {} };
      const { interceptor } = createOpenInterceptor({ services: [SealedFirstService], keys, audit });
      server = new Server({ interceptors: [interceptor] });
      addSealedFirstService(server, {
        echo({ request }, callback) {
          opened.push(request.shapes);
          callback(null, {});
        },
      });
      const port = await new Promise<number>((resolve, reject) => {
        server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, value) =>
          error ? reject(error) : resolve(value),
        );
      });
      const key = keys.current();
      // Nothing is sealed to the others that the plan names.
      const source = staticKeySource(key);
      client = new SealedFirstServiceClient(`127.0.0.1:${port}`, credentials.createInsecure(), {
        keys: source,
        ...(await optionsFor(key)),
      });
      raw = new FirstServiceClient(`127.0.0.1:${port}`, credentials.createInsecure());
    });
    beforeEach(() => {
      opened = [];
    });
    after(() => {
      client.close();
      raw.close();
      server.forceShutdown();
    });

    for (const [name, change] of Object.entries(shapes)) {
      it(name, async () => {
        await client.echo({ shapes: deepFreezeData({ ...nothing(), ...change }) });
        expect(opened).to.deep.equal([{ ...nothing(), ...change }]);
      });
    }

    it('a field of a recipient whose key the client does not have', async () => {
      const error = await failureOf(client.echo({ shapes: { ...nothing(), forOther: elsewhere('x') } }));
      expect(error.code).to.equal(status.FAILED_PRECONDITION);
      expect(errorDetails(error)).to.include({ code: 'KEY_NOT_FOUND' });
      expect(opened).to.deep.equal([]);
    });

    /** Sends a token that our client would not make. */
    function send(enc: 'A256GCM' | 'A128CBC-HS256', bytes: number): Promise<unknown> {
      // An `Elsewhere` with one long text.
      const text = Buffer.from('x'.repeat(bytes - 4));
      const plaintext = Buffer.concat([Buffer.from([0x0a, ...varint(text.length)]), text]);
      const header = { fld: 'shapes.v1.Shapes.must', iat: Math.floor(Date.now() / 1_000) };
      const must = forge({ key: keys.current(), enc, plaintext, header });
      const replyToken = forge({
        key: keys.current(),
        plaintext: Buffer.alloc(0),
        header: { ...header, fld: REPLY_FIELD, mth: '/shapes.v1.FirstService/Echo' },
      });
      return new Promise((resolve, reject) => {
        const metadata = new Metadata();
        metadata.set(REPLY_METADATA, replyToken);
        const request = { shapes: Shapes.fromPartial({ must, constructor: '' }), opened: undefined };
        raw.echo(request, metadata, (error, value) => (error ? reject(error) : resolve(value)));
      });
    }

    for (const enc of ['A256GCM', 'A128CBC-HS256'] as const) {
      it(`a hand-made ${enc} token of exactly 64 KiB opens; one byte more exceeds the server's limit`, async () => {
        await send(enc, KIB_64);
        expect(opened[0]?.must.text).to.have.length(KIB_64 - 4);
        const error = await failureOf(send(enc, KIB_64 + 1));
        expect(error.code).to.equal(status.RESOURCE_EXHAUSTED);
        expect(errorDetails(error)).to.deep.include({ reason: 'LIMIT_EXCEEDED', field: 'shapes.must' });
        expect(opened).to.have.length(1);
      });
    }
  });
}

describe('values of a payment', () => {
  let server: RecordingServer;
  let opened: object[];
  beforeEach(async () => {
    opened = [];
    server = await startRecordingServer(createEchoHandlers(opened));
  });
  afterEach(() => server.close());

  const whole = (): OpenedAuthorizeRequest => ({
    ...makeRequest('order-1'),
    billingAddress: undefined,
    securityCode: undefined,
  });
  const { card } = makeRequest('');
  const cases: Readonly<Record<string, Partial<OpenedAuthorizeRequest>>> = {
    'absent fields': {},
    'fields at rest': { orderId: '', amountMinor: '0', currencyCode: '' },
    'the least amount': { amountMinor: String(INT64.min) },
    'the greatest amount': { amountMinor: String(INT64.max) },
    'a card at rest': { card: { number: '', expiryMonth: 0, expiryYear: 0, holderName: '' } },
    'numbers below 0': { card: { ...card, expiryMonth: -1, expiryYear: -2_147_483_648 } },
    'an empty address': { billingAddress: { line1: '', line2: '', city: '', postalCode: '', countryCode: '' } },
    'an empty security code': { securityCode: { value: '' } },
    ...Object.fromEntries(
      Object.entries(texts).map(([name, text]) => [`holder: ${name}`, { card: { ...card, holderName: text } }]),
    ),
    ...Object.fromEntries(Object.entries(texts).map(([name, text]) => [`bound order: ${name}`, { orderId: text }])),
  };
  for (const [name, change] of Object.entries(cases)) {
    it(name, async () => {
      await server.client().authorize(deepFreeze({ ...whole(), ...change }));
      expect(opened).to.deep.equal([{ ...whole(), ...change }]);
    });
  }

  it('one byte more than the max_bytes of the field is refused at the client, and no handler runs', async () => {
    const securityCode = (bytes: number) => ({ value: 'x'.repeat(bytes - 2) });
    await server.client().authorize({ ...whole(), securityCode: securityCode(64) });
    const error = await failureOf(server.client().authorize({ ...whole(), securityCode: securityCode(65) }));
    expect(error.code).to.equal(status.RESOURCE_EXHAUSTED);
    expect(errorDetails(error)).to.deep.include({ reason: 'LIMIT_EXCEEDED', field: 'security_code' });
    await server.client().authorize(makeRequest('control'));
    expect(opened).to.have.length(2);
    expect(server.arrived.flatMap(({ messages }) => messages)).to.have.length(2);
  });
});

describe('wrapped 64-bit numbers', () => {
  for (const value of ['0', '1', '9007199254740993', String(INT64.max), String(UINT64_MAX)]) {
    it(`UInt64Value ${value} is a text`, () => {
      const { encode, decode } = wellKnownCodecs.UInt64Value;
      expect(decode(encode({ value }))).to.deep.equal({ value });
    });
  }
});

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
}

/** Buffers cannot be frozen. */
function deepFreezeData<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return value;
  for (const part of Object.values(value)) deepFreezeData(part);
  return Object.freeze(value);
}
