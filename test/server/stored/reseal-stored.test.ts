import { expect } from 'chai';
import { MessageSealer } from '../../../src/client/seal-message.js';
import { SealwireError } from '../../../src/errors.js';
import type { AuthorizeRequest } from '../../../src/gen/payments/v1/payments.js';
import { SealedPaymentService } from '../../../src/gen/payments/v1/payments_sealed.js';
import { openGranted } from '../../../src/jwe/grant.js';
import { peekHeader } from '../../../src/jwe/header.js';
import type { RecipientKey } from '../../../src/jwe/recipient.js';
import { SealingSessions } from '../../../src/jwe/sender.js';
import { KeyRing } from '../../../src/keys/ring.js';
import type { CallRecord } from '../../../src/server/audit-sink.js';
import { createOpenInterceptor } from '../../../src/server/open-interceptor.js';
import { makeKey } from '../../jwe/helpers.js';
import { refusal } from '../../keys/helpers.js';
import { validRequest } from '../../support/harness.js';

const PLAN = SealedPaymentService.plan.methods['/payments.v1.PaymentService/Authorize'].request;
const FIELD = 'payments.v1.AuthorizeRequest.card';
const { orderId, amountMinor, currencyCode } = validRequest;
const PLACE = { field: FIELD, bound: { orderId, amountMinor, currencyCode } };

/** A service with an old key and the current one, and a card sealed to the old one. */
async function setUp(commit: (input: CallRecord) => Promise<void> = async () => {}, reviewerKey?: RecipientKey) {
  const old = await KeyRing.create('P-256');
  const ring = await KeyRing.create('P-521');
  const now = Math.floor(Date.now() / 1_000);
  const stored = { opening: now - 9, stored: now - 5 };
  const keys = KeyRing.fromRingKeys([...old.keys().map((key) => ({ ...key, dates: stored })), ...ring.keys()]);
  const sessions = new SealingSessions();
  const records: CallRecord[] = [];
  const noted: CallRecord[] = [];
  const { resealStored, openStored } = createOpenInterceptor({
    services: [SealedPaymentService],
    keys,
    ...(reviewerKey && { reviewerKey }),
    audit: {
      async commit(input) {
        await commit(input);
        records.push(input);
      },
      note: (input) => noted.push(input),
    },
  });
  const seal = async (key = old.current()) => {
    const request = await new MessageSealer({ sessions }).seal(PLAN, validRequest, new Map([['', key]]));
    return (request as AuthorizeRequest).card;
  };
  return { keys, resealStored, openStored, seal, records, noted };
}

describe('resealStored', () => {
  it('grants a reviewer both tokens, the old and the new one', async () => {
    const reviewer = makeKey('P-256');
    const { resealStored, seal, records } = await setUp(undefined, reviewer);
    await resealStored(await seal(), PLACE);
    const opened = records.map(({ fields: [field] }) =>
      openGranted(field?.token as string, field?.grant as string, reviewer.privateKey).plaintext.toString('latin1'),
    );
    expect(opened).to.have.length(2);
    for (const plaintext of opened) expect(plaintext).to.include(validRequest.card.number);
  });

  it('seals the same content to the current key, for the same place', async () => {
    const { keys, resealStored, openStored, seal, records } = await setUp();
    const token = await seal();
    const sealed = await resealStored(token, PLACE);
    expect(peekHeader(sealed).kid).to.equal(keys.currentKid);
    expect({ ...(await openStored(sealed, PLACE)) }).to.deep.equal(validRequest.card);
    expect(records.map(({ event, fields }) => [event, fields[0]?.token])).to.deep.equal([
      ['openStored', token],
      ['seal', sealed],
      ['openStored', sealed],
    ]);
    // The binding went with it.
    const other = { ...PLACE, bound: { ...PLACE.bound, amountMinor: '1' } };
    await refusal(() => openStored(sealed, other), 'BINDING_MISMATCH');
    const { amountMinor: _, ...less } = PLACE.bound;
    const lacking = await refusal(() => openStored(sealed, { ...PLACE, bound: less }), 'OPTIONS_INVALID');
    expect(lacking.message).to.equal('bound lacks amountMinor');
  });

  it('leaves a token of the current key as it is', async () => {
    const { keys, resealStored, seal, records } = await setUp();
    const token = await seal(keys.current());
    expect(await resealStored(token, PLACE)).to.equal(token);
    expect(records).to.deep.equal([]);
  });

  for (const event of ['openStored', 'seal'] as const) {
    it(`gives no token when the ${event} record cannot be durable`, async () => {
      const { resealStored, seal } = await setUp(async (input) => {
        if (input.event === event) throw new SealwireError('AUDIT_FAILED', 'the disk is full');
      });
      await refusal(async () => resealStored(await seal(), PLACE), 'AUDIT_FAILED');
    });
  }

  it('refuses a token of another place, and notes it', async () => {
    const { resealStored, seal, noted } = await setUp();
    const token = await seal();
    await refusal(() => resealStored(token, { ...PLACE, field: 'payments.v1.Payment.card' }), 'FIELD_MISMATCH');
    await refusal(() => resealStored(token, { ...PLACE, bound: { ...PLACE.bound, orderId: 'x' } }), 'BINDING_MISMATCH');
    await refusal(() => resealStored(token, { field: 'no.such.field' }), 'PLAN_INVALID');
    expect(noted.map(({ event, detail }) => `${event} ${detail}`)).to.deep.equal([
      'reject FIELD_MISMATCH',
      'reject BINDING_MISMATCH',
    ]);
  });

  it('needs a current key', async () => {
    const { keys, seal } = await setUp();
    const { resealStored } = createOpenInterceptor({
      services: [SealedPaymentService],
      keys: { find: (kid) => keys.findStored(kid), custody: keys.custody },
      audit: { commit: async () => {}, note() {} },
    });
    await refusal(async () => resealStored(await seal(), PLACE), 'KEY_NOT_FOUND');
  });
});
