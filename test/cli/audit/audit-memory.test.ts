/** The short form of test/soak/audit-memory.soak.ts: 64 MiB, of which no reader may hold more than a few blocks. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { measureSealwire, READERS } from '../../support/peak-memory.js';
import { writeSampleLog } from '../../support/sample-log.js';
import { missing } from '../../support/tools.js';

describe('a log of 64 MiB', function () {
  this.timeout(120_000);
  let root = '';
  let dir = '';
  before(async function () {
    this.timeout(60_000);
    if (process.platform !== 'linux') missing(this, 'needs /proc');
    root = await mkdtemp(join(tmpdir(), 'sealwire-large-'));
    dir = join(root, 'audit');
    expect(writeSampleLog(dir, 50_000).bytes).to.be.greaterThan(64 * 2 ** 20);
  });
  after(async () => {
    if (root !== '') await rm(root, { recursive: true, force: true });
  });

  it('is read in less than 200 MiB of memory by every reader', async () => {
    for (const [args, output] of READERS) {
      const { peakMiB, stdout } = await measureSealwire('audit', ...args, '--dir', dir);
      expect(stdout, args.join(' ')).to.match(output);
      expect(peakMiB, args.join(' ')).to.be.within(20, 200);
    }
  });
});
