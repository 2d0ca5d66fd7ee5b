import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, writeSync } from 'node:fs';
import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { segmentFile } from '../../../src/audit/format/log-files.js';
import { MerkleLog } from '../../../src/audit/write/merkle-log.js';
import { expectCode, inFolder, input, openStore, readLines, readText, segments, withLog } from '../helpers.js';
import { verify } from './crashed-log.js';

const FIRST = '00000000000000000000.jsonl';

describe('the audit folder', () => {
  it('has mode 0700, its files 0600, the segment is named by its first record', () =>
    inFolder(async (parent) => {
      const dir = join(parent, 'var', 'audit');
      const umask = process.umask(0);
      try {
        await withLog(dir, {}, async (log) => {
          await log.commit(input());
          expect((await stat(dir)).mode & 0o777).to.equal(0o700);
          for (const name of await readdir(dir)) {
            expect((await stat(join(dir, name))).mode & 0o777, name).to.equal(0o600);
          }
        });
      } finally {
        process.umask(umask);
      }
      expect(await segments(dir)).to.deep.equal([FIRST]);
    }));

  it('continues the numbering after a restart', () =>
    inFolder(async (dir) => {
      for (let start = 0; start < 3; start++) await withLog(dir, {}, (log) => log.commit(input()));
      const lines = await readLines(dir);
      expect(lines.map(({ seq }) => seq)).to.deep.equal([0, 1, 2, 3, 4, 5]);
      expect(lines.map(({ event }) => event)).to.deep.equal(['start', 'open', 'start', 'open', 'start', 'open']);
    }));

  it('continues in the last segment, and in an empty one with the number of its name', () =>
    inFolder(async (dir) => {
      await withLog(dir, {}, (log) => log.commit(input()));
      await writeFile(join(dir, segmentFile(2, 'jsonl')), '', { mode: 0o600 });
      await withLog(dir, {}, (log) => log.commit(input()));
      const lines = await readLines(dir);
      expect(lines.map(({ seq }) => seq)).to.deep.equal([0, 1, 2, 3, 4]);
      expect(lines[2]).to.include({ event: 'recover', detail: `made ${segmentFile(2, 'frontier')} anew` });
    }));

  it('reads the last number behind a line longer than its reading block', () =>
    inFolder(async (dir) => {
      const log = await openStore(dir);
      expect(log.nextSeq).to.equal(0);
      const line = (seq: number, detail: string) =>
        `{"v":1,"seq":${seq},"time":"${new Date(0).toISOString()}"${detail}}`;
      await log.append([line(0, ''), line(1, `,"detail":"${'x'.repeat(200_000)}"`)]);
      await log.close();
      const again = await openStore(dir);
      expect(again.nextSeq).to.equal(2);
      await again.close();
    }));

  it('takes nothing behind lines of later times: the next segment has to begin first', () =>
    inFolder(async (dir) => {
      let now = Date.UTC(2026, 0, 1);
      const { log } = await MerkleLog.open({ dir, origin: 'test', now: () => now });
      expect(await log.append(['{"seq":0}'])).to.equal(true);
      now -= 61_000;
      expect(await log.append(['{"seq":1}'])).to.equal(false);
      await log.sync();
      expect(log.isDue()).to.equal(true);
      await log.upkeep();
      expect(await log.append(['{"seq":1}'])).to.equal(true);
      await log.close();
    }));

  for (const line of ['not JSON', '{}', '{"seq":"1"}', '{"seq":-1}', '{"seq":1.5}', 'null', '']) {
    it(`refuses to continue a log whose last line is ${JSON.stringify(line)}`, () =>
      inFolder(async (dir) => {
        const text = `{"seq":0}\n${line}\n`;
        await writeFile(join(dir, FIRST), text);
        await expectCode(openStore(dir), 'AUDIT_FILE_INVALID');
        // Nothing was changed, and the folder is free again.
        expect(await readText(dir)).to.equal(text);
        await writeFile(join(dir, FIRST), '');
        await (await openStore(dir)).close();
      }));
  }
});

describe('the writer lock', () => {
  it('lets one writer in at a time, and the next one after it closed', () =>
    inFolder(async (dir) => {
      const first = await openStore(dir);
      await expectCode(openStore(dir), 'AUDIT_FILE_INVALID');
      await first.close();
      await (await openStore(dir)).close();
    }));

  it('is respected while the process it names runs, and taken over once that is gone', () =>
    inFolder(async (dir) => {
      const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] });
      try {
        const own = await openStore(dir);
        const holder = JSON.parse(await readFile(join(dir, 'lock'), 'utf8')) as object;
        await own.close();
        const text = `${JSON.stringify({ ...holder, pid: child.pid, start: '' })}\n`;
        await writeFile(join(dir, 'lock'), text, { mode: 0o600 });
        const error = await expectCode(openStore(dir), 'AUDIT_FILE_INVALID');
        expect(error.message).to.contain(String(child.pid));
        expect(await readFile(join(dir, 'lock'), 'utf8')).to.equal(text);
      } finally {
        const ended = once(child, 'exit');
        child.stdin?.end();
        await ended;
      }
      await (await openStore(dir)).close();
    }));

  for (const text of ['rubbish', '{"pid":-1}\n']) {
    it(`takes over a lock file that names no process: ${JSON.stringify(text)}`, () =>
      inFolder(async (dir) => {
        await withLog(dir, {}, (log) => log.commit(input()));
        await writeFile(join(dir, 'lock'), text);
        // Its holder may only be paused, with these open.
        const open = [FIRST, segmentFile(0, 'leaves'), 'checkpoints'].map((name) => openSync(join(dir, name), 'a'));
        await withLog(dir, {}, async (log) => {
          for (const fd of open) writeSync(fd, 'of whoever was paused\n'.repeat(2));
          await log.commit(input());
        });
        for (const fd of open) closeSync(fd);
        expect(await readdir(dir)).not.to.contain('lock');
        expect(verify(dir).findings).to.deep.equal([]);
        await withLog(dir, {}, (log) => log.commit(input()));
      }));
  }

  it('leaves a folder that it cannot use as it is', () =>
    inFolder(async (dir) => {
      await writeFile(join(dir, 'file'), 'x');
      await openStore(join(dir, 'file')).then(
        () => expect.fail('opened a file as a folder'),
        () => {},
      );
      await chmod(join(dir, 'file'), 0o600);
      expect(await readFile(join(dir, 'file'), 'utf8')).to.equal('x');
    }));
});
