/** Readers of a log of 10 GiB; the disk has to have room for it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { measureSealwire, READERS } from '../support/peak-memory.js';
import { writeSampleLog } from '../support/sample-log.js';

describe('a log of 10 GiB', () => {
  let root = '';
  let dir = '';
  before(async function () {
    this.timeout(3_600_000);
    root = await mkdtemp(join(tmpdir(), 'sealwire-large-'));
    dir = join(root, 'audit');
    expect(writeSampleLog(dir, 8_000_000).bytes).to.be.greaterThan(10 * 2 ** 30);
  });
  after(() => rm(root, { recursive: true, force: true }));

  it('is merged with itself in less than 200 MiB of memory', async () => {
    const { peakMiB, stdout } = await measureSealwire('audit', 'stats', '--dir', dir, '--dir', dir);
    expect(stdout).to.match(/^16000000 records\n/);
    expect(peakMiB).to.be.within(20, 200);
  }).timeout(1_800_000);

  for (const [args, output] of READERS) {
    it(`is read by ${args.join(' ')} in less than 200 MiB of memory`, async () => {
      const startedAt = performance.now();
      const { peakMiB, stdout } = await measureSealwire('audit', ...args, '--dir', dir);
      expect(stdout).to.match(output);
      expect(peakMiB).to.be.within(20, 200);
      console.log(
        `    ${args[0]}: ${peakMiB.toFixed(0)} MiB, ${((performance.now() - startedAt) / 1000).toFixed(0)} s`,
      );
    }).timeout(1_800_000);
  }
});
