/** What fails on the side of the page: the error says which check failed, and has it as its cause. */
import { getEventListeners } from 'node:events';
import { inspect } from 'node:util';
import { clone, create, createFileRegistry, type DescMessage, type DescService } from '@bufbuild/protobuf';
import {
  BoolValueSchema,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  StringValueSchema,
} from '@bufbuild/protobuf/wkt';
import { Code, type ConnectError } from '@connectrpc/connect';
import { expect } from 'chai';
import { type ErrorCode, type Reason, SealwireError } from '../../src/errors.js';
import { CardDetailsSchema, PaymentService, PostalAddressSchema } from '../../src/gen/payments/v1/payments_pb.js';
import { sealed } from '../../src/gen/sealwire/v1/sealed_pb.js';
import { errorDetails } from '../../src/web/call-errors.js';
import { SealedWebClient } from '../../src/web/client.js';
import type { WebKeySource, WebRecipientKey } from '../../src/web/crypto/recipient.js';
import { WebSealer } from '../../src/web/crypto/sealer.js';
import { Deferred, type RecordingServer, startRecordingServer } from '../client/helpers.js';
import { grpcTransport, webKeys } from '../support/web-client.js';
import { connect, failureOf, webRequest } from './helpers.js';

/** What a page can tell of an error. */
interface Known {
  readonly code: ErrorCode;
  readonly reason: Reason | undefined;
  readonly field: string | undefined;
}

function expectKnown(error: ConnectError, code: Code, known: Known): void {
  expect(error.code, error.message).to.equal(code);
  expect(errorDetails(error)).to.deep.include(known);
  expect(error.cause).to.be.instanceOf(SealwireError).and.include({ code: known.code });
}

/** Asked for a key, it never answers. */
class SilentKeys implements WebKeySource {
  readonly #asked = new Deferred<void>();
  readonly asked = this.#asked.promise;

  current(): Promise<WebRecipientKey> {
    this.#asked.resolve();
    return new Promise(() => {});
  }

  async refresh(): Promise<void> {}
}

/** What some tools make of a file. */
function withoutOptions(file: FileDescriptorProto): FileDescriptorProto {
  const bare = clone(FileDescriptorProtoSchema, file);
  bare.dependency = [];
  for (const { field } of bare.messageType) for (const each of field) delete each.options;
  return bare;
}

