import { execFileSync } from 'node:child_process';
import { chmod, chown, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { servicePaths } from '../../src/files/service-paths.js';
import { loadKeys } from '../../src/host/key-files.js';
import { inFolder, refusal } from '../keys/helpers.js';

describe('the folder of the keys', () => {
  it("is refused when others can change it, or it is somebody else's", () =>
    inFolder(async (dir) => {
      await loadKeys(dir);
      await chmod(join(dir, 'keys'), 0o770);
      const { message } = await refusal(() => loadKeys(dir), 'KEY_FILE_INVALID');
      expect(message).to.include('mode 0770 lets others change it');
      await chmod(join(dir, 'keys'), 0o700);
      if (process.getuid?.() !== 0) return;
      await chown(join(dir, 'keys'), 65_534, 65_534);
      await refusal(() => loadKeys(dir), 'KEY_FILE_INVALID');
      await chown(join(dir, 'keys'), 0, 0);
      await chown(servicePaths(dir).ring, 65_534, 65_534);
      await refusal(() => loadKeys(dir), 'KEY_FILE_MODE');
      await chown(servicePaths(dir).ring, 0, 0);
      await loadKeys(dir);
    }));

  for (const name of ['ring.json', 'ring.json.lock', 'root.json', 'log.key']) {
    it(`is refused at once when ${name} is a pipe`, () =>
      inFolder(async (dir) => {
        await mkdir(join(dir, 'keys'), { mode: 0o700 });
        execFileSync('mkfifo', ['-m', '600', join(dir, 'keys', name)]);
        const { message } = await refusal(() => loadKeys(dir), 'KEY_FILE_INVALID');
        expect(message).to.equal(`${join(dir, 'keys', name)}: is not a file`);
      }));
  }

  it('may consist of links, as a mounted secret does', () =>
    inFolder(async (dir) => {
      await loadKeys(dir);
      const { ring } = servicePaths(dir);
      await mkdir(join(dir, 'keys', '..data'));
      execFileSync('mv', [ring, join(dir, 'keys', '..data', 'ring.json')]);
      await symlink('..data/ring.json', ring);
      expect((await loadKeys(dir)).created).to.equal(false);
      await rm(ring);
      await writeFile(ring, '');
    }));
});
