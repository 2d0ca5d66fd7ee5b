import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
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

const bootId = () => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
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

  const others: readonly [name: string, changes: object, who?: string][] = [
    ['somebody elsewhere', ELSEWHERE],
    // Each mount of a network file system may be a device of its own.
    ['another container that sees the folder by another mount', { place: 'BOOT pid:[1]', folder: '1:1' }],
    [
      'another process that sees it by another mount',
      { pid: process.ppid, start: '', folder: '1:1' },
      'another mount or the original of this folder',
    ],
  ];
  for (const [name, changes, who = 'another container, machine or boot'] of others) {
    it(`is refused while ${name} touches it`, () =>
      inFolder(async (dir) => {
        const path = join(dir, 'lock');
        await writeOther(path, changes);
        await writeFile(path, (await readFile(path, 'utf8')).replace('BOOT', bootId()));
        const beat = setInterval(() => void utimes(path, new Date(), new Date()), 400);
        try {
          expect((await refusal(path)).holder).to.match(new RegExp(`^process \\d+ of ${who}$`));
        } finally {
          clearInterval(beat);
        }
      }));
  }

  it('is taken over when nobody touched it for 10 s, and then the other one has it no longer', function () {
    this.timeout(30_000);
    return inFolder(async (dir) => {
      const path = join(dir, 'lock');
      const first = await takeFileLock(join(dir, 'first'));
      await writeOther(path, ELSEWHERE);
      await writeFile(join(dir, 'odd'), 'no lock of ours\n');
      await mkdir(join(dir, 'original'));
      await writeOther(join(dir, 'original', 'lock'), { pid: process.ppid, start: '' });
      await cp(join(dir, 'original'), join(dir, 'copy'), { recursive: true });
      const waits: string[] = [];
      const [lock, odd, copied] = await Promise.all([
        takeFileLock(path, { onWait: (holder) => waits.push(holder) }),
        takeFileLock(join(dir, 'odd')),
        takeFileLock(join(dir, 'copy', 'lock')),
      ]);
      expect(waits).to.have.length(1);
      expect([lock.isTakenOver, odd.isTakenOver]).to.deep.equal([true, true]);
      expect(await lock.isHeld()).to.equal(true);
      await writeFile(path, (await readFile(path, 'utf8')).replace(/"token":"\w+"/, '"token":"new"'));
      expect(await lock.isHeld()).to.equal(false);
      // What is another's stays.
      await lock.release();
      expect(await readFile(path, 'utf8')).to.include('"token":"new"');
      await refusal(join(dir, 'original', 'lock'));
      await Promise.all([odd.release(), copied.release(), first.release()]);
    });
  });

  it('is not waited for when it is a pipe', () =>
    inFolder(async (dir) => {
      execFileSync('mkfifo', [join(dir, 'lock')]);
      const error = await takeFileLock(join(dir, 'lock')).catch((found: unknown) => found);
      expect(error).to.include({ code: 'the lock is not a file' });
    }));
});
