import { expect } from 'chai';
import { parseToken } from '../../../src/jwe/token.js';
import { resolveLimits } from '../../../src/profile/limits.js';
import { MemoryReplayStore } from '../../../src/server/replay/memory-replay-store.js';
import { REPLAY_WINDOW_MS, ReplayGuard, type UsedToken } from '../../../src/server/replay/replay-guard.js';
import type { ReplayEntry, ReplayResult, ReplayStore } from '../../../src/server/replay/replay-store.js';
import { expectCode, expectRejection, forge, makeKey } from '../../jwe/helpers.js';
import { digest, START_MS, TestClock, tokenOf, tokenWithoutIat } from './replay-helpers.js';

function create(capacity = 4_000_000) {
  const clock = new TestClock();
  const { now, monotonic } = clock;
  const store = new MemoryReplayStore({ now, monotonic, capacity });
  return { clock, store, guard: new ReplayGuard({ store, now }) };
}

/** A store that others share: every answer takes a while. */
class SharedStore implements ReplayStore {
  readonly #local = new MemoryReplayStore();
  asked: ReplayEntry[] = [];

  async claim(entries: readonly ReplayEntry[]): Promise<ReplayResult> {
    await new Promise((resolve) => setImmediate(resolve));
    this.asked.push(...entries);
    return this.#local.claim(entries);
  }

  async release(digests: readonly Buffer[]): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#local.release(digests);
  }

  async stats() {
    return this.#local.stats();
  }
}

async function* each(...used: UsedToken[]): AsyncGenerator<UsedToken> {
  yield* used;
}

function used(token: string, timeMs: number, iat?: number): UsedToken {
  return { digest: digest(token).toString('base64url'), timeMs, iat };
}

describe('ReplayGuard', () => {
  it('lets a token through once, and says where the second one stood', () => {
    const { guard } = create();
    guard.claim([tokenOf('a')], ['card']);
    guard.claim([tokenOf('b'), tokenOf('c')], ['card', 'note']);
    const error = expectCode('REPLAYED', () => guard.claim([tokenOf('x'), tokenOf('c')], ['items[0].card', 'note']));
    expect([error.path, error.reason]).to.deep.equal(['note', 'SEALED_FIELD_REPLAYED']);
    guard.claim([tokenOf('x')]);
  });

  it('lets one of 100,000 concurrent copies through', async () => {
    const { guard } = create();
    const call = async (copy: number): Promise<string> => {
      // Different numbers of turns, so that the copies overtake each other.
      for (let turn = copy % 3; turn > 0; turn--) await undefined;
      try {
        await guard.claim([tokenOf(`own of ${copy}`), tokenOf('the same')], ['', 'same']);
        return 'claimed';
      } catch (error) {
        return (error as { code: string; path: string }).code + (error as { path: string }).path;
      }
    };
    const outcomes = await Promise.all(Array.from({ length: 100_000 }, (_, copy) => call(copy)));
    expect(outcomes.filter((outcome) => outcome === 'claimed').length).to.equal(1);
    expect(outcomes.filter((outcome) => outcome === 'REPLAYEDsame').length).to.equal(99_999);
    expect(guard.stats()).to.include({ count: 2 });
  });

  it('refuses a message that has one token twice, and takes none of it', () => {
    const { guard } = create();
    const tokens = [tokenOf('a'), tokenOf('b'), tokenOf('a')];
    expect(expectCode('REPLAYED', () => guard.claim(tokens, ['f[0]', 'f[1]', 'f[2]'])).path).to.equal('f[2]');
    guard.claim(tokens.slice(0, 2));
  });

  it('has nothing to do for a message without tokens', () => {
    const { guard } = create();
    expect(guard.claim([])).to.equal(undefined);
  });

  it('remembers a token for as long as check 4 accepts it, and refuses it as stale afterwards', () => {
    for (const sealedAtMs of [START_MS - 300_000, START_MS, START_MS + 60_000]) {
      const { clock, guard } = create();
      const token = tokenOf('a', sealedAtMs);
      guard.claim([token]);
      clock.pass(sealedAtMs + 300_000 - START_MS);
      expectCode('REPLAYED', () => guard.claim([token]));
      clock.pass(1);
      const error = expectCode('TOKEN_STALE', () =>
        guard.claim([tokenOf('new', START_MS + 1e6), token], ['x', 'card']),
      );
      expect(error.path).to.equal('card');
    }
  });

  it('refuses a token that became stale while it was being opened, both times', () => {
    const { guard } = create();
    const late = tokenOf('late', START_MS - 301_000);
    for (let copy = 0; copy < 2; copy++) expectCode('TOKEN_STALE', () => guard.claim([late]));
  });

  it('remembers a token without iat for 360 s from first sight', () => {
    const { clock, guard } = create();
    guard.claim([tokenWithoutIat('a')]);
    clock.pass(360_000);
    expectCode('REPLAYED', () => guard.claim([tokenWithoutIat('a')]));
    clock.pass(1);
    guard.claim([tokenWithoutIat('a')]);
    expectCode('REPLAYED', () => guard.claim([tokenWithoutIat('a')]));
  });

  it('refuses everything new while it is full', () => {
    const { clock, guard } = create(64);
    for (let id = 0; id < 64; id++) guard.claim([tokenOf(`${id}`)]);
    const error = expectCode('REPLAY_STORE_FULL', () => guard.claim([tokenOf('x')]));
    expect(error.reason).to.equal('LIMIT_EXCEEDED');
    expectCode('REPLAYED', () => guard.claim([tokenOf('0')]));
    clock.pass(300_001);
    guard.claim([tokenOf('x', clock.wallMs)]);
  });

  it('takes the tokens again of a message that could not be delivered', () => {
    const { guard } = create();
    const tokens = [tokenOf('a'), tokenWithoutIat('b')];
    guard.claim(tokens);
    guard.release(tokens);
    guard.claim(tokens);
    expectCode('REPLAYED', () => guard.claim(tokens));
  });

  it('waits for a shared store, and asks it once for all tokens of a message', async () => {
    const store = new SharedStore();
    const guard = new ReplayGuard({ store });
    const now = Date.now();
    const tokens = [tokenOf('a', now), tokenWithoutIat('b')];
    const claims = await Promise.allSettled(Array.from({ length: 100 }, () => guard.claim(tokens, ['card', 'note'])));
    expect(claims.filter(({ status }) => status === 'fulfilled').length).to.equal(1);
    expect(store.asked.slice(0, 2)).to.deep.equal([
      { digest: digest('a'), expiresAtMs: (Math.floor(now / 1_000) + 300) * 1_000 },
      { digest: digest('b'), lifeMs: REPLAY_WINDOW_MS },
    ]);
    expect((await expectRejection('REPLAYED', () => guard.claim(tokens, ['card', 'note']))).path).to.equal('card');
    await guard.release(tokens);
    await guard.claim(tokens);
    expect(await guard.stats()).to.include({ count: 2 });
  });

  it('fails a claim that a shared store does not answer', async () => {
    const unreachable = {
      claim: () => Promise.reject(new Error('no route')),
      release() {},
      stats: () => ({ count: 0, capacity: 0 }),
    };
    const failure = await Promise.resolve(new ReplayGuard({ store: unreachable }).claim([tokenOf('a')])).then(
      () => 'claimed',
      (error: Error) => error.message,
    );
    expect(failure).to.equal('no route');
  });

  it('says nothing of a token in its errors', () => {
    const { guard } = create();
    guard.claim([tokenOf('secret')]);
    const error = expectCode('REPLAYED', () => guard.claim([tokenOf('secret')]));
    expect(JSON.stringify([error.message, error.stack])).not.to.contain('secret');
  });

  it('can rely on one text per token: what is changed in one is refused by its form or by its tag', () => {
    const token = forge({ key: makeKey() });
    const limits = resolveLimits();
    expect(parseToken(token, limits).token).to.equal(token);
    const parts = token.split('.');
    // The last character of a part whose length is not a multiple of four has bits that mean nothing.
    for (const [index, part] of parts.entries()) {
      if (part.length % 4 === 0) continue;
      const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
      const last = alphabet[alphabet.indexOf(part.at(-1) as string) ^ 1] as string;
      const changed = parts.with(index, part.slice(0, -1) + last).join('.');
      expectCode('TOKEN_ENCODING', () => parseToken(changed, limits));
    }
    for (const changed of [`${token}=`, ` ${token}`, `${token}\n`, token.replace('.', '=.')]) {
      expectCode('TOKEN_ENCODING', () => parseToken(changed, limits));
    }
  });
});