describe('a failure on the side of the page', () => {
  let server: RecordingServer;
  before(async () => {
    server = await startRecordingServer();
  });
  after(() => {
    expect(server.arrived, 'nothing was sent').to.have.length(0);
    server.close();
  });

  const authorize = (change: object) => failureOf(connect(server).authorize({ ...webRequest('o'), ...change }));

  it('is told with the path of the field', async () => {
    expectKnown(await authorize({ card: undefined }), Code.InvalidArgument, {
      code: 'FIELD_REQUIRED',
      reason: 'SEALED_FIELD_REQUIRED',
      field: 'card',
    });
    for (const [change, field, said] of [
      [{ card: 'a card' }, 'card', 'card must be a payments.v1.CardDetails'],
      [{ card: create(PostalAddressSchema) }, 'card', 'card is not a valid payments.v1.CardDetails'],
      [{ card: { number: '4', expiryMonth: 'canary' } }, 'card', 'card.expiry_month is not valid'],
      [{ amountMinor: 'canary' }, 'card', 'amount_minor is not a valid int64'],
      [{ orderId: 5 }, 'card', 'order_id is not a valid string'],
    ] as const) {
      const error = await authorize(change);
      expectKnown(error, Code.FailedPrecondition, { code: 'SEAL_INPUT', reason: undefined, field });
      expect(error.rawMessage).to.equal(`sealing failed: SEAL_INPUT: ${said}`);
      expect(inspect(error, { depth: 9 })).to.not.contain('canary');
    }
  });

  it('quotes nothing that a getter of the message has thrown', async () => {
    const card = {
      get number(): string {
        throw new Error('canary');
      },
    };
    for (const change of [
      { card },
      Object.defineProperty({}, 'orderId', { get: () => card.number, enumerable: true }),
    ]) {
      const error = await failureOf(
        connect(server).authorize(Object.assign(Object.create(change), { amountMinor: 1n })),
      );
      expect(errorDetails(error)).to.include({ code: 'SEAL_INPUT' });
      expect(inspect(error, { depth: 9 })).to.not.contain('canary');
    }
  });

  it('is told of a limit, and of a key that cannot be had', async () => {
    const card = { ...webRequest('o').card, holderName: 'x'.repeat(70_000) };
    expectKnown(await authorize({ card }), Code.ResourceExhausted, {
      code: 'INNER_TOO_LARGE',
      reason: 'LIMIT_EXCEEDED',
      field: 'card',
    });
    for (const [code, connectCode] of [
      ['KEY_SET_EXPIRED', Code.FailedPrecondition],
      ['KEY_SET_UNAVAILABLE', Code.Unavailable],
    ] as const) {
      const current = () => Promise.reject(new SealwireError(code, 'no set'));
      const client = connect(server, { keys: { current, refresh: async () => {} } });
      const known = { code, reason: undefined, field: undefined };
      expectKnown(await failureOf(client.authorize(webRequest('o'))), connectCode, known);
      const stream = client.watchPayments({ orderId: 'o' })[Symbol.asyncIterator]();
      expectKnown(await failureOf(stream.next()), connectCode, known);
    }
  });

  it('has what a function of the application has thrown as its cause, and tells nobody else', async () => {
    const thrown = new Error('canary');
    const fail = () => Promise.reject(thrown);
    for (const options of [{ credential: fail }, { keys: { current: fail, refresh: async () => {} } }]) {
      const error = await failureOf(connect(server, options).authorize(webRequest('o')));
      expect([error.code, error.rawMessage, error.cause]).to.deep.equal([Code.Internal, 'internal error', thrown]);
      expect(errorDetails(error)).to.equal(undefined);
    }
  });

  for (const [name, code] of [
    ['signal', Code.Canceled],
    ['timeout', Code.DeadlineExceeded],
  ] as const) {
    it(`is told when the ${name} ends a call that waits for a key`, async () => {
      const calls = [
        (client: ReturnType<typeof connect>, options: object) => client.authorize(webRequest('o'), options),
        (client: ReturnType<typeof connect>, options: object) =>
          client.watchPayments({ orderId: 'o' }, options)[Symbol.asyncIterator]().next(),
      ];
      for (const call of calls) {
        const keys = new SilentKeys();
        const abort = new AbortController();
        const options = name === 'signal' ? { signal: abort.signal } : { timeoutMs: 20, signal: abort.signal };
        const failed = failureOf(call(connect(server, { keys }), options));
        await keys.asked;
        if (name === 'signal') abort.abort();
        expect((await failed).code).to.equal(code);
        expect(getEventListeners(abort.signal, 'abort')).to.deep.equal([]);
      }
      const error = await failureOf(connect(server).getPayment({}, { signal: AbortSignal.abort() }));
      expect(error.code).to.equal(Code.Canceled);
    });
  }

  it('is told when descriptors seal other fields than the client was generated for', () => {
    const options = { sealer: new WebSealer({ keys: webKeys(server.keys) }) };
    const inner = [CardDetailsSchema, PostalAddressSchema, StringValueSchema];
    const make = (service: DescService, types: readonly DescMessage[]) =>
      new SealedWebClient(service, sealed, types, grpcTransport(server.address), options);
    make(PaymentService, inner);
    const bare = createFileRegistry(withoutOptions(PaymentService.file.proto), () => undefined);
    for (const refused of [
      () => make(PaymentService, inner.slice(1)),
      () => make(PaymentService, [...inner, BoolValueSchema]),
      () => make(bare.getService(PaymentService.typeName)!, inner),
    ]) {
      expect(refused)
        .to.throw(SealwireError, /generate both files again/)
        .with.property('code', 'PLAN_INVALID');
    }
  });
});
