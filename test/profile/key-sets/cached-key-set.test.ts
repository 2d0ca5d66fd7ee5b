/** One recipient's set at a sender: when it is fetched, how long it is used, and what is never used. */
import { expect } from 'chai';
import { SealwireError } from '../../../src/errors.js';
import type { RecipientKey } from '../../../src/jwe/recipient.js';
import { verifyKeySet } from '../../../src/keys/signed-set/key-set.js';
import {
  type CacheSettings,
  type KeySetMemory,
  type KeySetProblem,
  noMemory,
  type RememberedSet,
} from '../../../src/profile/key-sets/cache-settings.js';
import { CachedKeySet, type FetchedSet } from '../../../src/profile/key-sets/cached-key-set.js';
import { refusal } from '../../keys/helpers.js';
import { makeSealingKey, type SetChanges, TestIssuer } from '../../support/signed-sets.js';

const START_MS = 1_790_000_000_000;
const HOUR_MS = 3_600_000;

/** A key service in one function, two clocks that stand still, and what the cache told. */
class Bench {
  readonly issuer = new TestIssuer('payments', START_MS);
  nowMs = START_MS;
  monotonicMs = 0;
  fetches = 0;
  readonly problems: KeySetProblem[] = [];
  /** What the next fetches answer. */
  answer: () => Promise<FetchedSet>;
  readonly cache: CachedKeySet<RecipientKey>;

  constructor(settings: Partial<CacheSettings<RecipientKey>> = {}) {
    this.answer = this.serve({});
    this.cache = new CachedKeySet('payments', () => this.#fetch(), {
      roots: [this.issuer.root.kid],
      memory: noMemory,
      verify: verifyKeySet,
      deadlineMs: 5_000,
      minAgeMs: 10_000,
      maxAgeMs: 6 * HOUR_MS,
      retryMs: 1_000,
      maxRetryMs: 60_000,
      now: () => this.nowMs,
      monotonicNow: () => this.monotonicMs,
      random: () => 0.5,
      onProblem: (problem) => this.problems.push(problem),
      ...settings,
    });
  }

  serve(changes: SetChanges, maxAgeMs = 900_000): () => Promise<FetchedSet> {
    return async () => ({ text: await this.issuer.set(changes), maxAgeMs });
  }

  fail(): void {
    this.answer = () =>
      Promise.reject(new SealwireError('KEY_SET_UNAVAILABLE', 'the key service answered UNAVAILABLE'));
  }

  pass(ms: number): void {
    this.nowMs += ms;
    this.monotonicMs += ms;
  }

  /** Waits for what goes on in the background. */
  async until(isDone: () => boolean): Promise<void> {
    while (!isDone()) await new Promise((resolve) => setImmediate(resolve));
  }

  #fetch(): Promise<FetchedSet> {
    this.fetches++;
    return this.answer();
  }
}

