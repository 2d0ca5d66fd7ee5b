import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { createFileMemory } from '../../src/client/key-set-memory.js';
import { inFolder, refusal } from '../keys/helpers.js';

describe('the memory of a key directory', () => {
  it('is empty at first, and keeps the highest version of each recipient, for other processes too', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'keys.state.json');
      const memory = createFileMemory(path);
      expect(await memory.recall('payments')).to.equal(undefined);
      await Promise.all([
        memory.remember('payments', { version: 7, text: 'a' }),
        memory.remember('fraud-team', { version: 3, text: 'b' }),
        memory.remember('__proto__', { version: 1, text: 'c' }),
      ]);
      await memory.remember('payments', { version: 6, text: 'older' });
      const other = createFileMemory(path);
      expect(await other.recall('payments')).to.deep.equal({ version: 7, text: 'a' });
      expect(await other.recall('fraud-team')).to.deep.equal({ version: 3, text: 'b' });
      expect(await other.recall('__proto__')).to.deep.equal({ version: 1, text: 'c' });
      expect(await other.recall('constructor')).to.equal(undefined);
      await other.remember('payments', { version: 9, text: 'newer' });
      await memory.remember('payments', { version: 8, text: 'older' });
      expect(await memory.recall('payments')).to.deep.equal({ version: 9, text: 'newer' });
      expect((await stat(path)).mode & 0o777).to.equal(0o600);
    }));

  it('is never taken for empty when it cannot be read, and is left as it is', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'keys.state.json');
      const memory = createFileMemory(path);
      for (const text of [
        '',
        '{',
        '[]',
        'null',
        '{"format":2,"sets":{}}',
        '{"format":1,"sets":[{}]}',
        '{"format":1,"sets":{"payments":{"version":"7","text":"a"}}}',
        '{"format":1,"sets":{"payments":{"version":-1,"text":"a"}}}',
        '{"format":1,"sets":{"payments":null}}',
      ]) {
        await writeFile(path, text, { mode: 0o600 });
        await refusal(() => memory.recall('payments'), 'KEY_FILE_INVALID');
        await refusal(() => memory.remember('payments', { version: 1, text: 'a' }), 'KEY_FILE_INVALID');
        expect(await readFile(path, 'utf8')).to.equal(text);
      }
      await chmod(path, 0o644);
      await refusal(() => memory.recall('payments'), 'KEY_FILE_MODE');
    }));

  it('says so when it cannot be written, and can be used again', () =>
    inFolder(async (dir) => {
      const memory = createFileMemory(join(dir, 'absent', 'keys.state.json'));
      const set = { version: 1, text: 'a' };
      await refusal(() => memory.remember('payments', set), 'KEY_FILE_WRITE');
      await refusal(() => memory.remember('payments', set), 'KEY_FILE_WRITE');
    }));
});
