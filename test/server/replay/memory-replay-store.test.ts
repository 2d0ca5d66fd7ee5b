import { expect } from 'chai';
import fc from 'fast-check';
import { SLOT_BYTES } from '../../../src/server/replay/digest-table.js';
import { MemoryReplayStore } from '../../../src/server/replay/memory-replay-store.js';
import type { ReplayEntry } from '../../../src/server/replay/replay-store.js';
import { expectCode } from '../../jwe/helpers.js';
import { digest, lasting, START_MS, TestClock, until } from './replay-helpers.js';

const MIB = 1_048_576;
const IN_300_S = START_MS + 300_000;

function create(capacity?: number) {
  const clock = new TestClock();
  const { now, monotonic } = clock;
  return { clock, store: new MemoryReplayStore({ now, monotonic, ...(capacity && { capacity }) }) };
}

/** `count` entries that expire together. */
function many(count: number, expiresAtMs: number, name = ''): ReplayEntry[] {
  return Array.from({ length: count }, (_, id) => until(`${name}${id}`, expiresAtMs));
}

describe('MemoryReplayStore', () => {
  it('claims a digest once', () => {
    const { store } = create();
    expect(store.claim([until('a', IN_300_S)])).to.equal('claimed');
    expect(store.claim([until('a', IN_300_S)])).to.deep.equal({ replayed: 0 });
    expect(store.claim([until('b', IN_300_S)])).to.equal('claimed');
  });

  it('takes all digests of a claim or none', () => {
    const { store } = create();
    store.claim([until('c', IN_300_S)]);
    const entries = ['a', 'b', 'c', 'd'].map((id) => until(id, IN_300_S));
    expect(store.claim(entries)).to.deep.equal({ replayed: 2 });
    expect(store.stats().count).to.equal(1);
    for (const id of ['a', 'b', 'd']) expect(store.claim([until(id, IN_300_S)])).to.equal('claimed');
  });

  it('remembers up to and including the last millisecond, and refuses what comes later', () => {
    const { clock, store } = create();
    store.claim([until('a', IN_300_S)]);
    clock.pass(300_000);
    expect(store.claim([until('a', IN_300_S)])).to.deep.equal({ replayed: 0 });
    expect(store.stats().count).to.equal(1);
    clock.pass(1);
    expect(store.claim([until('a', IN_300_S)])).to.deep.equal({ expired: 0 });
    expect(store.claim([until('never seen', IN_300_S)])).to.deep.equal({ expired: 0 });
    expect(store.stats().count).to.equal(0);
  });

  it('remembers for a duration, by the monotonic clock alone', () => {
    const { clock, store } = create();
    store.claim([lasting('a', 360_000)]);
    clock.set(86_400_000);
    clock.pass(360_000);
    expect(store.claim([lasting('a', 360_000)])).to.deep.equal({ replayed: 0 });
    clock.set(-86_400_000 * 2);
    clock.pass(1);
    expect(store.claim([lasting('a', 360_000)])).to.equal('claimed');
    expect(store.claim([lasting('a', 360_000)])).to.deep.equal({ replayed: 0 });
    expect(store.stats().count).to.equal(1);
  });

  it('keeps what a clock that runs ahead for a moment would have ended', () => {
    const { clock, store } = create();
    store.claim([until('a', IN_300_S)]);
    clock.set(3_600_000);
    store.claim([until('b', clock.wallMs + 300_000)]);
    clock.set(-3_600_000);
    expect(store.claim([until('a', IN_300_S)])).to.deep.equal({ replayed: 0 });
    expect(store.claim([until('c', IN_300_S)])).to.equal('claimed');
  });

  it('keeps what is not over on a clock that was set back', () => {
    const { clock, store } = create();
    store.claim([until('a', IN_300_S)]);
    clock.set(-3_600_000);
    clock.pass(3_600_000);
    expect(store.stats().count).to.equal(1);
    expect(store.claim([until('a', IN_300_S)])).to.deep.equal({ replayed: 0 });
  });

  it('keeps what ends on the wall clock later than on the monotonic one, to its last millisecond', () => {
    const { clock, store } = create();
    store.claim([until('a', IN_300_S)]);
    clock.set(-1_000);
    clock.pass(301_000);
    expect(store.claim([until('a', IN_300_S)])).to.deep.equal({ replayed: 0 });
  });

  it('notices what ends when one clock moves and the other does not', () => {
    const { clock, store } = create();
    store.claim([lasting('a', 60_000), until('b', START_MS + 60_000)]);
    clock.pass(60_001);
    clock.set(-60_001);
    expect(store.claim([lasting('a', 1_000_000)])).to.equal('claimed');
    expect(store.stats().count).to.equal(2);
    clock.set(60_001);
    expect(store.stats().count).to.equal(1);
  });

  it('keeps everything of a second for as long as the last of it, though the clock was set between', () => {
    const { clock, store } = create();
    clock.set(100_000);
    store.claim([until('a', IN_300_S)]);
    clock.set(-100_000);
    store.claim([until('b', IN_300_S)]);
    clock.pass(250_000);
    clock.set(3_600_000);
    expect(store.stats().count).to.equal(2);
    clock.set(-3_600_000);
    expect(store.claim([until('b', IN_300_S)])).to.deep.equal({ replayed: 0 });
  });

  it('does not take a forgotten digest for the same one claimed again', () => {
    const ids = Array.from({ length: 100 }, (_, id) => id);
    // With different numbers of others the hand stands elsewhere: what it has not passed is still in its slot.
    for (let others = 500; others < 3_500; others += 150) {
      const { clock, store } = create();
      for (let id = 0; id < 500; id++) store.claim([lasting(id, 60_000)]);
      for (let id = 0; id < others; id++) store.claim([lasting(`other ${id}`, 600_000)]);
      clock.pass(61_000);
      for (const id of ids) {
        expect(store.claim([lasting(id, 60_000)])).to.equal('claimed');
        const seen = ids.slice(0, id + 1).filter((known) => store.claim([lasting(known, 60_000)]) !== 'claimed');
        expect(seen.length).to.equal(id + 1);
      }
    }
  });

  it('refuses what it may have forgotten when the clock is set back behind that', () => {
    const { clock, store } = create();
    store.claim([until('a', IN_300_S)]);
    clock.pass(301_000);
    expect(store.stats().count).to.equal(0);
    clock.set(-100_000);
    expect(store.claim([until('a', IN_300_S)])).to.deep.equal({ expired: 0 });
    expect(store.claim([until('b', IN_300_S), until('c', IN_300_S + 1)])).to.deep.equal({ expired: 0 });
    expect(store.claim([until('c', IN_300_S + 1)])).to.equal('claimed');
  });

  it('leaves room to others, and gives an account its room back when its digests end', () => {
    const { clock, store } = create(64);
    expect(store.claim(many(48, IN_300_S), 'a')).to.equal('claimed');
    expect(store.claim([until('x', IN_300_S)], 'a')).to.equal('full');
    expect(store.claim(many(9, IN_300_S + 60_000, 'b'), 'b')).to.equal('claimed');
    clock.pass(301_000);
    expect(store.claim(many(40, IN_300_S + 60_000, 'again'), 'a')).to.equal('claimed');
    expect(store.claim(many(9, IN_300_S + 60_000, 'more'), 'a')).to.equal('full');
  });

  it('refuses when full, forgets nothing for it, and takes more as soon as something ended', () => {
    const { clock, store } = create(64);
    expect(store.claim(many(60, IN_300_S))).to.equal('claimed');
    expect(store.claim(many(4, IN_300_S + 1_000, 'later'))).to.equal('claimed');
    expect(store.claim([until('x', IN_300_S)])).to.equal('full');
    for (const entry of many(60, IN_300_S)) expect(store.claim([entry])).to.deep.equal({ replayed: 0 });
    clock.pass(300_000);
    expect(store.claim([until('x', IN_300_S + 9_000)])).to.equal('full');
    clock.pass(1);
    const more = many(60, IN_300_S + 9_000, 'more');
    expect(store.claim([...more, until('x', IN_300_S + 9_000)])).to.equal('full');
    expect(store.claim(more)).to.equal('claimed');
    expect(store.stats()).to.include({ count: 64, capacity: 64 });
  });

  it('takes a released digest again, and ignores one that it does not know', () => {
    const { store } = create(64);
    store.claim(many(64, IN_300_S));
    store.release([digest(3), digest('unknown'), digest(3)]);
    expect(store.stats().count).to.equal(63);
    expect(store.claim([until(4, IN_300_S)])).to.deep.equal({ replayed: 0 });
    expect(store.claim([until(3, IN_300_S)])).to.equal('claimed');
    expect(store.claim([until(3, IN_300_S)])).to.deep.equal({ replayed: 0 });
  });

  it('counts right when a released digest ended meanwhile', () => {
    const { clock, store } = create();
    store.claim([until('a', IN_300_S), until('b', IN_300_S)]);
    clock.pass(300_001);
    store.release([digest('a')]);
    expect(store.stats().count).to.equal(0);
    store.release([digest('b')]);
    expect(store.stats().count).to.equal(0);
  });

  it('refuses a capacity out of range', () => {
    for (const capacity of [63, 64_000_001, 100.5, Number.NaN]) {
      expectCode('OPTIONS_INVALID', () => new MemoryReplayStore({ capacity }));
    }
  });

  it('holds 4,000,000 digests in at most 128 MiB, and starts with almost nothing', () => {
    const clock = new TestClock();
    const before = process.memoryUsage().arrayBuffers;
    const store = new MemoryReplayStore({ now: clock.now, monotonic: clock.monotonic });
    const entry = { digest: Buffer.alloc(32), expiresAtMs: IN_300_S };
    const claimNext = (id: number) => {
      entry.digest.writeUInt32LE(id, 0);
      return store.claim([entry]);
    };
    claimNext(0);
    expect(process.memoryUsage().arrayBuffers - before).to.be.below(MIB);
    let refused = 0;
    for (let id = 1; id < 4_000_000; id++) if (claimNext(id) !== 'claimed') refused++;
    expect(refused).to.equal(0);
    expect(claimNext(4_000_000)).to.equal('full');
    expect(claimNext(3_999_999)).to.deep.equal({ replayed: 0 });
    const after = process.memoryUsage().arrayBuffers;
    expect(after - before).to.be.at.most(128 * MIB);
    // What the store says of itself is true; garbage of earlier tests may have gone meanwhile.
    expect(store.stats().bytes).to.be.within(4_000_000 * SLOT_BYTES, Math.min(after, 128 * MIB));
  });

  it('needs no more than 32 bytes per digest of its capacity, however entries come and go', () => {
    const capacity = 57_344;
    const { clock, store } = create(capacity);
    const entry = { digest: Buffer.alloc(32), expiresAtMs: 0 };
    let id = 0;
    // Always full: whatever ends is replaced at once, while its slot may not have been swept yet.
    for (let round = 0; round < 120; round++) {
      for (;;) {
        entry.digest.writeUInt32LE(id++, 0);
        entry.expiresAtMs = clock.wallMs + [2_000, 40_000, 7_000, 300_000][(id * 31) & 3]!;
        if (store.claim([entry]) === 'full') break;
      }
      clock.pass([2_001, 5_000, 60_000, 1_000][round & 3]!);
    }
    expect(id).to.be.above(10 * capacity);
    // 8 slots for 7 digests, which are 8 chunks here.
    expect(store.stats().bytes).to.be.within(capacity * SLOT_BYTES + 1, (capacity * SLOT_BYTES * 8) / 7);
  });
});

