import { lstat, mkdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { CHECKPOINTS_FILE, segmentFile } from '../../../src/audit/format/log-files.js';
import { detachFiles, explain } from '../../../src/audit/write/log-folder.js';
import { expectCode, inFolder, input, withLog } from '../helpers.js';

describe('the folder of a log', () => {
  it('gets copies of its open files when it is taken over', () =>
    inFolder(async (dir) => {
      await withLog(dir, {}, (log) => log.commit(input()));
      const names = [segmentFile(0, 'jsonl'), segmentFile(0, 'leaves'), CHECKPOINTS_FILE];
      const look = () =>
        Promise.all(names.map(async (name) => [(await lstat(join(dir, name))).ino, await readFile(join(dir, name))]));
      const before = await look();
      await detachFiles(dir);
      const after = await look();
      expect(after.map(([, bytes]) => bytes)).to.deep.equal(before.map(([, bytes]) => bytes));
      for (const [index, [inode]] of after.entries()) expect(inode).not.to.equal(before[index]?.[0]);
    }));

  for (const name of [segmentFile(0, 'jsonl'), segmentFile(0, 'leaves'), CHECKPOINTS_FILE]) {
    it(`gets no copy of what a link in the place of ${name} leads to`, () =>
      inFolder(async (dir) => {
        await withLog(dir, {}, (log) => log.commit(input()));
        const keys = join(dirname(dir), 'keys');
        await mkdir(keys);
        await writeFile(join(keys, 'ring.json'), 'a private key');
        await rm(join(dir, name));
        await symlink('../keys/ring.json', join(dir, name));
        const { message } = await expectCode(detachFiles(dir), 'AUDIT_FILE_INVALID');
        expect(message).to.equal(`${join(dir, name)}: ELOOP`);
        expect((await lstat(join(dir, name))).isSymbolicLink()).to.equal(true);
      }));
  }

  it('is opened however large its list of checkpoints has become', () =>
    inFolder(async (dir) => {
      await withLog(dir, {}, (log) => log.commit(input()));
      const path = join(dir, CHECKPOINTS_FILE);
      const list = await readFile(path);
      // More than Node reads at once: a hole, and the last ones behind it.
      await truncate(path, 0);
      await truncate(path, 2 ** 31);
      await writeFile(path, Buffer.concat([Buffer.from('\n\n'), list]), { flag: 'a' });
      await withLog(dir, {}, (log) => log.commit(input()));
    }));
});

describe('an error of the system under a log', () => {
  it('is told with the file that it names, which may be another than the folder', async () => {
    const said = (work: () => Promise<unknown>) => explain('/log', work).catch(({ message }: Error) => message);
    expect(await said(() => readFile('/absent/log.key'))).to.equal('/absent/log.key: ENOENT');
    expect(await said(() => Promise.reject(Object.assign(new Error(), { code: 'EIO' })))).to.equal('/log: EIO');
  });
});
