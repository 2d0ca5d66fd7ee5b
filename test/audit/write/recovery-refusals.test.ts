import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { signCheckpoint, splitCheckpoints } from '../../../src/audit/format/checkpoint.js';
import { segmentFile } from '../../../src/audit/format/log-files.js';
import { EMPTY_ROOT } from '../../../src/audit/format/merkle-tree.js';
import { createSignerKey, parseSignerKey } from '../../../src/audit/format/note-keys.js';
import { readLog } from '../../support/log-builder.js';
import { expectCode, inFolder, openStore, withLog } from '../helpers.js';
import { type CrashedLog, restore, withCrashedLog } from './crashed-log.js';

type Changes = Readonly<Record<string, Buffer | undefined>>;

/** The file of the last segment, and its lines. */
function last({ segments, files }: CrashedLog) {
  const first = segments[2] as number;
  const name = segmentFile(first, 'jsonl');
  const lines = (files.get(name) as Buffer).toString().split('\n').slice(0, -1);
  const startOf = (seq: number) =>
    Buffer.byteLength(
      lines
        .slice(0, seq - first)
        .map((line) => `${line}\n`)
        .join(''),
    );
  return { first, name, lines, startOf };
}

function withLines(log: CrashedLog, change: (lines: string[], first: number) => void): Changes {
  const { name, lines, first } = last(log);
  const changed = [...lines];
  change(changed, first);
  return { [name]: Buffer.from(changed.map((line) => `${line}\n`).join('')) };
}

const LONG_AGO = '2020-01-01T00:00:00.000Z';

/** One more line, as nobody signed it. */
function slipIn(log: CrashedLog, change: (line: string) => string, time = LONG_AGO) {
  const { name, lines, first, startOf } = last(log);
  const seq = first + lines.length;
  const line = (lines.at(-1) as string).replace(/"seq":\d+,"time":"[^"]*"/, `"seq":${seq},"time":"${time}"`);
  const changes = withLines(log, (all) => all.push(change(line)));
  return { changes, says: [name, `record ${seq}, at byte ${startOf(seq)}, is older than those before it`] };
}

