import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { listSegments, segmentFile } from '../../../src/audit/format/log-files.js';
import {
  expectAuditFailed,
  field,
  inFolder,
  input,
  readLines,
  reject,
  segments,
  settle,
  until,
  withLog,
} from '../helpers.js';
import { verify } from './crashed-log.js';

async function firstSeqs(dir: string): Promise<number[]> {
  const names = await readdir(dir);
  const [lines, leaves, frontiers] = (['jsonl', 'leaves', 'frontier'] as const).map((kind) =>
    listSegments(names, kind),
  );
  expect(leaves).to.deep.equal(lines);
  expect(frontiers).to.deep.equal(lines);
  return lines as number[];
}

describe('segments', () => {
  it('end by size, without a gap in numbers or tree, also across restarts', () =>
    inFolder(async (dir) => {
      for (let run = 0; run < 3; run++) {
        await withLog(dir, { segmentBytes: 20_000 }, async (log) => {
          for (let batch = 0; batch < 8; batch++) {
            log.note(reject());
            await Promise.all(Array.from({ length: 10 }, () => log.commit(input())));
          }
        });
      }
      const firsts = await firstSeqs(dir);
      expect(firsts.length).to.be.greaterThan(5);
      for (const first of firsts.slice(0, -1)) {
        const { size } = await stat(join(dir, segmentFile(first, 'jsonl')));
        expect(size).to.be.within(20_000, 30_000);
      }
      const lines = await readLines(dir);
      expect(lines.map(({ seq }) => seq)).to.deep.equal(Array.from({ length: 3 * 89 }, (_, seq) => seq));
      expect(verify(dir)).to.deep.include({ findings: [], unsigned: 0 });
    }));

  it('begin nowhere where somebody else has begun one', () =>
    inFolder(async (dir) => {
      const states: string[] = [];
      const onState = (state: string) => void states.push(state);
      await withLog(dir, { segmentBytes: 4_096, onState }, async (log) => {
        // Behind the record of the start and the next one.
        const taken = join(dir, segmentFile(2, 'jsonl'));
        await writeFile(taken, 'of somebody else', { mode: 0o600 });
        await log.commit(input({ fields: [field({ token: 'x'.repeat(5_000) })] }));
        await until(() => states.length > 0);
        await expectAuditFailed(log.commit(input()));
        expect(states).to.deep.equal(['failed']);
        expect(await readFile(taken, 'utf8')).to.equal('of somebody else');
        expect(await readdir(dir)).to.not.include(segmentFile(2, 'leaves'));
      });
    }));

  it('end by age, counted from their first record, also when the log was closed meanwhile', () =>
    inFolder(async (dir) => {
      let now = Date.UTC(2026, 0, 1);
      const options = { segmentAgeMs: 60_000, now: () => now };
      await withLog(dir, options, async (log) => {
        now += 59_999;
        await log.commit(input());
        await settle();
        expect(await firstSeqs(dir)).to.deep.equal([0]);
        now += 1;
        await log.commit(input());
        await until(async () => (await segments(dir)).length === 2);
        now += 120_000;
        await log.commit(input());
        now += 59_999;
        await log.commit(input());
        await settle();
        expect(await firstSeqs(dir)).to.deep.equal([0, 2, 3]);
      });
      now += 1;
      await withLog(dir, options, () => until(async () => (await segments(dir)).length === 4));
      expect(await firstSeqs(dir)).to.deep.equal([0, 2, 3, 5]);
      expect(verify(dir)).to.deep.include({ findings: [], unsigned: 0 });
    }));

  it('are not begun for nothing: one without records goes on', () =>
    inFolder(async (dir) => {
      let now = Date.UTC(2026, 0, 1);
      await withLog(dir, { segmentBytes: 4_096, segmentAgeMs: 1_000, now: () => now }, async (log) => {
        await Promise.all(Array.from({ length: 20 }, () => log.commit(input())));
        await until(async () => (await segments(dir)).length === 2);
        const firsts = await firstSeqs(dir);
        now += 10_000;
        await settle();
        expect(await firstSeqs(dir)).to.deep.equal(firsts);
      });
    }));

  it('begin with a checkpoint of all that is before them', () =>
    inFolder(async (dir) => {
      await withLog(dir, { segmentBytes: 4_096, checkpointMs: 86_400_000 }, async (log) => {
        for (let record = 0; record < 20; record++) await log.commit(input());
        await settle();
      });
      const sizes = [...(await readFile(join(dir, 'checkpoints'), 'utf8')).matchAll(/^test\n(\d+)\n/gm)].map(
        ([, size]) => Number(size),
      );
      for (const first of await firstSeqs(dir)) expect(sizes).to.contain(first);
    }));
});
