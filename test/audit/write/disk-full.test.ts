import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { segmentFile } from '../../../src/audit/format/log-files.js';
import type { AppendFile } from '../../../src/audit/write/append-file.js';
import { MerkleLog } from '../../../src/audit/write/merkle-log.js';
import {
  expectAuditFailed,
  inFolder,
  input,
  makeGate,
  readLines,
  reject,
  settle,
  TestFile,
  until,
  withLog,
  withTestFile,
} from '../helpers.js';
import { verify } from './crashed-log.js';

function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

async function expectWhole(dir: string, records: number): Promise<void> {
  const lines = await readLines(dir);
  expect(lines.map(({ seq }) => seq)).to.deep.equal(Array.from({ length: records }, (_, seq) => seq));
  expect(verify(dir)).to.deep.include({ findings: [], records, unsigned: 0 });
}

describe('a full disk', () => {
  for (const code of ['ENOSPC', 'EDQUOT']) {
    it(`refuses calls while it lasts, and leaves nothing of them (${code})`, () =>
      inFolder(async (dir) => {
        await withTestFile(dir, {}, async (log, file) => {
          await log.commit(input());
          const sizes = async () => {
            const names = [segmentFile(0, 'jsonl'), segmentFile(0, 'leaves')];
            return (await Promise.all(names.map((name) => stat(join(dir, name))))).map(({ size }) => size);
          };
          const before = await sizes();
          file.failAppend = systemError(code);
          for (let attempt = 0; attempt < 3; attempt++) {
            await Promise.all([log.commit(input()), log.commit(input())].map(expectAuditFailed));
            expect(await sizes()).to.deep.equal(before);
            expect(log.stats()).to.include({ isFull: true, hasFailed: false });
          }
          file.failAppend = undefined;
          await Promise.all([log.commit(input()), log.commit(input())]);
          expect(log.stats()).to.include({ isFull: false, hasFailed: false });
        });
        await expectWhole(dir, 4);
      }));
  }

  it('refuses calls in async mode too, once it is known', () =>
    inFolder(async (dir) => {
      await withTestFile(dir, { mode: 'async' }, async (log, file) => {
        await settle();
        file.failAppend = systemError('ENOSPC');
        await log.commit(input());
        await settle();
        await expectAuditFailed(log.commit(input()));
        file.failAppend = undefined;
        await log.commit(input());
        await settle();
        expect(log.stats().isFull).to.equal(false);
        const { gate, open } = makeGate();
        file.gate = gate;
        await log.commit(input());
        open();
      });
      await expectWhole(dir, 3);
    }));

  it('counts the refused calls that it could not write, and tells their number later', () =>
    inFolder(async (dir) => {
      await withTestFile(dir, { now: () => 1_000_000 }, async (log, file) => {
        file.failAppend = systemError('ENOSPC');
        for (let call = 0; call < 3; call++) {
          log.note(reject());
          await settle();
        }
        file.failAppend = undefined;
      });
      const lines = await readLines(dir);
      expect(lines.at(-1)).to.include({ event: 'reject', detail: '3 more refused calls' });
      await expectWhole(dir, 2);
    }));

  it('is for good when what was written cannot be cut away', () =>
    inFolder((dir) =>
      withTestFile(dir, {}, async (log, file) => {
        file.failAppend = systemError('ENOSPC');
        file.failCut = systemError('EIO');
        await expectAuditFailed(log.commit(input()));
        file.failAppend = undefined;
        file.failCut = undefined;
        await expectAuditFailed(log.commit(input()));
        expect(log.stats().hasFailed).to.equal(true);
      }),
    ));

  it('is for good when a sync says so', () =>
    inFolder((dir) =>
      withTestFile(dir, {}, async (log, file) => {
        file.failSync = systemError('ENOSPC');
        await expectAuditFailed(log.commit(input()));
        file.failSync = undefined;
        await expectAuditFailed(log.commit(input()));
      }),
    ));
});

describe('leaves', () => {
  const leafBytes = async (dir: string) => (await stat(join(dir, segmentFile(0, 'leaves')))).size;

  it('are written with the checkpoint that covers them, not with each record', () =>
    inFolder(async (dir) => {
      await withTestFile(dir, { kind: 'leaves' }, async (log, file) => {
        for (let call = 0; call < 5; call++) await log.commit(input());
        expect(file.calls).to.deep.equal([]);
        expect(await leafBytes(dir)).to.equal(0);
      });
      expect(await leafBytes(dir)).to.equal(6 * 32);
    }));

  it('that found no room stand in the order of their records once they have it', () =>
    inFolder(async (dir) => {
      await withTestFile(dir, { kind: 'leaves', checkpointRecords: 3 }, async (log, file) => {
        file.failAppend = systemError('ENOSPC');
        for (let call = 0; call < 4; call++) await log.commit(input());
        await until(() => file.calls.includes('cut'));
        await settle();
        for (let call = 0; call < 4; call++) await log.commit(input());
        expect(await leafBytes(dir)).to.equal(0);
        file.failAppend = undefined;
      });
      await expectWhole(dir, 9);
    }));

  it('that could not be cut away stop the log for good', () =>
    inFolder((dir) =>
      withTestFile(dir, { kind: 'leaves', checkpointRecords: 3 }, async (log, file) => {
        file.failAppend = systemError('ENOSPC');
        file.failCut = systemError('ENOSPC');
        for (let call = 0; call < 4; call++) await log.commit(input()).catch(() => {});
        await until(() => file.calls.includes('cut'));
        await settle();
        await expectAuditFailed(log.commit(input()));
        expect(log.stats().hasFailed).to.equal(true);
      }),
    ));

  it('that wait for room are bounded: then the disk counts as full', () =>
    inFolder(async (dir) => {
      const wrapFile = (real: AppendFile, kind: string) => {
        const file = new TestFile(real);
        if (kind === 'leaves') file.failAppend = systemError('ENOSPC');
        return file;
      };
      const { log } = await MerkleLog.open({ dir, origin: 'test', wrapFile });
      const batch = Array.from({ length: 32_768 }, () => '{}');
      for (let count = 0; count < 8; count++) expect(await log.append(batch)).to.equal(true);
      expect(await log.append(['{}'])).to.equal(false);
      expect(log.nextSeq).to.equal(8 * 32_768);
      await log.close();
    }));
});