describe('ReplayGuard.restore', () => {
  it('refuses what was used before, for the rest of its time', async () => {
    const { clock, guard } = create();
    const iat = START_MS / 1_000 - 100;
    expect(await guard.restore(each(used('a', START_MS - 90_000, iat), used('b', START_MS - 90_000)))).to.equal(2);
    const a = tokenOf('a', iat * 1_000);
    expectCode('REPLAYED', () => guard.claim([a]));
    expectCode('REPLAYED', () => guard.claim([tokenWithoutIat('b')]));
    clock.pass(200_000);
    expectCode('REPLAYED', () => guard.claim([a]));
    clock.pass(1);
    expectCode('TOKEN_STALE', () => guard.claim([a]));
    clock.pass(70_000 - 1);
    expectCode('REPLAYED', () => guard.claim([tokenWithoutIat('b')]));
    clock.pass(1_001);
    guard.claim([tokenWithoutIat('b')]);
  });

  it('skips what is over and what comes twice', async () => {
    const { guard } = create();
    const old = [used('a', START_MS, START_MS / 1_000 - 301), used('b', START_MS - 360_001)];
    const twice = [used('c', START_MS), used('c', START_MS), used('d', START_MS, START_MS / 1_000)];
    expect(await guard.restore(each(...old, ...twice))).to.equal(2);
    guard.claim([tokenWithoutIat('b')]);
  });

  it('keeps a token of a time to come no longer than the window', async () => {
    const { clock, guard } = create();
    await guard.restore(each(used('a', START_MS + 86_400_000)));
    clock.pass(360_000);
    expectCode('REPLAYED', () => guard.claim([tokenWithoutIat('a')]));
    clock.pass(1);
    guard.claim([tokenWithoutIat('a')]);
  });

  it('refuses to start with tokens that do not fit, or that it cannot read', async () => {
    const { guard } = create(64);
    const many = Array.from({ length: 65 }, (_, id) => used(`${id}`, START_MS));
    await expectRejection('REPLAY_STORE_FULL', () => guard.restore(each(...many)));
    const good = used('a', START_MS);
    for (const bad of [
      { digest: 'short' },
      { digest: `${good.digest}A` },
      { digest: `${good.digest}=` },
      { digest: '!'.repeat(43) },
      { timeMs: NaN },
    ]) {
      await expectRejection('OPTIONS_INVALID', () => create().guard.restore(each({ ...good, ...bad })));
    }
  });
});
