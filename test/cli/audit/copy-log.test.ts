import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { segmentFile } from '../../../src/audit/format/log-files.js';
import { parseSignerKey } from '../../../src/audit/format/note-keys.js';
import { verifyLog } from '../../../src/audit/read/verify-log.js';
import { copyLog } from '../../../src/cli/audit/copy-log.js';
import { expectCode, inFolder, input, segments, until, withLog } from '../../audit/helpers.js';
import { buildLog, createTestSigner, type LogFiles, readLog, writeLog } from '../../support/log-builder.js';

const HOUR_MS = 3_600_000;
const START_MS = Date.UTC(2026, 0, 1);

/** Writes a segment per hour. */
async function writeHours(dir: string, from: number, to: number): Promise<void> {
  for (let hour = from; hour < to; hour++) {
    const options = { segmentBytes: 4_096, now: () => START_MS + hour * HOUR_MS };
    await withLog(dir, options, async (log) => {
      const count = (await segments(dir)).length;
      await Promise.all(Array.from({ length: 10 }, () => log.commit(input())));
      await until(async () => (await segments(dir)).length > count);
    });
  }
}

/** Puts other files in a folder at once, as far as anybody who reads it can tell. */
function replaceFiles(dir: string, files: LogFiles): void {
  for (const name of readdirSync(dir)) rmSync(join(dir, name));
  for (const [name, bytes] of files) writeFileSync(join(dir, name), bytes, { mode: 0o600 });
}

describe('a copy of a log', function () {
  this.timeout(20_000);
  const signer = createTestSigner();
  const { verifier } = signer;

  it('has what a finished log has, for its owner alone', () =>
    inFolder(async (dir) => {
      const files = buildLog({ records: 250, segmentRecords: 100, signer });
      writeLog(dir, files);
      const to = `${dir}-copies/first`;
      const done: number[] = [];
      const progress = (bytes: number, total: number) => done.push(total - bytes);
      const { files: count, bytes } = await copyLog({ dir, to, verifier, progress });
      expect(readLog(to)).to.deep.equal(files);
      expect(count).to.equal(files.size);
      expect(bytes).to.equal([...files.values()].reduce((sum, file) => sum + file.length, 0));
      expect(done.at(-1)).to.equal(0);
      expect((await stat(to)).mode & 0o777).to.equal(0o700);
      for (const name of await readdir(to)) expect((await stat(join(to, name))).mode & 0o777).to.equal(0o600);
    }));

  it('verifies and goes on, whenever the log grows and loses its oldest records meanwhile', () =>
    inFolder(async (dir) => {
      await writeHours(dir, 0, 4);
      const early = readLog(dir);
      await writeHours(dir, 4, 6);
      const retention = { retainMs: HOUR_MS, now: () => START_MS + 6 * HOUR_MS };
      await withLog(dir, retention, () => until(async () => (await segments(dir)).length < 3));
      const late = readLog(dir);
      const { verifier: own } = parseSignerKey(readFileSync(`${dir}.key`, 'utf8').trim());

      let steps = 1;
      const seen = new Set<number>();
      for (let changeAt = 0; changeAt < steps; changeAt++) {
        replaceFiles(dir, early);
        const to = `${dir}-${changeAt}`;
        let step = 0;
        const next = () => {
          if (step++ === changeAt) replaceFiles(dir, late);
        };
        const watched = {
          ...own,
          verify: (text: string, signature: Buffer) => {
            next();
            return own.verify(text, signature);
          },
        };
        await copyLog({ dir, to, verifier: watched, progress: next });
        steps = Math.max(steps, step);
        const report = verifyLog({ dir: to, verifier: own });
        expect(report.findings, `changed at step ${changeAt}`).to.deep.equal([]);
        seen.add(report.removed);
        await withLog(to, { keyFile: `${dir}.key` }, (log) => log.commit(input()));
        expect(verifyLog({ dir: to, verifier: own }).findings).to.deep.equal([]);
      }
      // Before any change, and after it.
      expect(steps).to.be.greaterThan(10);
      expect(seen.size).to.equal(2);
    }));

  it('takes no folder that has something in it, and leaves nothing of a copy that failed', () =>
    inFolder(async (dir) => {
      writeLog(dir, buildLog({ records: 30, segmentRecords: 10, signer }));
      const to = `${dir}-copy`;
      await mkdir(to);
      writeFileSync(join(to, 'note'), '');
      const { message } = await expectCode(copyLog({ dir, to, verifier }), 'OPTIONS_INVALID');
      expect(message).to.equal(`${to}: not empty; name a new folder`);
      expect(await readdir(to)).to.deep.equal(['note']);

      await rm(join(to, 'note'));
      rmSync(join(dir, segmentFile(10, 'jsonl')));
      await mkdir(join(dir, segmentFile(10, 'jsonl')));
      const error = await expectCode(copyLog({ dir, to, verifier }), 'AUDIT_FILE_INVALID');
      expect(error.message).to.equal(`${join(dir, segmentFile(10, 'jsonl'))}: not a file`);
      expect(await readdir(to)).to.deep.equal([]);
      const file = join(dir, 'log.vkey');
      const unwritable = await expectCode(copyLog({ dir, to: file, verifier }), 'AUDIT_FILE_INVALID');
      expect(unwritable.message).to.equal(`${file}: EEXIST`);
    }));

  it('is none of a log whose checkpoint is missing or signed by another key', () =>
    inFolder(async (dir) => {
      writeLog(dir, buildLog({ records: 30, signer }));
      const to = `${dir}-copy`;
      const other = createTestSigner().verifier;
      await expectCode(copyLog({ dir, to, verifier: other }), 'AUDIT_FILE_INVALID');
      await rm(join(dir, 'checkpoint'));
      const { message } = await expectCode(copyLog({ dir, to, verifier }), 'AUDIT_FILE_INVALID');
      expect(message).to.equal(`${dir}: no log, or one without checkpoint`);
    }));
});
