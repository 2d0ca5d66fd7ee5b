/** What one message can cost, whatever is in it. */
import { expect } from 'chai';
import { type ErrorCode, SealwireError } from '../../src/errors.js';
import { TokenOpener } from '../../src/jwe/opener.js';
import type { OpeningKeys } from '../../src/jwe/recipient.js';
import { SealingSessions } from '../../src/jwe/sender.js';
import { KeyRing } from '../../src/keys/ring.js';
import type { MethodPlan, ServicePlan } from '../../src/schema/plan.js';
import { MessageOpener } from '../../src/server/open-message.js';
import { NO_CALL } from '../../src/server/records.js';
import { SealedPatientService } from '../gen/clinic/v1/clinic_sealed.js';
import { SealedCheckoutService } from '../gen/shop/v1/shop_sealed.js';
import { MemorySink } from '../support/sealed-bench.js';

function requestPlan({ methods }: ServicePlan, name: string) {
  const method: MethodPlan | undefined = Object.values(methods).find(({ path }) => path.endsWith(`/${name}`));
  if (method?.request === undefined) throw new Error(`no sealed request of ${name}`);
  return method.request;
}

const checkout = requestPlan(SealedCheckoutService.plan, 'Checkout');
const saveRecord = requestPlan(SealedPatientService.plan, 'SaveRecord');

describe('MessageOpener', () => {
  let ring: KeyRing;
  before(async () => {
    ring = await KeyRing.create('P-256');
  });

  function setUp() {
    const audit = new MemorySink();
    return { audit, opener: new MessageOpener({ tokenOpener: new TokenOpener({ keys: ring }), audit }) };
  }

  async function expectRefusal(work: Promise<unknown>, code: ErrorCode): Promise<void> {
    const error = await work.catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(SealwireError).with.property('code', code);
  }

  it('stops at the first token that is too many, and its record does not grow with the message', async () => {
    const { opener, audit } = setUp();
    let read = 0;
    const notes = new Proxy(Array<string>(300_000).fill('x'), {
      get: (target, name, receiver) => {
        if (typeof name === 'string' && /^\d+$/.test(name)) read++;
        return Reflect.get(target, name, receiver);
      },
    });
    await expectRefusal(
      opener.open(checkout, { cartId: 'c', items: [], notes, substitutes: {} }, NO_CALL),
      'TOO_MANY_TOKENS',
    );
    expect(read).to.be.at.most(65);
    expect(audit.notes.map(({ fields, detail }) => [fields.length, detail])).to.deep.equal([[0, 'TOO_MANY_TOKENS']]);
  });

  it('takes 64 tokens, those for others among them', async () => {
    const { opener } = setUp();
    const sessions = new SealingSessions();
    const session = await sessions.acquire(ring.current());
    const iat = Math.floor(Date.now() / 1_000);
    const parameters = { field: 'shop.v1.CheckoutRequest.notes', cty: 'application/protobuf', iat } as const;
    const notes = Array.from({ length: 64 }, () => session.seal(new Uint8Array(), parameters));
    const message = { cartId: 'c', items: [], notes, substitutes: {} };
    const opened = (await opener.open(checkout, message, NO_CALL)) as typeof message;
    expect(opened.notes).to.have.length(64);
    await expectRefusal(opener.open(checkout, { ...message, notes: [...notes, notes[0]] }, NO_CALL), 'TOO_MANY_TOKENS');
    await sessions.close();
  });

  for (const [what, claim, code] of [
    ['is no token at all', 'not even a token', 'TOKEN_PART_COUNT'],
    ['is too large', 'x'.repeat(98_305), 'TOKEN_TOO_LARGE'],
    [
      'has a header of rubbish',
      `${'e30'}.${'A'.repeat(54)}.${'A'.repeat(16)}.AA.${'A'.repeat(21)}A`,
      'ALGORITHM_NOT_ALLOWED',
    ],
  ] as const) {
    it(`refuses what is for another recipient and ${what}, before anything is recorded durably`, async () => {
      const { opener, audit } = setUp();
      const sessions = new SealingSessions();
      const session = await sessions.acquire(ring.current());
      const iat = Math.floor(Date.now() / 1_000);
      const findings = session.seal(new Uint8Array(), {
        field: 'clinic.v1.SaveRecordRequest.findings',
        cty: 'application/protobuf',
        iat,
      });
      await sessions.close();
      const error = await opener
        .open(saveRecord, { patientId: 'p', visit: '1', findings, claim }, NO_CALL)
        .catch((reason: unknown) => reason);
      expect(error).to.be.instanceOf(SealwireError);
      // The field of ours lacks its binding; what is for others is looked at first, by form alone.
      expect([(error as SealwireError).code, (error as SealwireError).path]).to.deep.equal([code, 'claim']);
      expect(audit.records).to.deep.equal([]);
      expect(audit.notes).to.have.length(1);
    });
  }

  describe('of a token whose key it does not know', () => {
    /** Keys that come when they are asked for. */
    class LateKeys implements OpeningKeys {
      asked = 0;
      #known: KeyRing | undefined;
      readonly #after: () => Promise<KeyRing>;
      constructor(after: () => Promise<KeyRing>) {
        this.#after = after;
      }
      readonly custody = ring.custody;
      find = (kid: string) => this.#known?.find(kid);
      isRetired = () => this.#known === undefined && this.isGone;
      isGone = false;
      async refresh(): Promise<void> {
        this.asked++;
        this.#known = await this.#after();
      }
    }

    const open = async (keys: OpeningKeys): Promise<unknown> => {
      const sessions = new SealingSessions();
      const session = await sessions.acquire(ring.current());
      const iat = Math.floor(Date.now() / 1_000);
      const parameters = { field: 'shop.v1.CheckoutRequest.notes', cty: 'application/protobuf', iat } as const;
      const notes = [1, 2, 3].map(() => session.seal(new Uint8Array(), parameters));
      await sessions.close();
      const opener = new MessageOpener({ tokenOpener: new TokenOpener({ keys }), audit: new MemorySink() });
      return opener.open(checkout, { cartId: 'c', items: [], notes, substitutes: {} }, NO_CALL);
    };

    it('asks for newer keys once, and opens it', async () => {
      const keys = new LateKeys(async () => ring);
      expect(await open(keys))
        .to.have.property('notes')
        .with.lengthOf(3);
      expect(keys.asked).to.equal(1);
    });

    it('refuses it when there is none, and when nobody can look', async () => {
      const other = await KeyRing.create('P-256');
      const keys = new LateKeys(async () => other);
      await expectRefusal(open(keys), 'KEY_UNKNOWN');
      expect(keys.asked).to.equal(1);
      const broken = new LateKeys(() => Promise.reject(new Error('the disk is gone')));
      await expectRefusal(open(broken), 'KEY_UNKNOWN');
    });

    it('asks for none when the key is known to be retired', async () => {
      const keys = new LateKeys(async () => ring);
      keys.isGone = true;
      await expectRefusal(open(keys), 'KEY_RETIRED');
      expect(keys.asked).to.equal(0);
    });
  });
});
