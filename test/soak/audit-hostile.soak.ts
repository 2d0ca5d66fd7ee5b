import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { flood } from '../support/flood.js';
import { callMixed } from '../support/mixed-calls.js';

describe('the audit log under hostile callers', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sealwire-hostile-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  it('holds no plaintext and no line or key of theirs after 100,000 mixed calls', async () => {
    const { good, failed, opened, ...logs } = await callMixed(dir, 100_000);
    process.stdout.write(`${JSON.stringify({ good, failed, opened, ...logs })}\n`);
    expect(logs).to.deep.equal({ leaks: [], badLines: [], findings: [] });
    expect(opened).to.be.at.least(good);
  });

  it('grows by less than 50 MiB for 1,000,000 rubbish tokens, and others are not hindered', async () => {
    const result = await flood(dir, 1_000_000);
    process.stdout.write(`${JSON.stringify(result)}\n`);
    expect(result).to.deep.include({ accepted: 0, told: result.refused, failures: [], findings: [] });
    expect(result.logBytes).to.be.lessThan(50 * 1_048_576);
    expect(result.paid).to.be.greaterThan(0);
  });
});
