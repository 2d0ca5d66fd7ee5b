import { execFileSync } from 'node:child_process';
import { appendFile, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { expect } from 'chai';
import { listSegments, segmentFile } from '../../../src/audit/format/log-files.js';
import { parseSignerKey } from '../../../src/audit/format/note-keys.js';
import { readRecentTokens } from '../../../src/audit/read/recent-tokens.js';
import type { AuditReport } from '../../../src/audit/write/reports.js';
import { Retention } from '../../../src/audit/write/retention.js';
import { expectCode, inFolder, input, readLines, until, withLog } from '../helpers.js';
import { verify } from './crashed-log.js';

const HOUR_MS = 3_600_000;
const START_MS = Date.UTC(2026, 0, 1);

async function firstSeqs(dir: string, kind: 'jsonl' | 'leaves'): Promise<number[]> {
  return listSegments(await readdir(dir), kind);
}

/** Writes one segment of about 25 KB per hour. */
async function writeHours(dir: string, hours: number, from = 0): Promise<void> {
  for (let hour = from; hour < from + hours; hour++) {
    const options = { segmentBytes: 20_000, now: () => START_MS + hour * HOUR_MS };
    await withLog(dir, options, async (log) => {
      await Promise.all(Array.from({ length: 30 }, () => log.commit(input())));
      await until(async () => (await firstSeqs(dir, 'jsonl')).length > hour - from + 1);
    });
  }
}

const OLD_LINE = '{"v":1,"seq":0,"time":"2020-01-01T00:00:00.000Z","event":"open"}\n';

const readSigner = async (dir: string) => parseSignerKey((await readFile(`${dir}.key`, 'utf8')).trim());

describe('retention', () => {
  it('removes nothing unless it is asked to', () =>
    inFolder(async (dir) => {
      await writeHours(dir, 3);
      await withLog(dir, { now: () => START_MS + 1e12 }, async () => {});
      expect(await firstSeqs(dir, 'jsonl')).to.have.length(4);
    }));

  it('removes whole segments whose records are all too old, says so first, and what is left verifies', () =>
    inFolder(async (dir) => {
      await writeHours(dir, 5);
      const before = await firstSeqs(dir, 'jsonl');
      const reports: AuditReport[] = [];
      const options = {
        retainMs: 2 * HOUR_MS,
        now: () => START_MS + 5 * HOUR_MS,
        report: (report: AuditReport) => reports.push(report),
      };
      await withLog(dir, options, async () =>
        until(async () => (await firstSeqs(dir, 'jsonl')).length < before.length),
      );
      // The third segment ends in hour 2, the fourth in hour 3: two hours ago, and not more.
      const left = before.slice(3);
      expect(await firstSeqs(dir, 'jsonl')).to.deep.equal(left);
      expect(await firstSeqs(dir, 'leaves')).to.deep.equal(before);
      const detail = `records 0 to ${(left[0] as number) - 1} are removed by retention`;
      expect((await readLines(dir)).filter(({ event }) => event === 'retire').map((line) => line.detail)).to.deep.equal(
        [detail],
      );
      expect(reports).to.deep.include({
        level: 'info',
        message: 'old audit records were removed',
        facts: { first: 0, last: (left[0] as number) - 1 },
      });
      expect(verify(dir)).to.deep.include({ findings: [], removed: left[0], unsigned: 0 });
      // And the log goes on, also without its shortcut.
      await rm(join(dir, segmentFile(left.at(-1) as number, 'frontier')));
      await withLog(dir, {}, (log) => log.commit(input()));
      expect(verify(dir)).to.deep.include({ findings: [], removed: left[0], unsigned: 0 });
    }));

  it('removes the oldest segments of a log that is too large, as it grows', () =>
    inFolder(async (dir) => {
      let now = START_MS;
      const options = { segmentBytes: 300_000, retainBytes: 1_048_576, now: () => now };
      const large = input({ fields: [{ ...input().fields[0], token: 'A'.repeat(90_000) } as never] });
      await withLog(dir, options, async (log) => {
        for (let record = 0; record < 40; record++) {
          now += HOUR_MS;
          await log.commit(large);
        }
        // What is removed is told and covered first, beside the calls.
        await until(async () => ((await firstSeqs(dir, 'jsonl'))[0] as number) > 20);
      });
      const firsts = await firstSeqs(dir, 'jsonl');
      expect(firsts[0]).to.be.greaterThan(20);
      const sizes = await Promise.all(
        firsts.map(async (first) => (await stat(join(dir, segmentFile(first, 'jsonl')))).size),
      );
      expect(sizes.reduce((sum, size) => sum + size, 0)).to.be.lessThan(1_048_576 + 2 * 400_000);
      expect(verify(dir)).to.deep.include({ findings: [], removed: firsts[0], unsigned: 0 });
    }));

  it('answers for all that it ever removed, and for nothing that somebody else did', () =>
    inFolder(async (dir) => {
      const retain = (hour: number) => {
        const options = { retainMs: HOUR_MS, now: () => START_MS + hour * HOUR_MS };
        return withLog(dir, options, () => until(async () => (await firstSeqs(dir, 'jsonl')).length === 1));
      };
      await writeHours(dir, 3);
      await retain(6);
      const first = (await firstSeqs(dir, 'jsonl'))[0] as number;
      await writeHours(dir, 3, 7);
      // The record that told of the first ones goes, too.
      await retain(20);
      const second = (await firstSeqs(dir, 'jsonl'))[0] as number;
      expect(second).to.be.greaterThan(first);
      expect(verify(dir)).to.deep.include({ findings: [], removed: second });

      // Whoever can write the folder removes a segment, and the next retention must not make it right.
      await writeHours(dir, 3, 21);
      const [stolen, next] = (await firstSeqs(dir, 'jsonl')) as [number, number];
      await rm(join(dir, segmentFile(stolen, 'jsonl')));
      await retain(40);
      const last = (await firstSeqs(dir, 'jsonl'))[0] as number;
      expect(last).to.be.greaterThan(next);
      const { findings } = verify(dir);
      expect(findings[0]).to.include({ kind: 'missing', last: last - 1 });
      expect(findings[0]?.seq).to.be.at.most(stolen);
    }));

  /**
   * What somebody who can write the folder, and has no key, does to segments, so that the service removes and vouches.
   */
  const attacks: readonly [name: string, attack: (path: string) => Promise<void>][] = [
    ['has an old line behind its last', (path) => appendFile(path, OLD_LINE)],
    [
      'has an old line in place of its last',
      async (path) => {
        const lines = (await readFile(path, 'utf8')).split('\n');
        await writeFile(path, [...lines.slice(0, -2), OLD_LINE].join('\n'));
      },
    ],
    [
      'was blown up in front of its last line',
      async (path) => {
        const last = (await readFile(path, 'utf8')).split('\n').at(-2);
        await truncate(path, 2_000_000);
        await appendFile(path, `\n${last}\n`);
      },
    ],
    [
      'has no line behind it',
      async (path) => {
        const dir = dirname(path);
        const [next] = (await firstSeqs(dir, 'jsonl')).filter((first) => segmentFile(first, 'jsonl') > basename(path));
        await rm(join(dir, segmentFile(next as number, 'jsonl')));
      },
    ],
  ];
  for (const [name, attack] of attacks) {
    it(`removes nothing from a segment on that ${name}`, () =>
      inFolder(async (dir) => {
        await writeHours(dir, 5);
        const [first = 0, second = 0, ...others] = await firstSeqs(dir, 'jsonl');
        await attack(join(dir, segmentFile(second, 'jsonl')));
        const next = name.startsWith('has no') ? others[1] : others[0];
        const options = { retainMs: 5 * HOUR_MS, retainBytes: 1_048_576, now: () => START_MS + 6 * HOUR_MS };
        const retention = new Retention(dir, await readSigner(dir), options, () => false);
        // The first segment alone is too old.
        const { segments, changed } = await retention.find(0);
        expect(segments.map((segment) => [segment.first, segment.next])).to.deep.equal([[first, second]]);
        expect(changed).to.deep.equal({ first: second, next });
        // Neither does what is there become too much by it.
        const bySize = new Retention(dir, await readSigner(dir), { ...options, retainMs: 1e9 }, () => false);
        expect((await bySize.find(0)).segments).to.deep.equal([]);
      }));
  }

  for (const kind of ['jsonl', 'frontier'] as const) {
    it(`does not wait for a pipe in place of a file of ${kind}`, () =>
      inFolder(async (dir) => {
        await writeHours(dir, 2);
        const path = join(dir, segmentFile(0, kind));
        await rm(path);
        execFileSync('mkfifo', [path]);
        const retention = new Retention(dir, await readSigner(dir), { retainMs: HOUR_MS }, () => false);
        await expectCode(retention.find(0), 'AUDIT_FILE_INVALID');
      }));
  }

  it('says so when it keeps what was changed', () =>
    inFolder(async (dir) => {
      await writeHours(dir, 3);
      const [first, next] = (await firstSeqs(dir, 'jsonl')) as [number, number];
      await appendFile(join(dir, segmentFile(first, 'jsonl')), OLD_LINE);
      const reports: AuditReport[] = [];
      const report = (one: AuditReport) => void reports.push(one);
      await withLog(dir, { retainMs: HOUR_MS, now: () => START_MS + 9 * HOUR_MS, report }, () =>
        until(() => reports.length > 0),
      );
      expect(reports[0]).to.deep.include({ level: 'error', facts: { first, last: next - 1 } });
      expect((await firstSeqs(dir, 'jsonl'))[0]).to.equal(first);
    }));

  it('keeps what a replay guard needs after a restart, however large it is', () =>
    inFolder(async (dir) => {
      let now = START_MS;
      const options = { segmentBytes: 100_000, retainBytes: 1_048_576, now: () => now };
      const large = input({ fields: [{ ...input().fields[0], token: 'A'.repeat(90_000) } as never] });
      await withLog(dir, options, async (log) => {
        for (let record = 0; record < 40; record++) {
          now += 10_000;
          await log.commit(large);
        }
      });
      let tokens = 0;
      for await (const _ of readRecentTokens(dir, now - 360_000)) tokens++;
      expect(tokens).to.equal(37);
      expect(await firstSeqs(dir, 'jsonl')).to.include(0);
    }));

  for (const options of [{ retainMs: 1_000 }, { retainBytes: 1 }, { retainMs: Number.NaN }]) {
    it(`refuses ${JSON.stringify(options)}`, () =>
      inFolder(async (dir) => {
        await expectCode(
          withLog(dir, options, async () => {}),
          'OPTIONS_INVALID',
        );
      }));
  }
});
