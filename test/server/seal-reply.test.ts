import { expect } from 'chai';
import { SealingSessions } from '../../src/jwe/sender.js';
import { staticKeySource } from '../../src/keys/key-source.js';
import { KeyRing } from '../../src/keys/ring.js';
import { NO_CALL } from '../../src/server/records.js';
import { MessageReplier } from '../../src/server/seal-reply.js';
import { SaveRecordRequestPlan } from '../gen/clinic/v1/clinic_sealed.js';

const TOKEN = 'eyJhbGciOiJFQ0RILUVTIn0..AAAAAAAAAAAAAAAA.AA.AAAAAAAAAAAAAAAAAAAAAA';
/** Its one sealed field is for the insurer. */
const plan = { ...SaveRecordRequestPlan, sealed: SaveRecordRequestPlan.sealed.filter(({ name }) => name === 'claim') };

describe('a response with a field for somebody else', () => {
  const sessions = new SealingSessions();
  after(() => sessions.close());

  async function seal(claim: unknown): Promise<unknown> {
    const keys = staticKeySource({ insurer: (await KeyRing.create('P-256')).current() });
    const replier = new MessageReplier({ keys, sessions: () => sessions, now: Date.now });
    const { message } = await replier.seal(plan, { patientId: 'p', claim }, undefined, NO_CALL);
    return (message as { readonly claim: unknown }).claim;
  }

  it('is sealed to them, or brings a token for them', async () => {
    expect(await seal({ fields: { a: { stringValue: 'x' } } })).to.match(/^ey[\w-]+(\.[\w-]+){4}$/);
    expect(await seal(TOKEN)).to.equal(TOKEN);
  });

  it('brings no other text', async () => {
    const error = await seal('in clear').then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).to.include({ code: 'SEAL_INPUT', path: 'claim' });
  });
});
