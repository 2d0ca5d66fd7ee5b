import { expect } from 'chai';
import { SealwireError, type Violation } from '../../src/errors.js';
import { AuthorizeRequestPlan } from '../../src/gen/payments/v1/payments_sealed.js';
import { BadRequest, ErrorInfo } from '../../src/gen/portable/google/rpc/error_details.js';
import { Status } from '../../src/gen/portable/google/rpc/status.js';
import { errorStatus, readErrorDetails } from '../../src/schema/error-status.js';
import { type Validators, validateInner } from '../../src/schema/validation.js';
import { collectSealed } from '../../src/schema/walk.js';

const CANARY = 'canary 4111111111111111';
const inner = {
  card: { number: CANARY, expiryMonth: 1, expiryYear: 2031, holderName: CANARY },
  billingAddress: { line1: CANARY, line2: '', city: '', postalCode: '', countryCode: '' },
};

/** What these validators make of a payment with a card and an address. */
function refuse(validators: Validators): SealwireError {
  const sites = collectSealed(AuthorizeRequestPlan, { orderId: 'o', ...inner });
  try {
    validateInner(
      validators,
      sites,
      sites.map(({ value }) => value),
    );
  } catch (error) {
    if (error instanceof SealwireError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

function* many(count: number, path = 'number', rule = 'digits only'): Generator<Violation> {
  for (let index = 0; index < count; index++) yield { path, rule };
}

function detailsOf(error: SealwireError) {
  const { statusDetails = new Uint8Array() } = errorStatus(error);
  const details = readErrorDetails(statusDetails);
  const omitted = Number(details?.metadata['violationsOmitted'] ?? 0);
  return { bytes: statusDetails.length, violations: details?.violations ?? [], omitted, statusDetails };
}

describe('validation', () => {
  it('tells all violations of all inner messages at once, by path and rule', () => {
    const error = refuse({
      'payments.v1.CardDetails': () => [
        { path: 'number', rule: 'digits only' },
        { path: '', rule: 'is expired' },
      ],
      'payments.v1.PostalAddress': () => many(1, 'city', 'must not be empty'),
    });
    expect(error.code).to.equal('INNER_INVALID');
    const { violations, omitted } = detailsOf(error);
    expect(omitted).to.equal(0);
    expect(violations).to.deep.equal([
      { path: 'card.number', rule: 'digits only' },
      { path: 'card', rule: 'is expired' },
      { path: 'billing_address.city', rule: 'must not be empty' },
    ]);
  });

  it('sends them as google.rpc.BadRequest beside the reason', () => {
    const { statusDetails } = detailsOf(refuse({ 'payments.v1.CardDetails': () => many(1) }));
    const { details } = Status.decode(statusDetails);
    expect(details.map(({ typeUrl }) => typeUrl)).to.deep.equal([
      'type.googleapis.com/google.rpc.ErrorInfo',
      'type.googleapis.com/google.rpc.BadRequest',
    ]);
    expect(ErrorInfo.decode(details[0]!.value)).to.deep.include({
      reason: 'INNER_MESSAGE_INVALID',
      domain: 'sealwire',
    });
    const { fieldViolations } = BadRequest.decode(details[1]!.value);
    expect(fieldViolations).to.have.length(1);
    expect(fieldViolations[0]).to.deep.include({ field: 'card.number', description: 'digits only' });
  });

  for (const [name, validators, total] of [
    ['as many as a message has fields', { 'payments.v1.CardDetails': () => many(500) }, 500],
    ['more than are kept', { 'payments.v1.CardDetails': () => many(30_000) }, 30_000],
    [
      'of two messages',
      { 'payments.v1.CardDetails': () => many(900), 'payments.v1.PostalAddress': () => many(900) },
      1_800,
    ],
    ['long paths', { 'payments.v1.CardDetails': () => many(3, '日'.repeat(5_000)) }, 3],
    ['long rules', { 'payments.v1.CardDetails': () => many(3, 'number', 'x'.repeat(5_000)) }, 3],
  ] as readonly [string, Validators, number][]) {
    it(`cuts the details at 4 KiB and counts what does not fit: ${name}`, () => {
      const { bytes, violations, omitted } = detailsOf(refuse(validators));
      expect(bytes).to.be.at.most(4_096);
      expect(violations.length + omitted).to.equal(total);
      expect(omitted).to.be.greaterThan(0);
    });
  }

  it('uses the room there is', () => {
    expect(detailsOf(refuse({ 'payments.v1.CardDetails': () => many(500) })).bytes).to.be.greaterThan(2_000);
  });

  it('ends with a validator that does not', () => {
    const error = refuse({ 'payments.v1.CardDetails': () => many(Number.POSITIVE_INFINITY) });
    expect(error.violations).to.have.length(1_000);
    expect(error.violationsOmitted).to.equal(999_000);
  });

  it('quotes nothing of what it refuses', () => {
    const error = refuse({
      'payments.v1.CardDetails': () => many(2),
      'payments.v1.PostalAddress': () => many(2, 'line1', 'too long'),
    });
    const { details, statusDetails = new Uint8Array() } = errorStatus(error);
    for (const text of [error.message, details, Buffer.from(statusDetails).toString('latin1')]) {
      expect(text).not.to.match(/canary|4111/);
    }
  });

  it('takes no inherited property for a validator, and asks none for a token', () => {
    const inherited = Object.create({ 'payments.v1.CardDetails': () => many(1) }) as Validators;
    const sites = collectSealed(AuthorizeRequestPlan, { orderId: 'o', ...inner });
    validateInner(
      inherited,
      sites,
      sites.map(({ value }) => value),
    );
    validateInner(
      { 'payments.v1.CardDetails': () => many(1) },
      sites,
      sites.map(() => 'a.token'),
    );
  });
});
