import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { createFileMemory } from '../../src/client/key-set-memory.js';
import { inFolder, refusal } from '../keys/helpers.js';

const seen = (changed: number, text: string, passed = 0) => ({ version: { changed, passed }, fingerprint: 'k', text });

describe('the memory of a key directory', () => {
  it('is empty at first, and keeps the highest version of each recipient, for other processes too', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'keys.state.json');
      const memory = createFileMemory(path);
      expect(await memory.recall('payments')).to.equal(undefined);
      await Promise.all([
        memory.remember('payments', seen(7, 'a')),
        memory.remember('fraud-team', seen(3, 'b')),
        memory.remember('__proto__', seen(1, 'c')),
      ]);
      await memory.remember('payments', seen(6, 'older'));
      const other = createFileMemory(path);
      expect(await other.recall('payments')).to.deep.equal(seen(7, 'a'));
      expect(await other.recall('fraud-team')).to.deep.equal(seen(3, 'b'));
      expect(await other.recall('__proto__')).to.deep.equal(seen(1, 'c'));
      expect(await other.recall('constructor')).to.equal(undefined);
      await other.remember('payments', seen(9, 'newer'));
      await memory.remember('payments', seen(8, 'older', 99));
      expect(await memory.recall('payments')).to.deep.equal(seen(9, 'newer'));
      await other.remember('payments', seen(9, 'a date has passed', 5));
      await memory.remember('payments', seen(9, 'older', 4));
      expect(await memory.recall('payments')).to.deep.equal(seen(9, 'a date has passed', 5));
      await memory.remember('payments', seen(9, 'signed anew', 5));
      expect(await other.recall('payments')).to.deep.equal(seen(9, 'signed anew', 5));
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
        '{"format":1,"sets":{"payments":{"version":7,"text":"a"}}}',
        '{"format":1,"sets":{"payments":{"version":{"changed":7},"fingerprint":"","text":"a"}}}',
        '{"format":1,"sets":{"payments":{"version":{"changed":"7","passed":0},"fingerprint":"","text":"a"}}}',
        '{"format":1,"sets":{"payments":{"version":{"changed":7,"passed":-1},"fingerprint":"","text":"a"}}}',
        '{"format":1,"sets":{"payments":{"version":{"changed":7,"passed":0},"text":"a"}}}',
        '{"format":1,"sets":{"payments":{"version":{"changed":7,"passed":0},"fingerprint":""}}}',
        '{"format":1,"sets":{"payments":null}}',
      ]) {
        await writeFile(path, text, { mode: 0o600 });
        await refusal(() => memory.recall('payments'), 'KEY_FILE_INVALID');
        await refusal(() => memory.remember('payments', seen(1, 'a')), 'KEY_FILE_INVALID');
        expect(await readFile(path, 'utf8')).to.equal(text);
      }
      await chmod(path, 0o644);
      await refusal(() => memory.recall('payments'), 'KEY_FILE_MODE');
    }));

  it('says so when it cannot be written, and can be used again', () =>
    inFolder(async (dir) => {
      const memory = createFileMemory(join(dir, 'absent', 'keys.state.json'));
      const set = seen(1, 'a');
      await refusal(() => memory.remember('payments', set), 'KEY_FILE_WRITE');
      await refusal(() => memory.remember('payments', set), 'KEY_FILE_WRITE');
    }));
});
