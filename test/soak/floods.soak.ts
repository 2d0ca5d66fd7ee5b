import { join } from 'node:path';
import { expect } from 'chai';
import type { HostConfigInput } from '../../src/host/config.js';
import { createReviewerKey } from '../../src/keys/reviewer-keys.js';
import { describeFlood, type FloodOptions, runFlood } from '../support/floods.js';

const SECONDS = 30;

/** Attacks by name, and what they are told to. Each must leave honest callers as they were. */
const FLOODS: Readonly<Record<string, Omit<FloodOptions, 'seconds'>>> = {
  'rubbish tokens that cost agreements': { attacks: ['rubbish'] },
  'small reads that make large records': { attacks: ['stored'] },
  'rubbish that is dear to record': { attacks: ['refused'] },
  'the same, where each record carries a grant': {
    attacks: ['rubbish'],
    prepare: makeReviewerKey,
  },
  'a kilobyte that holds half a million messages': { attacks: ['empty-messages'] },
  'messages without their last byte': { attacks: ['half-messages'] },
  'questions to server reflection whose answers nobody takes': { attacks: ['reflection'] },
};

async function makeReviewerKey(dir: string): Promise<HostConfigInput> {
  const { publicFile: reviewerKey } = await createReviewerKey(join(dir, 'reviewer.json'));
  return { audit: { reviewerKey } };
}

describe('honest callers under a flood of', () => {
  for (const [name, options] of Object.entries(FLOODS)) {
    it(name, async () => {
      const run = await runFlood({ ...options, seconds: SECONDS });
      process.stdout.write(`${name}\n${describeFlood(run)}\n`);
      const { alone, attacked, findings, exitCode } = run;
      expect({ refused: attacked.refused, findings, exitCode }).to.deep.equal({
        refused: 0,
        findings: [],
        exitCode: 0,
      });
      expect(attacked.newSessions.p99).to.be.lessThan(1_000);
      expect(attacked.warm.p99).to.be.lessThan(2 * alone.warm.p99);
      expect(attacked.rssMiB).to.be.lessThan(alone.rssMiB + 160);
    });
  }
});
