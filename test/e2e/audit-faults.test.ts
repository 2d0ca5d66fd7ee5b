import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { segmentFile } from '../../src/audit/format/log-files.js';
import { finishSealwire } from '../support/command.js';
import { fillRepeatedly, fillUnderCopy, fillUnderHealth, requireMount } from '../support/fill-disk.js';
import { killRepeatedly } from '../support/kill-service.js';
import { PaymentsLoad, readRecords } from '../support/payments-load.js';
import { startServiceProcess, stopServiceProcess, verifyServiceLog } from '../support/service-process.js';

describe('a service that is killed under load', () => {
  it('has a record of every call it acknowledged, and a log that verifies, after each restart', async () => {
    const result = await killRepeatedly(4);
    expect(result).to.deep.include({ unrecorded: [], misnumbered: 0, findings: [] });
    expect(result.acknowledged).to.be.greaterThan(200);
  }).timeout(120_000);
});

describe('a service whose disk is full', () => {
  before(function () {
    requireMount(this);
  });

  it('refuses calls meanwhile, acknowledges none without a record, and goes on by itself', async () => {
    const result = await fillRepeatedly(2);
    expect(result).to.deep.include({ failures: ['UNAVAILABLE'], unrecorded: [], findings: [], exitCode: 0 });
  }).timeout(120_000);

  it('is NOT_SERVING meanwhile, and finds by itself that there is room again, which the log tells', async () => {
    const { health, events } = await fillUnderHealth();
    expect(health).to.deep.equal(['SERVING', 'NOT_SERVING', 'NOT_SERVING', 'SERVING']);
    expect(events.filter((event) => event !== 'open' && event !== 'reject')).to.deep.equal(['start', 'recover']);
  }).timeout(60_000);
});

describe('a copy of the log whose disk is full', () => {
  before(function () {
    requireMount(this);
  });

  it('holds up no call, is seen in log and metrics at once, goes on by itself, and lacks what was counted', async () => {
    const { failures, lines, copied, lost, logged } = await fillUnderCopy();
    expect(failures).to.deep.equal([]);
    const [full, after] = lost as [(typeof lost)[number], (typeof lost)[number]];
    expect([full.failed, after.failed]).to.deep.equal([1, 1]);
    expect(full.dropped).to.be.greaterThan(0);
    expect(logged).to.match(
      / warn an audit transport failed \{"transport":"File","dropped":0,"failed":1,"why":"ENOSPC"\}/,
    );
    // Whole lines, in order, and none missing that was not counted.
    const missing = lines.filter((line) => !copied.includes(line));
    expect(copied).to.deep.equal(lines.filter((line) => !missing.includes(line)));
    expect(missing).to.have.length(after.dropped);
  }).timeout(120_000);
});

describe('a service whose disk fails to sync', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sealwire-sync-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  for (const code of ['EIO', 'ENOSPC']) {
    it(`acknowledges nothing from then on, and never syncs again (${code})`, async function () {
      if (process.platform !== 'linux') this.skip();
      const trigger = join(dir, 'fail');
      const service = await startServiceProcess({
        dir,
        config: { logLevel: 'error' },
        preload: './dist/test/support/fail-sync.js',
        env: { FAIL_SYNC: trigger, FAIL_SYNC_CODE: code },
      });
      const load = new PaymentsLoad(service.client, 'order');
      load.start(16);
      await load.until(({ acknowledged }) => acknowledged.length >= 50);
      writeFileSync(trigger, '');
      await load.until(({ failures }) => failures.length >= 16);
      const { length } = load.acknowledged;
      await load.until(({ failures }) => failures.length >= 300);
      await load.stop();
      expect(load.acknowledged).to.have.length(length);
      expect(new Set(load.failures)).to.deep.equal(new Set(['UNAVAILABLE']));
      expect(await stopServiceProcess(service)).to.equal(0);
      expect(existsSync(`${trigger}.again`)).to.equal(false);
      // What the kernel had taken before the failure is all that was acknowledged.
      const durable = readFileSync(join(dir, 'audit', segmentFile(0, 'jsonl'))).subarray(
        0,
        Number(readFileSync(`${trigger}.told`, 'utf8')),
      );
      for (const order of load.acknowledged) expect(durable.includes(`"${order}"`), order).to.equal(true);
      // A new process starts from what is really there.
      const again = await startServiceProcess({ dir, config: { logLevel: 'error' } });
      const after = new PaymentsLoad(again.client, 'after');
      after.start(1);
      await after.until(({ acknowledged }) => acknowledged.length >= 3);
      await after.stop();
      await stopServiceProcess(again);
      expect(verifyServiceLog(dir).findings).to.deep.equal([]);
      expect(readRecords(dir).length).to.be.greaterThan(50);
    }).timeout(60_000);
  }
});

describe('a service whose log was changed', () => {
  it('does not start, and says in one line where', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'sealwire-changed-'));
    try {
      const service = await startServiceProcess({ dir, config: { logLevel: 'error' } });
      const load = new PaymentsLoad(service.client, 'order');
      load.start(1);
      await load.until(({ acknowledged }) => acknowledged.length >= 5);
      await load.stop();
      await stopServiceProcess(service);
      const path = join(dir, 'audit', segmentFile(0, 'jsonl'));
      const lines = readFileSync(path, 'utf8').split('\n');
      const at = Buffer.byteLength(`${lines.slice(0, 3).join('\n')}\n`);
      lines[3] = (lines[3] as string).replace('order-2', 'order-9');
      writeFileSync(path, lines.join('\n'));
      const { code, stdout, stderr } = await finishSealwire(['serve', '--listen', '127.0.0.1:0', '--dir', dir]);
      expect(code).to.equal(3);
      expect(stdout).to.equal('');
      const [line, ...more] = stderr.trimEnd().split('\n');
      expect(more).to.deep.equal([]);
      expect(line).to.contain(`${path}: record 3, at byte ${at}, does not fit its leaf`);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });
});
