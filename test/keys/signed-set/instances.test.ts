/** Instances that share a ring file sign one version, and a client that goes from one to another loses nothing. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { RecipientKey } from '../../../src/jwe/recipient.js';
import { KeyRing } from '../../../src/keys/ring.js';
import { importRingKey, withDates } from '../../../src/keys/ring-file.js';
import { RingStore } from '../../../src/keys/ring-store.js';
import { planRotation } from '../../../src/keys/rotation.js';
import { signDelegation } from '../../../src/keys/signed-set/delegation.js';
import { verifyKeySet } from '../../../src/keys/signed-set/key-set.js';
import { KeySetPublisher, type SetSigner } from '../../../src/keys/signed-set/key-set-publisher.js';
import { SigningKey } from '../../../src/keys/signed-set/signing-key.js';
import { noMemory, resolveCacheSettings } from '../../../src/profile/key-sets/cache-settings.js';
import { CachedKeySet } from '../../../src/profile/key-sets/cached-key-set.js';
import { makePair } from '../helpers.js';

const START = 1_790_000_000;
const HOUR = 3_600;

describe('instances that share a ring', () => {
  let dir: string;
  let root: SigningKey;
  let signer: SetSigner;
  let now: number;
  let store: RingStore;
  const running: { close(): unknown }[] = [];
  const nowMs = () => now * 1_000;

  before(async () => {
    root = await SigningKey.generate();
    const key = await SigningKey.generate();
    const claims = { recipient: 'payments', signer: key.publicJwk, nowMs: START * 1_000 };
    const delegation = await signDelegation(root, claims);
    signer = { key, delegation, delegationExpiresAt: START + 90 * 86_400 };
  });
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sealwire-instances-'));
    now = START;
    store = new RingStore({ path: join(dir, 'ring.json'), ring: { now: nowMs } });
  });
  afterEach(async () => {
    for (const each of running.splice(0)) await each.close();
    await rm(dir, { recursive: true });
  });

  const makeKey = () => importRingKey(makePair('P-256').jwk);

  /** A process: it has the ring as the file was when it last looked. */
  class Instance {
    readonly ring: KeyRing;
    readonly publisher: KeySetPublisher;

    private constructor(name: string, ring: KeyRing) {
      this.ring = ring;
      this.publisher = new KeySetPublisher({
        issuer: 'payments',
        keys: ring,
        signer: async () => signer,
        file: join(dir, `${name}.jws`),
        onUnversioned: () => Promise.reject(new Error('the ring has a version')),
        onError: (error) => expect.fail(String(error)),
        now: nowMs,
      });
      running.push(this.publisher);
    }

    static async start(name: string): Promise<Instance> {
      const instance = new Instance(name, await store.load());
      await instance.publisher.update();
      return instance;
    }

    async look(): Promise<void> {
      this.ring.replace(await store.load());
      await this.publisher.update();
    }

    get version() {
      return this.publisher.current()?.version;
    }
  }

  it('sign the same version of the same keys at any moment, since whenever they run', async () => {
    await store.create([withDates(await makeKey(), { active: START - 9 })]);
    const second = await makeKey();
    await store.update((keys) => {
      const { next, previous } = planRotation(
        keys,
        { publishAhead: HOUR, openAfter: 2 * 86_400, keepStored: HOUR },
        now,
      );
      const dated = keys.map((key) => withDates(key, previous.get(key.kid) ?? key.dates));
      return [...dated, withDates(second, { ...next, published: START + 60 })];
    });
    const file = (await store.load()).version();
    const instances = [await Instance.start('a'), await Instance.start('b')];
    const dates = [60, HOUR, HOUR + 2 * 86_400, 2 * HOUR + 2 * 86_400].map((after) => START + after);
    const versions: number[] = [];
    const contents = new Set<string>();
    for (const date of dates) {
      for (now of [date - 1, date, date + 1]) {
        // One of them has just been started.
        instances[date % 2] = await Instance.start(`${now}`);
        for (const { publisher } of instances) await publisher.update();
        const sets = await Promise.all(
          instances.map(({ publisher }) =>
            verifyKeySet(publisher.current()?.jws ?? '', { roots: [root.kid], issuer: 'payments', nowMs: nowMs() }),
          ),
        );
        expect(sets[1]?.version).to.deep.equal(sets[0]?.version);
        expect(sets[1]?.fingerprint).to.equal(sets[0]?.fingerprint);
        expect(sets[0]?.version.changed).to.equal(file?.changed);
        versions.push(sets[0]?.version.passed as number);
        contents.add(`${sets[0]?.version.passed} ${sets[0]?.fingerprint}`);
      }
    }
    const before = START - 9;
    const [published, active, stored, retired] = dates as [number, number, number, number];
    expect(versions).to.deep.equal(
      [before, published, active, stored].flatMap((passed, index) => [passed, dates[index], dates[index]]),
    );
    expect(versions.at(-1)).to.equal(retired);
    // Each version stands for one set of keys.
    expect(contents.size).to.equal(new Set(versions).size);
  });

  /** Ways in which two instances come to see a new ring, and in which a client asks them. */
  for (const first of [0, 1]) {
    for (const asked of [
      [0, 1],
      [1, 0],
    ]) {
      it(`lose no client while ${'ab'[first]} has seen a rotation and the other has not, asked in the order ${asked}`, async () => {
        await store.create([withDates(await makeKey(), { active: START - 9 })]);
        const instances = [await Instance.start('a'), await Instance.start('b')];
        let target = 0;
        const codes: string[] = [];
        const fetch = async () => ({ text: instances[target]?.publisher.current()?.jws ?? '', maxAgeMs: 60_000 });
        let monotonicMs = 0;
        const options = { roots: [root.kid], issuer: 'payments', now: nowMs, monotonicNow: () => monotonicMs };
        const settings = resolveCacheSettings<RecipientKey>(
          { ...options, onProblem: ({ error }) => codes.push(error.code) },
          { memory: noMemory, verify: verifyKeySet, warn: () => {} },
        );
        const client = new CachedKeySet<RecipientKey>('payments', fetch, settings);
        running.push(client);
        let highest = '0/0';
        /** Asks both, and is never without a key that both open. @returns who was refused */
        const askBoth = async (): Promise<string> => {
          let refused = '';
          for (target of asked) {
            monotonicMs += 1_000;
            codes.length = 0;
            await client.refresh().catch(() => {});
            if (codes.length > 0) refused += 'ab'[target];
            for (const code of codes) expect(code).to.equal('KEY_SET_ROLLED_BACK');
            const { kid } = await client.current();
            for (const { ring } of instances) expect(ring.find(kid), kid).not.to.equal(undefined);
            const { changed = 0, passed = 0 } = client.set?.version ?? {};
            expect(`${changed}/${passed}` >= highest).to.equal(true);
            highest = `${changed}/${passed}`;
          }
          return refused;
        };
        expect(await askBoth()).to.equal('');

        const next = await makeKey();
        await store.update((keys) => {
          const planned = planRotation(keys, { publishAhead: HOUR }, now);
          const dated = keys.map((key) => withDates(key, planned.previous.get(key.kid) ?? key.dates));
          return [...dated, withDates(next, planned.next)];
        });
        await instances[first]?.look();
        const behind = 'ab'[1 - first] as string;
        // Who asks the other one first learns nothing new from it, and misses nothing.
        expect(await askBoth()).to.equal(asked[0] === first ? behind : '');
        expect(await askBoth()).to.equal(behind);
        now += 60;
        await instances[1 - first]?.look();
        expect(instances[0]?.version).to.deep.equal(instances[1]?.version);
        expect(await askBoth()).to.equal('');
        // The new key's time comes.
        now = START + HOUR + 1;
        for (const { publisher } of instances) await publisher.update();
        expect(await askBoth()).to.equal('');
        expect((await client.current()).kid).to.equal(next.kid);
        // An older ring is put back at one of them: that is a rollback.
        const old = await store.load();
        instances[first]?.ring.replace(KeyRing.fromRingKeys(old.keys(), { now: nowMs }, START - 1));
        await instances[first]?.publisher.update();
        expect(await askBoth()).to.equal('ab'[first]);
      });
    }
  }
});
