import { expect } from 'chai';
import { readRecentTokens } from '../../../src/audit/read/recent-tokens.js';
import { AuditLog } from '../../../src/audit/write/audit-log.js';
import { MemoryReplayStore } from '../../../src/server/replay/memory-replay-store.js';
import { type GuardedToken, REPLAY_WINDOW_MS, ReplayGuard } from '../../../src/server/replay/replay-guard.js';
import { field, inFolder, input } from '../../audit/helpers.js';
import { expectCode as expectThrown, forge, makeKey } from '../../jwe/helpers.js';
import { START_MS, TestClock } from './replay-helpers.js';

const KEY = makeKey();

function seal(iat: number | undefined): GuardedToken {
  return { token: forge({ key: KEY, header: { iat } }), header: iat === undefined ? {} : { iat } };
}

/** Runs a service's guard and log on a folder until `work` is done; then it is gone, with all it remembered. */
async function run(dir: string, clock: TestClock, work: (service: Service) => Promise<void> | void): Promise<void> {
  const { now, monotonic } = clock;
  const log = await AuditLog.open({ dir, origin: 'test', now });
  try {
    const guard = new ReplayGuard({ store: new MemoryReplayStore({ now, monotonic }), now });
    await guard.restore(readRecentTokens(dir, now() - REPLAY_WINDOW_MS));
    const use = async (token: GuardedToken, keep = true) => {
      guard.claim([token]);
      await log.commit(input({ fields: [field({ token: token.token, keep })] }));
    };
    await work({ guard, use });
  } finally {
    await log.close();
  }
}

interface Service {
  readonly guard: ReplayGuard;
  readonly use: (token: GuardedToken, keep?: boolean) => Promise<void>;
}

describe('a replay guard that starts again', () => {
  for (const keep of [true, false]) {
    it(`refuses what was used within the window, and takes it after it, of ${keep ? 'kept' : 'transient'} fields`, () =>
      inFolder(async (dir) => {
        const clock = new TestClock();
        const tokens = [seal(START_MS / 1_000), seal(START_MS / 1_000 + 60), seal(undefined)] as const;
        const [plain, ahead, withoutIat] = tokens;
        await run(dir, clock, async ({ use }) => {
          for (const token of tokens) await use(token, keep);
        });
        clock.pass(1_000);
        await run(dir, clock, ({ guard }) => {
          for (const token of tokens) expectThrown('REPLAYED', () => guard.claim([token]));
          guard.claim([seal(START_MS / 1_000)]);
        });
        clock.pass(359_000);
        await run(dir, clock, ({ guard }) => {
          expectThrown('TOKEN_STALE', () => guard.claim([plain]));
          expectThrown('REPLAYED', () => guard.claim([ahead]));
          expectThrown('REPLAYED', () => guard.claim([withoutIat]));
        });
        clock.pass(1_000);
        await run(dir, clock, ({ guard }) => {
          expect(guard.stats()).to.include({ count: 0 });
          expectThrown('TOKEN_STALE', () => guard.claim([ahead]));
          guard.claim([withoutIat]);
        });
      }));
  }

  it('refuses what was used before the clock was set back', () =>
    inFolder(async (dir) => {
      const clock = new TestClock();
      const early = seal(START_MS / 1_000);
      await run(dir, clock, async ({ use }) => {
        await use(early);
        clock.pass(301_000);
        // The first token is forgotten by now; the clock then makes it fresh again.
        await use(seal(clock.wallMs / 1_000));
      });
      clock.set(-200_000);
      await run(dir, clock, ({ guard }) => {
        expectThrown('REPLAYED', () => guard.claim([early]));
      });
    }));
});