/** What was done to a log, and what the refusal says: file, record, byte. */
const refusals: Readonly<Record<string, (log: CrashedLog) => { changes: Changes; says: readonly string[] }>> = {
  'a line that was changed before the checkpoint': (log) => {
    const { name, first, startOf } = last(log);
    const changes = withLines(log, (lines) => lines.splice(1, 1, (lines[1] as string).replace('checkout', 'checkouf')));
    return { changes, says: [name, `record ${first + 1}, at byte ${startOf(first + 1)},`] };
  },
  'a line that was changed behind the checkpoint': (log) => {
    const { name, startOf } = last(log);
    const seq = log.signed;
    const changes = withLines(log, (lines, first) => {
      lines[seq - first] = (lines[seq - first] as string).replace('checkout', 'checkouf');
    });
    return { changes, says: [name, `record ${seq}, at byte ${startOf(seq)},`] };
  },
  'a line that was taken away before the checkpoint': (log) => {
    const { name, first, startOf } = last(log);
    return {
      changes: withLines(log, (lines) => lines.splice(1, 1)),
      says: [name, `byte ${startOf(first + 1)}`, `record ${first + 1}`],
    };
  },
  'a line that was taken away behind the checkpoint': (log) => {
    const { name, startOf } = last(log);
    const changes = withLines(log, (lines, first) => lines.splice(log.signed - first, 1));
    return { changes, says: [name, `the line at byte ${startOf(log.signed)} is not record ${log.signed}`] };
  },
  'two lines that were swapped': (log) => {
    const { name, first } = last(log);
    const changes = withLines(log, (lines) => lines.splice(0, 2, lines[1] as string, lines[0] as string));
    return { changes, says: [name, `record ${first}, at byte 0,`] };
  },
  'a line that was put in': (log) => {
    const { name, first, startOf } = last(log);
    const changes = withLines(log, (lines) => lines.splice(1, 0, lines[0] as string));
    return { changes, says: [name, `record ${first + 1}, at byte ${startOf(first + 1)},`] };
  },
  'a line behind the checkpoint that is no record': (log) => {
    const changes = withLines(log, (lines, first) => lines.splice(log.signed - first, 1, 'rubbish'));
    return { changes, says: [last(log).name, `byte ${last(log).startOf(log.signed)} is not record ${log.signed}`] };
  },
  'a line behind the checkpoint that is older than those before it': (log) => slipIn(log, (text) => text),
  'a line behind the checkpoint with two times': (log) =>
    slipIn(log, (line) => `${line.slice(0, -1)},"time":"${LONG_AGO}"}`, new Date().toISOString()),
  'lines that were cut away, checkpointed ones too': (log) => {
    const { name, startOf } = last(log);
    const changes = withLines(log, (lines, first) => lines.splice(log.signed - first - 1));
    const seq = log.signed - 1;
    return {
      changes,
      says: [name, `ends at byte ${startOf(seq)} before record ${seq}`, `covers ${log.signed} records`],
    };
  },
  'a checkpointed line that was torn': (log) => {
    const { name, startOf } = last(log);
    const seq = log.signed - 1;
    const bytes = (log.files.get(name) as Buffer).subarray(0, startOf(seq + 1) - 1);
    return { changes: { [name]: bytes }, says: [name, `ends at byte ${startOf(seq)} before record ${seq}`] };
  },
  'lines and leaves that fit each other and not the checkpoint': (log) => {
    const { first, name } = last(log);
    const leaves = segmentFile(first, 'leaves');
    const earlier = Buffer.from(log.files.get(segmentFile(0, 'leaves')) as Buffer);
    earlier[0] = (earlier[0] as number) ^ 1;
    expect(log.files.has(leaves)).to.equal(true);
    return {
      changes: { [segmentFile(0, 'leaves')]: earlier, [segmentFile(first, 'frontier')]: undefined },
      says: [name, 'fit their leaves, but not the checkpoint'],
    };
  },
  'a last segment that is gone': (log) => {
    const { name, first } = last(log);
    return { changes: { [name]: undefined }, says: [segmentFile(first, 'leaves'), 'lines are missing'] };
  },
  'a last segment that is gone with its leaves': (log) => {
    const { name, first } = last(log);
    const before = segmentFile(log.segments[1] as number, 'jsonl');
    const changes = { [name]: undefined, [segmentFile(first, 'leaves')]: undefined };
    return { changes, says: [before, `before record ${first}`, `covers ${log.signed} records`] };
  },
  'a segment in between that is gone': (log) => {
    const name = segmentFile(log.segments[1] as number, 'jsonl');
    return { changes: { [name]: undefined }, says: [name, 'missing between'] };
  },
  'a segment in between that is gone with its leaves': (log) => {
    const [, second, third] = log.segments as [number, number, number];
    const changes = { [segmentFile(second, 'jsonl')]: undefined, [segmentFile(second, 'leaves')]: undefined };
    return { changes, says: [`records ${second} to ${third - 1} are missing`] };
  },
  'a line file that belongs to no segment': (log) => {
    const inside = (log.segments[1] as number) + 1;
    return {
      changes: { [segmentFile(inside, 'jsonl')]: Buffer.from('{}\n') },
      says: [segmentFile(inside, 'leaves'), 'is missing'],
    };
  },
  'leaves of an earlier segment that are gone': (log) => {
    const [, second, third] = log.segments as [number, number, number];
    return {
      changes: { [segmentFile(second, 'leaves')]: undefined },
      says: [`records ${second} to ${third - 1} are missing`],
    };
  },
  'leaves of an earlier segment that are cut': (log) => {
    const [, second, third] = log.segments as [number, number, number];
    const leaves = log.files.get(segmentFile(second, 'leaves')) as Buffer;
    return {
      changes: { [segmentFile(second, 'leaves')]: leaves.subarray(0, -32) },
      says: [`records ${third - 1} to ${third - 1} are missing`],
    };
  },
  'leaves of an earlier segment that became more': (log) => {
    const [, second, third] = log.segments as [number, number, number];
    const leaves = log.files.get(segmentFile(second, 'leaves')) as Buffer;
    return {
      changes: { [segmentFile(second, 'leaves')]: Buffer.concat([leaves, leaves]) },
      says: [segmentFile(third, 'jsonl'), 'starts before'],
    };
  },
  'a log without lines': (log) => ({
    changes: Object.fromEntries(
      [...log.files.keys()].filter((name) => name.endsWith('.jsonl')).map((name) => [name, undefined]),
    ),
    says: ['has no lines', `covers ${log.signed} records`],
  }),
  'a checkpoint that is missing': () => ({ changes: { checkpoint: undefined }, says: ['checkpoint: is missing'] }),
  'a list of checkpoints that is missing': () => ({
    changes: { checkpoints: undefined },
    says: ['checkpoints: is missing'],
  }),
  'no checkpoints at all': () => ({
    changes: { checkpoint: undefined, checkpoints: undefined },
    says: ['checkpoint: is missing'],
  }),
  'an older checkpoint': (log) => {
    const { notes } = splitCheckpoints((log.files.get('checkpoints') as Buffer).toString());
    return { changes: { checkpoint: Buffer.from(notes.at(-2) as string) }, says: ['checkpoint: covers', 'older copy'] };
  },
  'an older checkpoint and an older list': (log) => {
    const { notes } = splitCheckpoints((log.files.get('checkpoints') as Buffer).toString());
    const old = notes.slice(0, 2);
    const changes = {
      checkpoint: Buffer.from(old[1] as string),
      checkpoints: Buffer.from(old.map((note) => `${note}\n`).join('')),
    };
    return { changes, says: [last(log).name, 'older copy'] };
  },
  'a checkpoint with another signature': (log) => {
    const other = parseSignerKey(createSignerKey('test'));
    const note = signCheckpoint({ size: log.signed, root: EMPTY_ROOT }, other);
    return { changes: { checkpoint: Buffer.from(note) }, says: ['checkpoint: the note is not signed by a known key'] };
  },
  'a checkpoint that was changed': (log) => {
    const text = (log.files.get('checkpoint') as Buffer).toString();
    return {
      changes: { checkpoint: Buffer.from(text.replace('\n', '\n1')) },
      says: ['checkpoint: the signature of test is wrong'],
    };
  },
  'a list of checkpoints whose last one was changed': (log) => {
    const list = Buffer.from(log.files.get('checkpoints') as Buffer);
    list[list.length - 10] = list[list.length - 10] === 0x42 ? 0x43 : 0x42;
    return { changes: { checkpoints: list }, says: ['checkpoints: '] };
  },
  'another verifier key': () => {
    const { vkey } = parseSignerKey(createSignerKey('test')).verifier;
    return { changes: { 'log.vkey': Buffer.from(`${vkey}\n`) }, says: ['log.vkey: is not the key'] };
  },
  'a verifier key that is missing': () => ({ changes: { 'log.vkey': undefined }, says: ['log.vkey: is missing'] }),
};

