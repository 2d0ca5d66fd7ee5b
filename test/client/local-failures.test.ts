/** What fails on the caller's side: the error says which check failed, and has it as its cause. */
import { inspect } from 'node:util';
import { credentials, type ServiceError, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../src/client/client.js';
import { createSealInterceptor } from '../../src/client/seal-interceptor.js';
import { type ErrorCode, type Reason, SealwireError } from '../../src/errors.js';
import { PaymentServiceClient } from '../../src/gen/payments/v1/payments.js';
import { SealedPaymentService } from '../../src/gen/payments/v1/payments_sealed.js';
import type { KeySource } from '../../src/keys/key-source.js';
import { clientWays } from '../support/client-ways.js';
import { failureOf } from '../support/harness.js';
import { makeRequest, type RecordingServer, startRecordingServer } from './helpers.js';

/** What a caller can tell of an error. */
interface Known {
  readonly code: ErrorCode;
  readonly reason: Reason | undefined;
  readonly field: string | undefined;
}

function expectKnown(error: ServiceError, grpcCode: status, known: Known): void {
  expect(error.code, error.message).to.equal(grpcCode);
  expect(errorDetails(error)).to.deep.include(known);
  expect(error.cause).to.be.instanceOf(SealwireError).and.include({ code: known.code });
}

/** A key source whose set was refused. */
const refusedSet: KeySource = {
  current: () => Promise.reject(new SealwireError('KEY_SET_EXPIRED', 'the set has expired')),
};
const expired: Known = { code: 'KEY_SET_EXPIRED', reason: undefined, field: undefined };

describe('a failure on the side of the caller', () => {
  let server: RecordingServer;
  before(async () => {
    server = await startRecordingServer();
  });
  after(() => server.close());

  for (const [way, optionsFor] of Object.entries(clientWays)) {
    it(`is told of a call ${way}`, async () => {
      const client = server.client(await optionsFor(server.keys.current()));
      const wrong = (change: object) => failureOf(client.authorize({ ...makeRequest('o'), ...change }));
      expectKnown(await wrong({ card: undefined }), status.INVALID_ARGUMENT, {
        code: 'FIELD_REQUIRED',
        reason: 'SEALED_FIELD_REQUIRED',
        field: 'card',
      });
      expectKnown(await wrong({ card: 'a card' }), status.FAILED_PRECONDITION, {
        code: 'SEAL_INPUT',
        reason: undefined,
        field: 'card',
      });
      const keyless = server.client({ ...(await optionsFor(server.keys.current())), keys: refusedSet });
      expectKnown(await failureOf(keyless.authorize(makeRequest('o'))), status.FAILED_PRECONDITION, expired);
    });
  }

  it('is told of a stream', async () => {
    const client = server.client({ keys: refusedSet });
    const answers = client.watchPayments({ orderId: 'o' })[Symbol.asyncIterator]();
    expectKnown(await failureOf(answers.next()), status.FAILED_PRECONDITION, expired);
    const imported = client.importPayments([{ payment: makeRequest('o') }]);
    expectKnown(await failureOf(imported), status.FAILED_PRECONDITION, expired);
  });

  it("is told by grpc-js's own client with our interceptor", async () => {
    const seal = createSealInterceptor({ services: [SealedPaymentService], keys: refusedSet });
    const client = new PaymentServiceClient(server.address, credentials.createInsecure(), { interceptors: [seal] });
    const failed = new Promise((_, reject) => client.getPayment({ paymentId: '' }, reject));
    expectKnown(await failureOf(failed), status.FAILED_PRECONDITION, expired);
    client.close();
  });

  it('is told of a key source itself', async () => {
    expect(errorDetails(await failureOf(refusedSet.current('') as Promise<object>))).to.deep.include(expired);
  });

  it('has what a function of the application has thrown as its cause, and tells nobody else', async () => {
    const thrown = new Error('canary');
    const fail = () => Promise.reject(thrown);
    const throwing = () => {
      throw thrown;
    };
    const current = () => server.keys.current();
    for (const options of [
      { keys: { current: fail } },
      { keys: { current: throwing } },
      { keys: { current }, credential: fail },
      { keys: { current }, credential: throwing },
    ]) {
      const error = await failureOf(server.client(options).authorize(makeRequest('o')));
      expect(error).to.include({ code: status.INTERNAL, details: 'internal error' });
      expect(error.cause).to.equal(thrown);
      expect(errorDetails(error)).to.equal(undefined);
    }
  });

  it('quotes nothing of a message that cannot be read', async () => {
    const request = {
      ...makeRequest('o'),
      get billingAddress(): never {
        throw new Error('canary');
      },
    };
    const error = await failureOf(server.client().authorize(request));
    expectKnown(error, status.FAILED_PRECONDITION, { code: 'SEAL_INPUT', reason: undefined, field: undefined });
    expect(inspect(error, { depth: 9 })).to.not.include('canary');
  });

  it('sends nothing', () => void expect(server.arrived.flatMap(({ messages }) => messages)).to.deep.equal([]));
});
