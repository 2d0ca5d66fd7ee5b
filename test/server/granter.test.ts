import { expect } from 'chai';
import { MessageSealer } from '../../src/client/seal-message.js';
import { SealedPaymentService } from '../../src/gen/payments/v1/payments_sealed.js';
import { grantKid } from '../../src/jwe/grant.js';
import { TokenOpener } from '../../src/jwe/opener.js';
import { AgreementPool } from '../../src/jwe/pool.js';
import { SealingSessions } from '../../src/jwe/sender.js';
import { KeyRing } from '../../src/keys/ring.js';
import type { CallRecord } from '../../src/server/audit-sink.js';
import { createGranter } from '../../src/server/granter.js';
import { MessageOpener } from '../../src/server/open-message.js';
import { NO_CALL } from '../../src/server/records.js';
import { makeKey } from '../jwe/helpers.js';
import { validRequest } from '../support/harness.js';

const PLAN = SealedPaymentService.plan.methods['/payments.v1.PaymentService/Authorize'].request;

describe('grants of a message', () => {
  const reviewer = makeKey('P-256');

  /** What an audit sink is given for a request with a transient field. */
  async function openOne(withReviewer: boolean): Promise<CallRecord> {
    const ring = await KeyRing.create('P-256');
    const records: CallRecord[] = [];
    const opener = new MessageOpener({
      tokenOpener: new TokenOpener({ keys: ring }),
      audit: { commit: async (input) => void records.push(input), note: () => {} },
      granter: createGranter(withReviewer ? reviewer : undefined),
    });
    const request = { ...validRequest, securityCode: { value: '737' } };
    const sealed = await new MessageSealer({ sessions: new SealingSessions() }).seal(
      PLAN,
      request,
      new Map([['', ring.current()]]),
    );
    await opener.open(PLAN, sealed, NO_CALL);
    return records[0] as CallRecord;
  }

  it('are made for what is kept; the key of a transient field is not even wrapped', async () => {
    const { fields } = await openOne(true);
    const kids = fields.map(({ path, grant }) => [path, grant && grantKid(grant)]);
    expect(kids).to.deep.equal([
      ['card', reviewer.kid],
      ['security_code', undefined],
    ]);
  });

  it('are not made without a reviewer', async () => {
    const { fields } = await openOne(false);
    expect(fields.map(({ grant }) => grant)).to.deep.equal([undefined, undefined]);
  });
});

describe('createGranter', () => {
  const pool = new AgreementPool({ threads: 1 });
  after(() => pool.close());

  it('goes on with the old agreement until the next is ready: no call waits for it but the first', async () => {
    const key = makeKey();
    let made = 0;
    const never = new Promise<never>(() => {});
    const generate = (...args: Parameters<AgreementPool['generate']>) =>
      made++ === 0 ? pool.generate(...args) : never;
    const granter = createGranter(key, { maxTokens: 10, pool: { generate } });
    const first = await granter?.();
    for (let n = 1; n < 20; n++) expect(granter?.()).to.equal(first);
    expect(made).to.equal(2);
    expect(granter?.()).to.be.instanceOf(Promise);
  });
});