describe('a log that a crash cannot have left', () => {
  for (const [what, make] of Object.entries(refusals)) {
    it(`is refused, and not touched: ${what}`, () =>
      withCrashedLog(async (log) => {
        const { changes, says } = make(log);
        await restore(log, changes);
        const before = readLog(log.dir);
        const { message } = await expectCode(openStore(log.dir), 'AUDIT_FILE_INVALID');
        for (const part of says) expect(message).to.contain(part);
        expect(message.startsWith(log.dir), message).to.equal(true);
        expect(readLog(log.dir)).to.deep.equal(before);
        // The folder is free, and good again once the files are.
        await restore(log, {});
        await (await openStore(log.dir)).close();
      }));
  }

  it('is refused when two checkpoints of one size differ', () =>
    withCrashedLog(async (log) => {
      const signer = parseSignerKey((await readFile(`${log.dir}.key`, 'utf8')).trim());
      const note = signCheckpoint({ size: log.signed, root: EMPTY_ROOT }, signer);
      await restore(log, { checkpoint: Buffer.from(note) });
      const { message } = await expectCode(openStore(log.dir), 'AUDIT_FILE_INVALID');
      expect(message).to.contain(`another root than checkpoints for ${log.signed} records`);
    }));
});

describe('the signing key', () => {
  it('is made on first run with mode 0600, and stays', () =>
    inFolder(async (dir) => {
      const keyFile = join(dir, '..', 'keys', 'log.key');
      await withLog(dir, { keyFile }, async () => {});
      const key = await readFile(keyFile, 'utf8');
      await withLog(dir, { keyFile }, async () => {});
      expect(await readFile(keyFile, 'utf8')).to.equal(key);
      expect(await readFile(join(dir, 'log.vkey'), 'utf8')).to.equal(`${parseSignerKey(key.trim()).verifier.vkey}\n`);
      for (const [name, bytes] of readLog(dir)) expect(bytes.toString(), name).not.to.contain('PRIVATE');
    }));

  const wrong: Readonly<Record<string, (key: string) => Promise<void>>> = {
    'that is missing': (key) => rm(key),
    'that is no key': (key) => writeFile(key, 'secret rubbish'),
    'that others can read': async (key) => {
      const text = await readFile(key);
      await rm(key);
      await writeFile(key, text, { mode: 0o644 });
    },
    'that is too large': async (key) => writeFile(key, Buffer.alloc(10_000, 0x20)),
    'of another log': async (key) => writeFile(key, `${createSignerKey('another')}\n`),
    'that another log has': async (key) => writeFile(key, `${createSignerKey('test')}\n`),
  };
  for (const [what, change] of Object.entries(wrong)) {
    it(`stops the log when it is one ${what}`, () =>
      inFolder(async (dir) => {
        await withLog(dir, {}, async () => {});
        await change(`${dir}.key`);
        const { message } = await expectCode(openStore(dir), 'AUDIT_FILE_INVALID');
        expect(message).not.to.contain('secret rubbish');
      }));
  }

  it('keeps its log to one origin', () =>
    inFolder(async (dir) => {
      await withLog(dir, {}, async () => {});
      const error = await withLog(dir, { origin: 'renamed' }, async () => {}).catch((reason: Error) => reason);
      expect((error as Error).message).to.contain('signs the log of test, not of renamed');
    }));

  it('that waits beside its place belongs to a first run that did not end, which is begun again', () =>
    withCrashedLog(async ({ dir, files }) => {
      // As if the crash had come right before the key got its place: everything else is there.
      const fresh = `${dir}-fresh`;
      await mkdir(fresh, { mode: 0o700 });
      await withLog(fresh, {}, async () => {});
      await cp(`${fresh}.key`, `${fresh}.key.new`);
      await rm(`${fresh}.key`);
      await withLog(fresh, {}, async () => {});
      expect(files.size).to.be.greaterThan(0);
      const name = segmentFile(0, 'jsonl');
      expect((readLog(fresh).get(name) as Buffer).toString().split('\n')[1]).to.contain('made leaves for 1 records');
    }));
});
