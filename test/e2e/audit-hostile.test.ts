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

  it('holds no plaintext and no line or key of theirs, whatever they send', async () => {
    const { good, failed, opened, ...logs } = await callMixed(dir, 600);
    expect(logs).to.deep.equal({ leaks: [], badLines: [], findings: [] });
    expect(good).to.be.greaterThan(100);
    expect(failed).to.be.greaterThan(100);
    expect(opened).to.be.at.least(good);
  }).timeout(120_000);

  it('is not filled by rubbish tokens, tells how many there were, and others are not hindered', async () => {
    const result = await flood(dir, 4_500);
    expect(result).to.deep.include({ accepted: 0, refused: 1_500, told: 1_500, failures: [], findings: [] });
    // A second's records are bounded, in number and size; with a second for the beginning and one for the end.
    expect(result.logBytes).to.be.lessThan((result.seconds + 2) * 400_000);
    expect(result.paid).to.be.greaterThan(0);
  }).timeout(120_000);
});
