import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../src/client/client.js';
import { MessageSealer } from '../../src/client/seal-message.js';
import type { AuthorizeRequest } from '../../src/gen/payments/v1/payments.js';
import { SealedPaymentService, SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import { LiveKeys } from '../../src/host/live-keys.js';
import { createApplicationLogger } from '../../src/host/log/logger.js';
import type { RecipientKey } from '../../src/jwe/recipient.js';
import { SealingSessions } from '../../src/jwe/sender.js';
import { sha256 } from '../../src/jwe/sha256.js';
import { generatePem } from '../../src/keys/generate-pem.js';
import { staticKeySource } from '../../src/keys/key-source.js';
import type { KeyRing, RingChange } from '../../src/keys/ring.js';
import { importRingKey, type RingKey, withDates } from '../../src/keys/ring-file.js';
import { RingStore } from '../../src/keys/ring-store.js';
import { callRaw, failureOf, type Harness, startHarness, validRequest } from '../support/harness.js';
import { scrape, sum } from '../support/prometheus.js';
import { TokenCatcher } from '../support/token-catcher.js';

const DAY = 86_400;

function nowSeconds(): number {
  return Math.floor(Date.now() / 1_000);
}

/** The next change that is of this kind. */
function told(ring: KeyRing, isMeant: (change: RingChange) => boolean): Promise<RingChange> {
  return new Promise((resolve) => {
    const stop = ring.onChange((change) => {
      if (!isMeant(change)) return;
      stop();
      resolve(change);
    });
  });
}

describe('LiveKeys', () => {
  it('forgets what was agreed with a key when its date passes and when it is taken out, at once', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'sealwire-live-keys-'));
    const ringPath = join(dir, 'ring.json');
    const now = nowSeconds();
    const make = async (dates: object) => withDates(await importRingKey(generatePem('P-256')), dates);
    const [ending, removed, current] = (await Promise.all([
      make({ opening: now - 2 * DAY, retired: now + 2 }),
      make({ opening: now - 2 * DAY, stored: now - DAY }),
      make({ published: now - 5 * DAY, active: now - 2 * DAY }),
    ])) as [RingKey, RingKey, RingKey];
    const store = new RingStore({ path: ringPath });
    const ring = await store.create([ending, removed, current]);
    const steps: string[] = [];
    let wake = () => {};
    const step = (name: string) => {
      steps.push(name);
      wake();
    };
    const liveKeys = new LiveKeys({
      ring,
      ringPath,
      publicPath: join(dir, 'public.jwks.json'),
      load: {},
      forgetKey: (kid) => step(`forget ${kid}`),
      audit: { commit: async ({ event, detail }) => step(`${event} ${detail}`) },
      onChanged: () => {},
      logger: createApplicationLogger('error'),
    });
    const until = async (count: number) => {
      while (steps.length < count) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    };
    try {
      await store.update((keys) => keys.filter(({ kid }) => kid !== removed.kid));
      await until(2);
      await until(4);
      expect(steps).to.deep.equal([removed, ending].flatMap(({ kid }) => [`forget ${kid}`, `retire ${kid}`]));
    } finally {
      await liveKeys.stop();
      await rm(dir, { recursive: true });
    }
  });
});