describe('a cached key set', () => {
  const benches: Bench[] = [];
  function makeBench(settings: Partial<CacheSettings<RecipientKey>> = {}): Bench {
    const bench = new Bench(settings);
    benches.push(bench);
    return bench;
  }
  afterEach(() => {
    for (const { cache } of benches.splice(0)) cache.close();
  });

  it('is fetched once, however many callers wait for it, and then given at once', async () => {
    const bench = makeBench();
    const keys = await Promise.all(Array.from({ length: 100 }, () => bench.cache.current()));
    expect(new Set(keys.map(({ kid }) => kid))).to.deep.equal(new Set([bench.issuer.key.jwk.kid]));
    expect(bench.cache.current()).to.include({ kid: bench.issuer.key.jwk.kid });
    expect(bench.fetches).to.equal(1);
  });

  it('is fetched anew ahead of its time in the background, once', async () => {
    const bench = makeBench();
    await bench.cache.current();
    const next = makeSealingKey().jwk;
    bench.answer = bench.serve({ claims: { ver: [bench.issuer.now + 1, 0], keys: [next] } });
    // 80% of 900 s, by the random number.
    bench.pass(720_000 - 1);
    expect(bench.cache.current()).to.include({ kid: bench.issuer.key.jwk.kid });
    expect(bench.fetches).to.equal(1);
    bench.pass(1);
    for (let call = 0; call < 10; call++) {
      expect(bench.cache.current()).to.include({ kid: bench.issuer.key.jwk.kid });
    }
    await bench.until(() => bench.cache.set?.version.changed === bench.issuer.now + 1);
    expect(bench.fetches).to.equal(2);
    expect(bench.cache.current()).to.include({ kid: next.kid });
  });

  it('switches keys by their dates without a fetch', async () => {
    const bench = makeBench();
    const { now } = bench.issuer;
    const [first, second] = [makeSealingKey().jwk, makeSealingKey().jwk];
    const keys = [
      { ...first, exp: now + 3_600 },
      { ...second, nbf: now + 3_600 },
    ];
    bench.answer = bench.serve({ claims: { keys } }, 24 * HOUR_MS);
    expect(await bench.cache.current()).to.include({ kid: first.kid });
    bench.pass(HOUR_MS - 1);
    expect(bench.cache.current()).to.include({ kid: first.kid });
    bench.pass(1);
    expect(bench.cache.current()).to.include({ kid: second.kid });
    expect(bench.fetches).to.equal(1);
  });

  it('uses a key for 60 s past its end when there is no other, then fetches, and then says that there is none', async () => {
    const bench = makeBench();
    const keys = [{ ...bench.issuer.key.jwk, exp: bench.issuer.now + 100 }];
    bench.answer = bench.serve({ claims: { keys } });
    await bench.cache.current();
    bench.pass(99_999);
    await bench.cache.current();
    expect(bench.fetches).to.equal(1);
    bench.pass(1);
    expect(bench.cache.current()).to.include({ kid: bench.issuer.key.jwk.kid });
    // In the background: there should be another one by now.
    expect(bench.cache.current()).to.include({ kid: bench.issuer.key.jwk.kid });
    await bench.until(() => bench.fetches === 2);
    await bench.cache.refresh();
    bench.pass(59_999);
    expect(bench.cache.current()).to.include({ kid: bench.issuer.key.jwk.kid });
    bench.pass(1);
    bench.answer = bench.serve({ claims: { keys } });
    await refusal(() => bench.cache.current(), 'KEY_SET_NO_ACTIVE_KEY');
    const { fetches } = bench;
    // Not for every caller anew.
    await refusal(() => bench.cache.current(), 'KEY_SET_NO_ACTIVE_KEY');
    expect(bench.fetches).to.equal(fetches);
  });

  describe('in an outage', () => {
    it('is used until its end, then nothing is: it fails closed and tells why and since when', async () => {
      const bench = makeBench();
      await bench.cache.current();
      bench.fail();
      for (let hour = 1; hour < 24; hour++) {
        bench.pass(HOUR_MS);
        expect(bench.cache.current()).to.include({ kid: bench.issuer.key.jwk.kid });
        await bench.until(() => bench.problems.length === hour);
      }
      bench.pass(HOUR_MS - 1);
      expect(bench.cache.current()).to.include({ kid: bench.issuer.key.jwk.kid });
      bench.pass(1);
      const error = await refusal(() => bench.cache.current(), 'KEY_SET_UNAVAILABLE');
      const end = new Date(START_MS + 24 * HOUR_MS).toISOString();
      expect(error.message).to.equal(
        `no key of 'payments' can be used: the key service answered UNAVAILABLE; the last key set was good until ${end}`,
      );
      expect(bench.problems[0]).to.include({ recipient: 'payments', goodUntil: bench.issuer.now + 86_400 });
      expect(bench.problems[bench.problems.length - 1]?.goodUntil).to.equal(undefined);
    });

    it('recovers with the first set that comes', async () => {
      const bench = makeBench();
      bench.fail();
      await refusal(() => bench.cache.current(), 'KEY_SET_UNAVAILABLE');
      bench.answer = bench.serve({});
      bench.pass(750);
      expect(await bench.cache.current()).to.include({ kid: bench.issuer.key.jwk.kid });
    });

    it('is asked for again after longer and longer waits with jitter, up to the longest', async () => {
      const bench = makeBench();
      bench.fail();
      await refusal(() => bench.cache.current(), 'KEY_SET_UNAVAILABLE');
      for (let attempt = 0; attempt < 9; attempt++) {
        const wait = bench.problems[bench.problems.length - 1]?.retryMs ?? 0;
        bench.pass(wait - 1);
        await refusal(() => bench.cache.current(), 'KEY_SET_UNAVAILABLE');
        expect(bench.problems.length).to.equal(attempt + 1);
        bench.pass(1);
        await refusal(() => bench.cache.current(), 'KEY_SET_UNAVAILABLE');
        expect(bench.problems.length).to.equal(attempt + 2);
      }
      // Three quarters, by the random number.
      const waits = bench.problems.map(({ retryMs }) => retryMs / 750);
      expect(waits).to.deep.equal([1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
      bench.answer = bench.serve({});
      bench.pass(45_000);
      await bench.cache.current();
      bench.fail();
      bench.pass(720_000);
      await bench.cache.current();
      await bench.until(() => bench.problems.length === 11);
      expect(bench.problems[10]?.retryMs).to.equal(750);
    });

    it('spreads waits over half of each', async () => {
      for (const [random, expected] of [
        [0, 500],
        [1, 1000],
      ] as const) {
        const bench = makeBench({ random: () => random });
        bench.fail();
        await refusal(() => bench.cache.current(), 'KEY_SET_UNAVAILABLE');
        expect(bench.problems[0]?.retryMs).to.equal(expected);
      }
    });
  });

  describe('and its clocks', () => {
    it('ends by the monotonic clock when the wall clock is set back', async () => {
      const bench = makeBench();
      await bench.cache.current();
      bench.fail();
      bench.monotonicMs += 24 * HOUR_MS;
      bench.nowMs -= 24 * HOUR_MS;
      await refusal(() => bench.cache.current(), 'KEY_SET_UNAVAILABLE');
    });
    it('ends by the wall clock when the monotonic one stood still, as in a machine that slept', async () => {
      const bench = makeBench();
      await bench.cache.current();
      bench.fail();
      bench.nowMs += 24 * HOUR_MS;
      await refusal(() => bench.cache.current(), 'KEY_SET_EXPIRED');
      bench.pass(1_000);
      await refusal(() => bench.cache.current(), 'KEY_SET_UNAVAILABLE');
    });
  });

  describe('and the time that the service suggests', () => {
    for (const [suggested, expected] of [
      [0, 8_000],
      [-1, 8_000],
      [Number.NaN, 8_000],
      [900_000, 720_000],
      [100 * HOUR_MS, 4.8 * HOUR_MS],
      [Number.POSITIVE_INFINITY, 4.8 * HOUR_MS],
    ] as const) {
      it(`fetches after ${expected / 1000} s for ${suggested} ms`, async () => {
        const bench = makeBench();
        bench.answer = bench.serve({}, suggested);
        await bench.cache.current();
        bench.pass(expected - 1);
        await bench.cache.current();
        expect(bench.fetches).to.equal(1);
        bench.pass(1);
        await bench.cache.current();
        expect(bench.fetches).to.equal(2);
      });
    }

    it('fetches after half of what the set has left when that is sooner', async () => {
      const bench = makeBench();
      bench.answer = bench.serve({ claims: { exp: bench.issuer.now + 1_000 } });
      await bench.cache.current();
      bench.pass(400_000);
      await bench.cache.current();
      expect(bench.fetches).to.equal(2);
    });
  });

  describe('never goes back', () => {
    it('keeps the newer set while it is valid, and fails when it has ended', async () => {
      const bench = makeBench();
      const { now } = bench.issuer;
      const old = makeSealingKey().jwk;
      bench.answer = bench.serve({ claims: { ver: [now + 5, 0], exp: now + 3_600 } });
      await bench.cache.current();
      bench.answer = bench.serve({ claims: { ver: [now + 4, 0], keys: [old] } });
      await refusal(() => bench.cache.refresh(), 'KEY_SET_ROLLED_BACK');
      expect(bench.cache.current()).to.include({ kid: bench.issuer.key.jwk.kid });
      expect(bench.problems[0]?.error.code).to.equal('KEY_SET_ROLLED_BACK');
      bench.pass(HOUR_MS);
      const error = await refusal(() => bench.cache.current(), 'KEY_SET_ROLLED_BACK');
      expect(error.message).to.include('older than one that was seen before');
      bench.answer = bench.serve({ claims: { ver: [now + 5, 0] } });
      bench.pass(60_000);
      expect(await bench.cache.current()).to.include({ kid: bench.issuer.key.jwk.kid });
    });

    class Memory implements KeySetMemory {
      readonly kept = new Map<string, RememberedSet>();
      async recall(issuer: string) {
        return this.kept.get(issuer);
      }
      async remember(issuer: string, set: RememberedSet) {
        this.kept.set(issuer, set);
      }
    }

    it('takes no other keys under the version that it has seen, after a restart too', async () => {
      const memory = new Memory();
      const first = makeBench({ memory });
      await first.cache.current();
      const changes = { claims: { keys: [makeSealingKey().jwk] } };
      first.answer = first.serve(changes);
      await refusal(() => first.cache.refresh(), 'KEY_SET_CONFLICT');
      expect(first.cache.current()).to.include({ kid: first.issuer.key.jwk.kid });
      const later = first.issuer.now + 90_000;
      const text = await first.issuer.set({ claims: { ...changes.claims, iat: later, exp: later + 60 } });
      const second = makeBench({ memory, roots: [first.issuer.root.kid], now: () => later * 1000 });
      second.answer = async () => ({ text, maxAgeMs: 1 });
      await refusal(() => second.cache.current(), 'KEY_SET_CONFLICT');
    });

    it('stays with the set of a version that lasts longest, whichever instance signed it when', async () => {
      const memory = new Memory();
      const bench = makeBench({ memory });
      const { now } = bench.issuer;
      const ends: (number | undefined)[] = [];
      for (const exp of [now + 3_600, now + 1_800, now + 7_200]) {
        bench.answer = bench.serve({ claims: { exp } });
        await bench.cache.refresh();
        ends.push(bench.cache.set?.expiresAt);
        bench.monotonicMs += 1_000;
      }
      expect(ends).to.deep.equal([now + 3_600, now + 3_600, now + 7_200]);
      expect(bench.problems).to.deep.equal([]);
      // A restart has that one, too.
      const { roots } = { roots: [bench.issuer.root.kid] };
      const again = makeBench({ memory, roots });
      again.fail();
      await again.cache.current();
      expect(again.cache.set?.expiresAt).to.equal(now + 7_200);
    });

    it('not after a restart either: the highest version is remembered, and the set with it', async () => {
      const memory = new Memory();
      const first = makeBench({ memory });
      await first.cache.current();
      const { now } = first.issuer;
      expect(memory.kept.get('payments')?.version).to.deep.equal({ changed: now, passed: 0 });

      const second = makeBench({ memory, roots: [first.issuer.root.kid] });
      second.fail();
      expect(await second.cache.current()).to.include({ kid: first.issuer.key.jwk.kid });
      await second.until(() => second.problems.length === 1);
      expect(second.fetches, 'a recalled set is old: the next is fetched at once').to.equal(1);
      second.answer = async () => ({
        text: await first.issuer.set({ claims: { ver: [now - 1, 0] } }),
        maxAgeMs: 1,
      });
      await refusal(() => second.cache.refresh(), 'KEY_SET_ROLLED_BACK');
    });

    it('remembers the version of a set that has ended, and does not use it', async () => {
      const memory = new Memory();
      const first = makeBench({ memory });
      await first.cache.current();
      const second = makeBench({ memory, roots: [first.issuer.root.kid] });
      second.nowMs += 25 * HOUR_MS;
      const later = first.issuer.now + 25 * 3_600;
      const claims = { iat: later, exp: later + 60, ver: [first.issuer.now - 1, 0] };
      second.answer = async () => ({ text: await first.issuer.set({ claims }), maxAgeMs: 1 });
      await refusal(() => second.cache.current(), 'KEY_SET_ROLLED_BACK');
    });

    it('does not trust what it remembered more than what it is told', async () => {
      const memory = new Memory();
      const mallory = new TestIssuer('payments', START_MS);
      memory.kept.set('payments', { version: { changed: 0, passed: 0 }, fingerprint: '', text: await mallory.set() });
      const bench = makeBench({ memory });
      expect(await bench.cache.current()).to.include({ kid: bench.issuer.key.jwk.kid });
    });

    it('says so when the memory cannot be read, and tries it again with the next caller', async () => {
      const memory = new Memory();
      const broken = makeBench({
        memory: {
          ...noMemory,
          recall: (issuer) => {
            if (memory.kept.size === 0) throw new SealwireError('KEY_FILE_INVALID', 'not a memory');
            return memory.recall(issuer);
          },
        },
      });
      await refusal(() => broken.cache.current(), 'KEY_FILE_INVALID');
      expect(broken.fetches).to.equal(0);
      memory.kept.set('other', { version: { changed: 1, passed: 0 }, fingerprint: '', text: '' });
      await broken.cache.current();
    });

    it('goes on when nothing can be remembered, and tells', async () => {
      const remember = async () => {
        throw new SealwireError('KEY_FILE_WRITE', 'ENOSPC');
      };
      const bench = makeBench({ memory: { ...noMemory, remember } });
      await bench.cache.current();
      expect(bench.problems.map(({ error }) => error.code)).to.deep.equal(['KEY_FILE_WRITE']);
    });
  });

  describe('when the service asks for a newer one', () => {
    it('is fetched at once, but not for every call', async () => {
      const bench = makeBench();
      await bench.cache.current();
      await Promise.all([bench.cache.refresh(), bench.cache.refresh(), bench.cache.refresh()]);
      await bench.cache.refresh();
      expect(bench.fetches).to.equal(2);
      bench.pass(1_000);
      await bench.cache.refresh();
      expect(bench.fetches).to.equal(3);
    });

    it('is fetched once more when the fetch under way brings the same set', async () => {
      const bench = makeBench();
      await bench.cache.current();
      bench.pass(720_000);
      await bench.cache.current();
      await bench.cache.refresh();
      expect(bench.fetches).to.equal(3);
    });

    it('is fetched in spite of earlier failures', async () => {
      const bench = makeBench();
      bench.fail();
      await refusal(() => bench.cache.current(), 'KEY_SET_UNAVAILABLE');
      bench.answer = bench.serve({});
      await bench.cache.refresh();
      expect(bench.cache.current()).to.include({ kid: bench.issuer.key.jwk.kid });
    });
  });

  it('tells nothing of a fetch that was under way when it was closed', async () => {
    const bench = makeBench();
    await bench.cache.current();
    let end = () => {};
    bench.answer = () =>
      new Promise((_resolve, reject) => {
        end = () => reject(new SealwireError('KEY_SET_UNAVAILABLE', 'the key service answered CANCELLED'));
      });
    const refreshed = bench.cache.refresh().catch((error: SealwireError) => error.code);
    await bench.until(() => bench.fetches === 2);
    bench.cache.close();
    end();
    expect(await refreshed).to.equal('KEY_SET_UNAVAILABLE');
    expect(bench.problems).to.deep.equal([]);
  });

  it('gives nothing out once it is closed', async () => {
    const bench = makeBench();
    await bench.cache.current();
    bench.cache.close();
    await refusal(() => bench.cache.current(), 'CLOSED');
    await refusal(() => bench.cache.refresh(), 'CLOSED');
  });
});
