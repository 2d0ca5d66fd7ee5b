import { execFileSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { FileLockBusy, takeFileLock } from '../../src/files/file-lock.js';

async function inFolder<T>(work: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'sealwire-lock-'));
  try {
    return await work(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** What our own lock in that folder says, with changes: the lock of somebody else. */
async function writeOther(path: string, changes: object): Promise<void> {
  const own = await takeFileLock(path);
  const text = await readFile(path, 'utf8');
  await own.release();
  await writeFile(path, `${JSON.stringify({ ...JSON.parse(text), token: 'other', ...changes })}\n`);
}

async function refusal(path: string): Promise<FileLockBusy> {
  const error = await takeFileLock(path).then(
    () => undefined,
    (found: unknown) => found,
  );
  expect(error).to.be.instanceOf(FileLockBusy);
  return error as FileLockBusy;
}

const ELSEWHERE = { place: 'another-boot pid:[1]' };

describe('a file lock', () => {
  it('is refused while a process of this namespace holds it, and taken at once when that is gone', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'lock');
      await writeOther(path, { pid: process.ppid, start: '' });
      expect((await refusal(path)).holder).to.equal(`process ${process.ppid}`);
      await writeOther(join(dir, 'later'), { pid: process.ppid, start: '1' });
      await writeOther(join(dir, 'ours'), { start: '1' });
      await writeOther(join(dir, 'nobody'), { pid: 2 ** 22 + 1 });
      for (const name of ['later', 'ours', 'nobody']) {
        const waits: string[] = [];
        const lock = await takeFileLock(join(dir, name), { onWait: (holder) => waits.push(holder) });
        expect([lock.isTakenOver, waits]).to.deep.equal([false, []]);
        await lock.release();
      }
    }));

  it('is refused while somebody elsewhere touches it', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'lock');
      await writeOther(path, ELSEWHERE);
      const beat = setInterval(() => void utimes(path, new Date(), new Date()), 400);
      try {
        expect((await refusal(path)).holder).to.include('of another container, machine or boot');
      } finally {
        clearInterval(beat);
      }
    }));

  it('is taken over when nobody touched it for 10 s, and then the other one has it no longer', function () {
    this.timeout(30_000);
    return inFolder(async (dir) => {
      const path = join(dir, 'lock');
      const first = await takeFileLock(join(dir, 'first'));
      await writeOther(path, ELSEWHERE);
      await writeFile(join(dir, 'odd'), 'no lock of ours\n');
      const waits: string[] = [];
      const [lock, odd] = await Promise.all([
        takeFileLock(path, { onWait: (holder) => waits.push(holder) }),
        takeFileLock(join(dir, 'odd')),
      ]);
      expect(waits).to.have.length(1);
      expect([lock.isTakenOver, odd.isTakenOver]).to.deep.equal([true, true]);
      expect(await lock.isHeld()).to.equal(true);
      await writeFile(path, (await readFile(path, 'utf8')).replace(/"token":"\w+"/, '"token":"new"'));
      expect(await lock.isHeld()).to.equal(false);
      // What is another's stays.
      await lock.release();
      expect(await readFile(path, 'utf8')).to.include('"token":"new"');
      await Promise.all([odd.release(), first.release()]);
    });
  });

  it('of a folder does not lock a copy of it', () =>
    inFolder(async (dir) => {
      await mkdir(join(dir, 'original'));
      await writeOther(join(dir, 'original', 'lock'), { pid: process.ppid, start: '' });
      await cp(join(dir, 'original'), join(dir, 'copy'), { recursive: true });
      const lock = await takeFileLock(join(dir, 'copy', 'lock'));
      await refusal(join(dir, 'original', 'lock'));
      await lock.release();
    }));

  it('is not waited for when it is a pipe', () =>
    inFolder(async (dir) => {
      execFileSync('mkfifo', [join(dir, 'lock')]);
      const error = await takeFileLock(join(dir, 'lock')).catch((found: unknown) => found);
      expect(error).to.include({ code: 'the lock is not a file' });
    }));
});