describe('keys of a running service', () => {
  let harness: Harness;
  let catcher: TokenCatcher;
  let sessions: SealingSessions;
  let store: RingStore;

  beforeEach(async () => {
    catcher = new TokenCatcher();
    sessions = new SealingSessions();
    harness = await startHarness({ wireInterceptors: [catcher.interceptor], sessions });
    store = new RingStore({ path: join(harness.dir, 'keys/ring.json') });
  });
  afterEach(() => harness.stop());

  /** A request sealed to that key, by the very agreement that the client made with it. */
  async function sealTo(key: RecipientKey, orderId: string): Promise<AuthorizeRequest> {
    const plan = SealedPaymentService.plan.methods['/payments.v1.PaymentService/Authorize'].request;
    const sealer = new MessageSealer({ sessions });
    return (await sealer.seal(plan, { ...validRequest, orderId }, new Map([['', key]]))) as AuthorizeRequest;
  }

  /** Adds a key that is active at once; the others open from then on. @returns its kid */
  async function rotate(): Promise<string> {
    const next = await importRingKey(generatePem('P-256'));
    const now = nowSeconds();
    const ends = { opening: now, stored: now + 7 * DAY };
    const change = told(harness.service.keyRing, ({ currentKid }) => currentKid === next.kid);
    const previous = (keys: readonly RingKey[]) =>
      keys.map((key) => (key.dates.opening === undefined ? withDates(key, { ...key.dates, ...ends }) : key));
    await store.update((keys) => [...previous(keys), withDates(next, { published: now, active: now })]);
    await change;
    return next.kid;
  }

  async function setDates(kid: string, dates: object, to: string | undefined): Promise<void> {
    const change = told(harness.service.keyRing, ({ changes }) =>
      changes.some((each) => each.kid === kid && each.to === to),
    );
    await store.update((keys) =>
      keys.map((key) => (key.kid === kid ? withDates(key, { ...key.dates, ...dates }) : key)),
    );
    await change;
  }

  async function auditDetails(event: string): Promise<string[]> {
    return (await harness.auditRecords()).filter((line) => line.event === event).map(({ detail }) => detail);
  }

  it('changes the key that senders use, opens with both, and records it', async () => {
    const first = harness.service.kid;
    await harness.client.authorize(validRequest);
    const second = await rotate();
    expect(harness.service.kid).to.equal(second);
    // The client still has the old key.
    await harness.client.authorize({ ...validRequest, orderId: 'order-2' });
    expect(catcher.kids).to.deep.equal([first, first]);
    await harness.stopService();
    expect(await auditDetails('rotate')).to.deep.equal([`from ${first} to ${second}`]);
    const path = join(harness.dir, 'keys/public.jwks.json');
    const { keys } = JSON.parse(await readFile(path, 'utf8')) as { keys: { kid: string }[] };
    expect(keys.map(({ kid }) => kid)).to.deep.equal([second]);
    expect((await stat(path)).mode & 0o777).to.equal(0o644);
  });

  it('refuses a retired key, with the agreement that was cached too, and clients go on', async () => {
    const first = harness.service.kid;
    const key = harness.service.keyRing.current();
    await harness.client.authorize(validRequest);
    const second = await rotate();
    const fresh = { ...validRequest, orderId: 'order-2' };
    await harness.client.authorize(fresh);
    expect(catcher.kids).to.deep.equal([first, first]);
    await setDates(first, { withdrawn: nowSeconds() }, 'retired');
    // Sealed by the very agreement session whose key the service had in its cache.
    const error = await failureOf(callRaw(harness.raw, await sealTo(key, 'order-3')));
    expect(errorDetails(error)).to.deep.include({ reason: 'SEALED_FIELD_UNKNOWN_KEY' });
    expect(errorDetails(error)?.metadata).to.include({ currentKid: second });
    await harness.client.authorize({ ...validRequest, orderId: 'order-4' });
    expect(catcher.kids.at(-1)).to.equal(second);
    await harness.stopService();
    expect(await auditDetails('retire')).to.deep.equal([first]);
    const rejected = (await harness.auditRecords()).filter(({ event }) => event === 'reject');
    expect(rejected[0]?.fields[0]?.reason).to.equal('KEY_RETIRED');
  });

  it('keeps serving with a bad file, and says so in the log', async () => {
    const path = join(harness.dir, 'keys/ring.json');
    const good = await readFile(path, 'utf8');
    await writeFile(path, good.slice(0, 50));
    await harness.loggedText('the key ring cannot be used');
    await harness.client.authorize(validRequest);
    expect(harness.logged()).to.contain('KEY_FILE_INCOMPLETE');
    const isStale = async () =>
      sum((await scrape(harness.service.metricsAddress ?? '')).samples, 'sealwire_ring_stale');
    expect(await isStale()).to.equal(1);
    const kid = harness.service.kid;
    await writeFile(path, good);
    await harness.loggedText('the key ring can be used again');
    expect(harness.service.kid).to.equal(kid);
    await rotate();
    expect(await isStale()).to.equal(0);
    await harness.client.authorize({ ...validRequest, orderId: 'order-2' });
  });

  it('seals stored cards anew when their key is good for stored tokens only, and they outlive it', async () => {
    const first = harness.service.kid;
    const key = harness.service.keyRing.current();
    const { paymentId } = await harness.client.authorize(validRequest);
    const second = await rotate();
    const before = harness.service.app.store.find(validRequest.orderId)?.card;
    await setDates(first, { active: nowSeconds() - 99, opening: nowSeconds() - 9, stored: nowSeconds() - 5 }, 'stored');
    await harness.loggedText('stored cards sealed anew');
    const after = harness.service.app.store.find(validRequest.orderId)?.card as string;
    expect(after).not.to.equal(before);
    expect(TokenCatcher.kidOf(after)).to.equal(second);
    // From the wire the old key opens nothing any more.
    const error = await failureOf(callRaw(harness.raw, await sealTo(key, 'order-3')));
    expect(errorDetails(error)?.reason).to.equal('SEALED_FIELD_UNKNOWN_KEY');
    await setDates(first, { withdrawn: nowSeconds() }, 'retired');
    const { payment } = await harness.client.getPayment({ paymentId });
    expect(payment?.card?.number).to.equal(validRequest.card.number);
    await harness.stopService();
    const records = await harness.auditRecords();
    const resealed = records.filter(({ detail }) => detail.startsWith('re-sealed'));
    expect(resealed.map(({ event, detail }) => [event, detail])).to.have.deep.members([
      ['openStored', `re-sealed to ${second}`],
      ['seal', `re-sealed from ${first}`],
    ]);
    // The log has the token whole already.
    const reopened = resealed.find(({ event }) => event === 'openStored')?.fields[0]?.token;
    expect(reopened).to.include({ digest: sha256(before as string) });
    expect(resealed.find(({ event }) => event === 'seal')?.fields[0]?.token).to.equal(after);
  });

  it('opens stored tokens with a stored key until they are sealed anew', async () => {
    const { paymentId } = await harness.client.authorize(validRequest);
    const first = harness.service.kid;
    await rotate();
    const card = harness.service.app.store.find(validRequest.orderId)?.card as never;
    await setDates(first, { active: nowSeconds() - 99, opening: nowSeconds() - 9, stored: nowSeconds() - 5 }, 'stored');
    await harness.loggedText('stored cards sealed anew');
    harness.service.app.store.replaceCard(paymentId, card);
    const { payment } = await harness.client.getPayment({ paymentId });
    expect(payment?.card?.number).to.equal(validRequest.card.number);
  });
});

describe('a service whose ring file has just got a key', () => {
  it('opens what is sealed to it before it has read the file: requests, and reply tokens', async () => {
    const harness = await startHarness();
    const store = new RingStore({ path: join(harness.dir, 'keys/ring.json') });
    const { address } = harness.service;
    let paymentId = '';
    try {
      for (let round = 0; round < 6; round++) {
        const key = await importRingKey(generatePem('P-521'));
        const sessions = new SealingSessions();
        // The call must not wait for an agreement: by then the service might have read the file.
        await sessions.acquire(key);
        const client = new SealedPaymentServiceClient(address, credentials.createInsecure(), {
          keys: staticKeySource(key),
          sessions,
        });
        expect((await failureOf(client.authorize(validRequest))).code, 'of a key in no ring').to.equal(
          status.FAILED_PRECONDITION,
        );
        await store.update((keys) => [...keys, key]);
        if (round % 2 === 0) ({ paymentId } = await client.authorize({ ...validRequest, orderId: `order-${round}` }));
        else expect((await client.getPayment({ paymentId })).payment?.card?.number).to.equal(validRequest.card.number);
        client.close();
      }
    } finally {
      await harness.stop();
    }
  });
});