describe('MemoryReplayStore, whatever happens', () => {
  const ids = fc.uniqueArray(fc.nat(12), { minLength: 1, maxLength: 4 });
  const claims = fc.record({ act: fc.constant('claim' as const), ids });
  const releases = fc.record({ act: fc.constant('release' as const), ids });
  const passing = fc.record({ act: fc.constant('pass' as const), ms: fc.nat(40_000) });
  const setting = fc.record({ act: fc.constant('set' as const), ms: fc.integer({ min: -900_000, max: 900_000 }) });

  /** Even ids have a life of 60 s; odd ones expire 100 s after a start of their own. */
  function entryOf(id: number, nowMs: number): ReplayEntry {
    if (id % 2 === 0) return lasting(id, 60_000);
    const slice = Math.floor(nowMs / 100_000) * 100_000;
    return until(`${id} of ${slice}`, slice + 100_000 + id * 7_000);
  }

  it('answers like a map with expiry times while the clocks agree', () => {
    const step = fc.oneof(claims, releases, passing);
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200, size: 'max' }), (steps) => {
        const { clock, store } = create(64);
        // A model in wall-clock time; the monotonic clock is a whole number of seconds apart.
        const model = new Map<string, number>();
        for (const step of steps) {
          if (step.act === 'pass') {
            clock.pass(step.ms);
            for (const [key, endMs] of model) if (endMs < clock.wallMs) model.delete(key);
            continue;
          }
          const entries = step.ids.map((id) => entryOf(id, clock.wallMs));
          const keys = entries.map((entry) => entry.digest.toString('hex'));
          if (step.act === 'release') {
            store.release(entries.map((entry) => entry.digest));
            for (const key of keys) model.delete(key);
            continue;
          }
          const ends = entries.map(({ expiresAtMs, lifeMs = 0 }) => expiresAtMs ?? clock.wallMs + lifeMs);
          const first = keys.findIndex((key, at) => model.has(key) || (ends[at] as number) < clock.wallMs);
          const isFull = model.size + keys.length > 64;
          const result = store.claim(entries);
          if (first >= 0) expect(Object.values(result)).to.deep.equal([first]);
          else expect(result).to.equal(isFull ? 'full' : 'claimed');
          if (result === 'claimed') {
            for (const [at, key] of keys.entries()) model.set(key, Math.ceil((ends[at] as number) / 1_000) * 1_000);
          }
          expect(store.stats().count).to.equal(model.size);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('never takes a digest twice, however the wall clock is set', () => {
    const step = fc.oneof({ weight: 3, arbitrary: claims }, passing, setting);
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200, size: 'max' }), (steps) => {
        const { clock, store } = create();
        /** When each digest was claimed, by the monotonic clock. */
        const claimed = new Map<string, number>();
        for (const step of steps) {
          if (step.act === 'pass') clock.pass(step.ms);
          if (step.act === 'set') clock.set(step.ms);
          if (step.act !== 'claim') continue;
          const entries = step.ids.map((id) => entryOf(id, clock.wallMs));
          if (store.claim(entries) !== 'claimed') continue;
          for (const { digest, lifeMs } of entries) {
            const key = digest.toString('hex');
            const at = claimed.get(key);
            // One with an expiry time never again at all; one with a life not before that has passed.
            if (at !== undefined) expect(clock.monotonicMs - at).to.be.above(lifeMs ?? Number.POSITIVE_INFINITY);
            claimed.set(key, clock.monotonicMs);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});
