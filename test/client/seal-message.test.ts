import { expect } from 'chai';
import { MessageSealer } from '../../src/client/seal-message.js';
import { AuthorizeRequestPlan } from '../../src/gen/payments/v1/payments_sealed.js';
import { SealingSessions } from '../../src/jwe/sender.js';
import { KeyRing } from '../../src/keys/ring.js';
import { SaveRecordRequest } from '../gen/clinic/v1/clinic.js';
import { SaveRecordRequestPlan } from '../gen/clinic/v1/clinic_sealed.js';

const TOKEN = 'eyJhbGciOiJFQ0RILUVTIn0..AAAAAAAAAAAAAAAA.AA.AAAAAAAAAAAAAAAAAAAAAA';

describe('MessageSealer', () => {
  const sessions = new SealingSessions();
  after(() => sessions.close());

  async function seal(card: string, forwardTokens?: boolean): Promise<unknown> {
    const sealer = new MessageSealer({ sessions, forwardTokens });
    const keys = new Map([['', (await KeyRing.create('P-256')).current()]]);
    const request = { orderId: 'o', amountMinor: '1', currencyCode: 'EUR', card };
    // What needs no agreement can be had at once.
    const now = card === TOKEN ? sealer.sealNow(AuthorizeRequestPlan, request, keys) : undefined;
    const sealed = await sealer.seal(AuthorizeRequestPlan, request, keys);
    if (card === TOKEN) expect(now).to.deep.equal(sealed);
    return (sealed as { card: unknown }).card;
  }

  const refusal = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => expect.fail('it was sent'),
      (error) => error.code,
    );

  it('forwards what looks like a token when it may', async () => {
    expect(await seal(TOKEN, true)).to.equal(TOKEN);
  });

  it('forwards no token of the service by default', async () => {
    expect(await refusal(seal(TOKEN))).to.equal('SEAL_INPUT');
  });

  it('sends a token for another recipient as it is, and no other text', async () => {
    const sealer = new MessageSealer({ sessions });
    const sealClaim = async (claim: string) => {
      const record = { ...SaveRecordRequest.decode(new Uint8Array()), findings: { diagnoses: [], measurements: {} } };
      const key = (await KeyRing.create('P-256')).current();
      const keys = new Map([
        ['', key],
        ['insurer', key],
      ]);
      return (await sealer.seal(SaveRecordRequestPlan, { ...record, claim }, keys)) as { claim: string };
    };
    expect((await sealClaim(TOKEN)).claim).to.equal(TOKEN);
    expect(await refusal(sealClaim('4242424242424242'))).to.equal('SEAL_INPUT');
  });

  it('never sends other text in a sealed field', async () => {
    for (const text of ['4242424242424242', '{"number": "4242"}', 'a.b.c.d.e', `${TOKEN}.x`]) {
      expect(await refusal(seal(text, true)), text).to.equal('SEAL_INPUT');
    }
  });
});
