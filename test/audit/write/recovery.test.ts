import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { inFolder, input, readLines, readText, TOKEN, withLog } from '../helpers.js';

const FIRST = '00000000000000000000.jsonl';

describe('a log that is opened', () => {
  it('writes a start record first, then each commit, with its origin', () =>
    inFolder(async (dir) => {
      await withLog(dir, { origin: 'payments', now: () => 0 }, async (log) => {
        await log.commit(input({ requestId: 'a' }));
        await log.commit(input({ requestId: 'b' }));
      });
      const lines = await readLines(dir);
      expect(lines.map(({ event }) => event)).to.deep.equal(['start', 'open', 'open']);
      expect(lines.map(({ seq }) => seq)).to.deep.equal([0, 1, 2]);
      expect(lines.map(({ requestId }) => requestId)).to.deep.equal(['', 'a', 'b']);
      for (const line of lines) expect(line).to.include({ origin: 'payments', time: '1970-01-01T00:00:00.000Z' });
      expect(lines[1]?.fields[0]?.['token']).to.equal(TOKEN);
    }));

  for (const torn of ['{"v":1,"seq":2,"ti', '{"v":1,"seq":2}', 'x', '\u0000'.repeat(70_000)]) {
    it(`cuts a torn last line of ${torn.length} bytes, and tells so`, () =>
      inFolder(async (dir) => {
        await withLog(dir, {}, (log) => log.commit(input()));
        const before = await readText(dir);
        await appendFile(join(dir, FIRST), torn);
        await withLog(dir, {}, async () => {});
        expect((await readText(dir)).startsWith(before)).to.equal(true);
        const lines = await readLines(dir);
        expect(lines.map(({ seq }) => seq)).to.deep.equal([0, 1, 2, 3]);
        expect(lines.slice(2).map(({ event }) => event)).to.deep.equal(['recover', 'start']);
        expect(lines[2]?.detail).to.contain(`cut ${torn.length} bytes`);
      }));
  }

  it('cuts a file that is nothing but a torn line', () =>
    inFolder(async (dir) => {
      await writeFile(join(dir, FIRST), '{"v":1');
      await withLog(dir, {}, async () => {});
      expect((await readLines(dir)).map(({ event }) => event)).to.deep.equal(['recover', 'start']);
    }));
});
