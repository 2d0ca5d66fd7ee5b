import { status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { type Reason, reasonByStep, SealwireError, type StepCode } from '../../src/errors.js';
import { readErrorDetails, STATUS_DETAILS_KEY, statusByReason } from '../../src/schema/error-status.js';
import { toStatusObject } from '../../src/server/status-object.js';

const expectedCodes: Record<Reason, status> = {
  SEALED_FIELD_REQUIRED: status.INVALID_ARGUMENT,
  SEALED_FIELD_INVALID: status.INVALID_ARGUMENT,
  SEALED_FIELD_STALE: status.INVALID_ARGUMENT,
  SEALED_FIELD_REPLAYED: status.ALREADY_EXISTS,
  SEALED_FIELD_UNKNOWN_KEY: status.FAILED_PRECONDITION,
  INNER_MESSAGE_INVALID: status.INVALID_ARGUMENT,
  LIMIT_EXCEEDED: status.RESOURCE_EXHAUSTED,
  REPLY_KEY_MISSING: status.FAILED_PRECONDITION,
  CALLER_NOT_AUTHENTICATED: status.UNAUTHENTICATED,
  AUDIT_UNAVAILABLE: status.UNAVAILABLE,
  CUSTODY_UNAVAILABLE: status.UNAVAILABLE,
};

function detailsOf(error: unknown, context?: Parameters<typeof toStatusObject>[1]) {
  const [bytes] = toStatusObject(error, context).metadata.get(STATUS_DETAILS_KEY);
  return Buffer.isBuffer(bytes) ? readErrorDetails(bytes) : undefined;
}

describe('status mapping', () => {
  for (const [step, reason] of Object.entries(reasonByStep) as [StepCode, Reason][]) {
    it(`${step} reaches the caller as ${reason}`, () => {
      const error = new SealwireError(step, 'secret 4111111111111111', { path: 'items[3].card' });
      const mapped = toStatusObject(error);
      expect(mapped.code).to.equal(expectedCodes[reason]);
      expect(mapped.details).to.equal(statusByReason[reason].text);
      expect(detailsOf(error)).to.deep.include({ reason, field: 'items[3].card' });
      expect(JSON.stringify(mapped.metadata.toJSON())).not.to.contain('4111');
    });
  }

  it('gives byte-identical trailers for every step of SEALED_FIELD_INVALID at one field', () => {
    const steps = (Object.entries(reasonByStep) as [StepCode, Reason][]).filter(
      ([, r]) => r === 'SEALED_FIELD_INVALID',
    );
    const seen = new Set(
      steps.map(([step], index) => {
        const { code, details, metadata } = toStatusObject(new SealwireError(step, `text ${index}`, { path: 'card' }));
        return JSON.stringify([code, details, metadata.toHttp2Headers()]);
      }),
    );
    expect(steps.length).to.be.greaterThan(10);
    expect(seen.size).to.equal(1);
  });

  it('tells the current kid with SEALED_FIELD_UNKNOWN_KEY only', () => {
    const context = { currentKid: 'kid-1', nowMs: 5_000 };
    expect(detailsOf(new SealwireError('KEY_UNKNOWN', ''), context)?.metadata).to.deep.equal({ currentKid: 'kid-1' });
    expect(detailsOf(new SealwireError('DECRYPTION_FAILED', ''), context)?.metadata).to.deep.equal({});
  });

  it("tells the server's time with SEALED_FIELD_STALE only", () => {
    const context = { currentKid: 'kid-1', nowMs: 5_900 };
    expect(detailsOf(new SealwireError('TOKEN_STALE', ''), context)?.metadata).to.deep.equal({ serverTime: '5' });
  });

  it('tells the age of a token with SEALED_FIELD_STALE only', () => {
    const old = new SealwireError('TOKEN_STALE', '', { ageSeconds: 301 });
    expect(detailsOf(old)?.metadata).to.deep.equal({ ageSeconds: '301' });
    expect(detailsOf(new SealwireError('REPLAYED', '', { ageSeconds: 301 }))?.metadata).to.deep.equal({});
  });

  it('tells the kind of every limit, and of nothing else', () => {
    const kinds = Object.entries(reasonByStep).map(([step, reason]) => {
      const { limit } = detailsOf(new SealwireError(step as StepCode, ''))?.metadata ?? {};
      expect(limit !== undefined, step).to.equal(reason === 'LIMIT_EXCEEDED');
      return limit;
    });
    expect(new Set(kinds)).to.deep.equal(new Set([undefined, 'size', 'count', 'rate', 'capacity']));
  });

  for (const [name, error] of [
    ['a plain Error', new Error('secret')],
    ['a local error', new SealwireError('KEY_FILE_INVALID', '/etc/secret')],
    ['a string', 'secret'],
    ['undefined', undefined],
    ['an object with a grpc code', { code: 5, details: 'secret' }],
  ] as const) {
    it(`gives ${name} a fixed text`, () => {
      const mapped = toStatusObject(error);
      expect([mapped.code, mapped.details]).to.deep.equal([status.INTERNAL, 'internal error']);
      expect(mapped.metadata.toJSON()).to.deep.equal({});
    });
  }

  it('reads no details from rubbish or from another domain', () => {
    expect(readErrorDetails(Buffer.from('ffff', 'hex'))).to.equal(undefined);
    expect(readErrorDetails(Buffer.alloc(0))).to.equal(undefined);
  });
});