describe('a checkpoint', () => {
  it('follows the configured number of records, and holds up no call', () =>
    inFolder(async (dir) => {
      await withTestFile(dir, { kind: 'leaves', checkpointRecords: 5 }, async (log, file) => {
        const { gate, open } = makeGate();
        file.gate = gate;
        for (let call = 0; call < 20; call++) await log.commit(input());
        expect(verify(dir).unsigned).to.equal(21);
        open();
        await until(() => verify(dir).unsigned < 21);
        expect(verify(dir)).to.deep.include({ findings: [], records: 21 });
      });
      expect(verify(dir)).to.deep.include({ findings: [], unsigned: 0 });
    }));

  it('follows the configured time', () =>
    inFolder((dir) =>
      withLog(dir, { checkpointMs: 10 }, async (log) => {
        await log.commit(input());
        await until(() => verify(dir).unsigned === 0);
      }),
    ));

  it('is made when the log closes, once for each size', () =>
    inFolder(async (dir) => {
      await withTestFile(dir, {}, async (log) => log.commit(input()));
      const list = await readFile(join(dir, 'checkpoints'), 'utf8');
      // One at the first start, of no records, and one at the end.
      expect(list.split('\n\n')).to.have.length(5);
    }));

  it('covers rejects, which nobody waits for, only after a sync', () =>
    inFolder(async (dir) => {
      await withTestFile(dir, { checkpointRecords: 2 }, async (log, file) => {
        log.note(reject());
        await until(() => verify(dir).unsigned === 0);
        expect(file.calls).to.deep.equal(['append', 'sync']);
      });
    }));

  for (const failing of ['checkpoint', 'checkpoints', 'leaves'] as const) {
    /** Makes one kind of file fail while `isFailing` holds, and counts. */
    const wrapWith = (fail: (file: TestFile) => void) => {
      const state = { isFailing: false, files: 0 };
      const wrapFile = (real: AppendFile, kind: string): AppendFile => {
        const file = new TestFile(real);
        if (kind !== failing) return file;
        file.onUse = () => {
          file.failAppend = undefined;
          file.failSync = undefined;
          if (!state.isFailing) return;
          state.files++;
          fail(file);
        };
        return file;
      };
      return { state, wrapFile };
    };
    it(`that finds no room is put off, and made later (${failing})`, () =>
      inFolder(async (dir) => {
        const { state, wrapFile } = wrapWith((file) => {
          file.failAppend = systemError('ENOSPC');
        });
        await withLog(dir, { checkpointRecords: 2, wrapFile }, async (log) => {
          state.isFailing = true;
          for (let call = 0; call < 5; call++) await log.commit(input());
          await until(() => state.files > 0);
          await settle();
          await log.commit(input());
          expect(log.stats().hasFailed).to.equal(false);
          state.isFailing = false;
        });
        await expectWhole(dir, 7);
        // And the list of all lacks none.
        await withLog(dir, {}, async () => {});
        await expectWhole(dir, 8);
      }));

    it(`that cannot be synced stops the log for good (${failing})`, () =>
      inFolder((dir) => {
        const { state, wrapFile } = wrapWith((file) => {
          file.failSync = new Error('EIO');
        });
        return withLog(dir, { checkpointRecords: 2, wrapFile }, async (log) => {
          state.isFailing = true;
          await log.commit(input());
          await until(() => state.files > 0);
          await settle();
          state.isFailing = false;
          await expectAuditFailed(log.commit(input()));
          await expectAuditFailed(log.commit(input()));
          expect(log.stats().hasFailed).to.equal(true);
        });
      }));
  }

  it('that cannot be synced is noticed by a call whose own sync is under way', () =>
    inFolder((dir) => {
      const files = new Map<string, TestFile>();
      const wrapFile = (real: AppendFile, kind: string) => {
        const file = new TestFile(real);
        files.set(kind, file);
        return file;
      };
      return withLog(dir, { checkpointRecords: 1, wrapFile }, async (log) => {
        await until(() => verify(dir).unsigned === 0);
        const [lines, leaves] = [files.get('jsonl') as TestFile, files.get('leaves') as TestFile];
        const [linesGate, leavesGate] = [makeGate(), makeGate()];
        leaves.gate = leavesGate.gate;
        leaves.failSync = new Error('EIO');
        await log.commit(input());
        await until(() => leaves.calls.filter((call) => call === 'sync').length === 2);
        lines.gate = linesGate.gate;
        const commit = expectAuditFailed(log.commit(input()));
        await settle();
        leavesGate.open();
        await settle();
        linesGate.open();
        await commit;
      });
    }));
});
