import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { readKeyFile, writeKeyFile } from '../../src/keys/files.js';
import { refusal } from './helpers.js';

const MAX = 1_048_576;

describe('writeKeyFile', () => {
  let path: string;
  beforeEach(async () => {
    path = join(await mkdtemp(join(tmpdir(), 'sealwire-files-')), 'key.json');
  });
  afterEach(() => rm(join(path, '..'), { recursive: true, force: true }));

  for (const [what, mode, before, after] of [
    ['keeps the mode of a public file', 0o644, 0o640, 0o640],
    ['keeps a public file writable for its group', 0o644, 0o664, 0o664],
    ['keeps a private file that is read-only', 0o600, 0o400, 0o400],
    ['takes a private file away from others', 0o600, 0o644, 0o600],
  ] as const) {
    it(what, async () => {
      await writeFile(path, 'old');
      await chmod(path, before);
      await writeKeyFile(path, 'new', mode);
      expect([(await stat(path)).mode & 0o777, await readFile(path, 'utf8')]).to.deep.equal([after, 'new']);
    });
  }

  it('says how large a file may be, before and after', async () => {
    const why = `${path}: too large: a key file has at most ${MAX} bytes`;
    const write = await refusal(() => writeKeyFile(path, 'x'.repeat(MAX + 1), 0o600), 'KEY_FILE_WRITE');
    expect(write.message).to.equal(why);
    await writeFile(path, 'x'.repeat(MAX + 1), { mode: 0o600 });
    const read = await refusal(() => readKeyFile(path, { secret: true }), 'KEY_FILE_INVALID');
    expect(read.message).to.equal(why);
  });
});
