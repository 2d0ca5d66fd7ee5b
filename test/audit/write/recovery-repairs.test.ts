import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { segmentFile } from '../../../src/audit/format/log-files.js';
import { readLog } from '../../support/log-builder.js';
import { inFolder, input, readLines, withLog } from '../helpers.js';
import { type CrashedLog, restore, verify, withCrashedLog } from './crashed-log.js';

const HASH_BYTES = 32;

/** Opens the log and closes it again. @returns the details of its new `recover` records */
async function reopen({ dir, records }: CrashedLog, lost = 0): Promise<string[]> {
  await withLog(dir, {}, async (log) => log.commit(input({ requestId: 'after' })));
  const report = verify(dir);
  expect(report.findings).to.deep.equal([]);
  expect(report.unsigned).to.equal(0);
  const lines = await readLines(dir);
  expect(lines.map(({ seq }) => seq)).to.deep.equal(lines.map((_, index) => index));
  return lines
    .slice(records - lost)
    .filter(({ event }) => event === 'recover')
    .map(({ detail }) => detail);
}

describe('a log that was not closed', () => {
  it('goes on, and has nothing to tell when nothing was lost', () =>
    withCrashedLog(async (log) => {
      expect(await reopen(log)).to.deep.equal([]);
    }));

  it('gets its leaves back from the lines, wherever they were cut', () =>
    withCrashedLog(async (log) => {
      const [, , first = 0] = log.segments;
      const name = segmentFile(first, 'leaves');
      const leaves = log.files.get(name) as Buffer;
      for (let end = leaves.length - 1; end >= (log.signed - first) * HASH_BYTES; end -= 29) {
        await restore(log, { [name]: leaves.subarray(0, end) });
        const lost = leaves.length / HASH_BYTES - Math.floor(end / HASH_BYTES);
        expect(await reopen(log)).to.deep.equal([`made ${lost} leaves anew from their lines`]);
        expect((readLog(log.dir).get(name) as Buffer).subarray(0, leaves.length)).to.deep.equal(leaves);
      }
    }));

  it('gets those leaves that no checkpoint had come to write', () =>
    withCrashedLog(async (log) => {
      const [, , first = 0] = log.segments;
      const name = segmentFile(first, 'leaves');
      const leaves = log.files.get(name) as Buffer;
      await restore(log, { [name]: leaves.subarray(0, (log.signed - first) * HASH_BYTES) });
      expect(verify(log.dir)).to.deep.include({ findings: [], unsigned: log.records - log.signed });
      expect(await reopen(log)).to.deep.equal([`made ${log.records - log.signed} leaves anew from their lines`]);
    }));

  it('gets leaves back that the disk has as zeros, or not at all', () =>
    withCrashedLog(async (log) => {
      const [, , first = 0] = log.segments;
      const name = segmentFile(first, 'leaves');
      const leaves = Buffer.from(log.files.get(name) as Buffer);
      leaves.fill(0, (log.signed - first) * HASH_BYTES);
      await restore(log, { [name]: leaves });
      expect(await reopen(log)).to.deep.equal([`made ${log.records - log.signed} leaves anew from their lines`]);
      await restore(log, { [name]: undefined });
      expect(await reopen(log)).to.deep.equal([`made ${log.records - first} leaves anew from their lines`]);
    }));

  it('gets a wrong leaf right that the checkpoint proves wrong', () =>
    withCrashedLog(async (log) => {
      const [, , first = 0] = log.segments;
      const name = segmentFile(first, 'leaves');
      const leaves = Buffer.from(log.files.get(name) as Buffer);
      leaves[5] = (leaves[5] as number) ^ 1;
      await restore(log, { [name]: leaves });
      expect((await reopen(log))[0]).to.contain('leaves anew from their lines');
    }));

  it('drops leaves whose lines did not reach the disk, and cuts a torn line, wherever the lines end', () =>
    withCrashedLog(async (log) => {
      const [, , first = 0] = log.segments;
      const name = segmentFile(first, 'jsonl');
      const lines = log.files.get(name) as Buffer;
      const texts = lines.toString().split('\n');
      const signedEnd = Buffer.byteLength(
        texts
          .slice(0, log.signed - first)
          .map((line) => `${line}\n`)
          .join(''),
      );
      for (let end = lines.length - 1; end >= signedEnd; end -= 331) {
        await restore(log, { [name]: lines.subarray(0, end) });
        const rest = lines.subarray(signedEnd, end);
        const whole = rest.toString().split('\n').length - 1;
        const torn = rest.length - (rest.lastIndexOf('\n') + 1);
        const lost = log.records - log.signed - whole;
        const details = await reopen(log, lost);
        const told = [
          torn > 0 ? `cut ${torn} bytes of a line never acknowledged` : '',
          `dropped ${lost} leaves of lines that never reached the disk`,
        ];
        expect(details).to.deep.equal([told.filter(Boolean).join('; ')]);
      }
    }));

  it('makes a frontier anew that is missing or wrong', () =>
    withCrashedLog(async (log) => {
      const [, , first = 0] = log.segments;
      const name = segmentFile(first, 'frontier');
      const frontier = log.files.get(name) as Buffer;
      const wrong = Buffer.from(frontier);
      wrong[0] = (wrong[0] as number) ^ 1;
      for (const bytes of [undefined, wrong, frontier.subarray(1), frontier.subarray(HASH_BYTES), Buffer.alloc(0)]) {
        await restore(log, { [name]: bytes });
        expect(await reopen(log)).to.deep.equal([`made ${name} anew`]);
        expect(readLog(log.dir).get(name)).to.deep.equal(frontier);
      }
    }));

  it('mends the list of checkpoints, wherever its last one was torn', () =>
    withCrashedLog(async (log) => {
      const list = log.files.get('checkpoints') as Buffer;
      const lastNote = Buffer.from(`${log.files.get('checkpoint')}\n`);
      for (let end = list.length - 1; end >= list.length - lastNote.length; end -= 23) {
        await restore(log, { checkpoints: list.subarray(0, end) });
        const torn = end - (list.length - lastNote.length);
        const told = torn === 0 ? [] : [`cut ${torn} bytes of a checkpoint that was not finished`];
        expect(await reopen(log)).to.deep.equal(told);
        expect((readLog(log.dir).get('checkpoints') as Buffer).subarray(0, list.length)).to.deep.equal(list);
      }
    }));

  it('is not put off by what a rotation left that did not end', () =>
    withCrashedLog(async (log) => {
      const begun = {
        [segmentFile(log.records, 'frontier')]: Buffer.alloc(5 * HASH_BYTES),
        [segmentFile(log.records, 'leaves')]: Buffer.alloc(0),
      };
      await restore(log, begun);
      expect(await reopen(log)).to.deep.equal([]);
      // With its line file it is a segment.
      await withLog(log.dir, { segmentBytes: 4_096 }, async () => {});
      expect(verify(log.dir).findings).to.deep.equal([]);
    }));

  it('removes what a replaced file left that was not finished', () =>
    withCrashedLog(async (log) => {
      await restore(log, { 'checkpoint.tmp': Buffer.from('half') });
      expect(await reopen(log)).to.deep.equal([]);
      expect(readLog(log.dir).has('checkpoint.tmp')).to.equal(false);
    }));
});

describe('a log written before there were leaves', () => {
  it('gets them from its lines, segment by segment, and says so', () =>
    withCrashedLog(async (log) => {
      const old = [...log.files.keys()].filter((name) => !name.endsWith('.jsonl'));
      await restore(log, Object.fromEntries(old.map((name) => [name, undefined])));
      await rm(`${log.dir}.key`);
      expect(await reopen(log)).to.deep.equal([`made leaves for ${log.records} records written without them`]);
      const files = readLog(log.dir);
      for (const seq of log.segments.slice(0, 2)) {
        for (const kind of ['leaves', 'frontier'] as const) {
          const name = segmentFile(seq, kind);
          expect(files.get(name), name).to.deep.equal(log.files.get(name));
        }
      }
    }));

  it('is refused when it does not begin with record 0', () =>
    inFolder(async (dir) => {
      await writeFile(join(dir, segmentFile(3, 'jsonl')), '{"seq":3}\n', { mode: 0o600 });
      const error = await withLog(dir, {}, async () => {}).catch((reason: Error) => reason);
      expect((error as Error).message).to.contain('records 0 to 2 are missing');
    }));
});
