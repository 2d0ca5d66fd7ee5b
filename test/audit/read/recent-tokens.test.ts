import { createHash } from 'node:crypto';
import { appendFile, readFile, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { segmentFile } from '../../../src/audit/format/log-files.js';
import { type AuditEvent, encodeRecord } from '../../../src/audit/format/record.js';
import { type RecentToken, readRecentTokens } from '../../../src/audit/read/recent-tokens.js';
import { expectCode, field, inFolder, input, reject, segments, withLog } from '../helpers.js';

const NOW_MS = 1_700_000_000_000;
const SINCE_MS = NOW_MS - 360_000;
const METHOD = '/payments.v1.PaymentService/Authorize';

function token(id: string, iat?: number): string {
  const header = JSON.stringify({ alg: 'ECDH-ES+A256KW', kid: 'k', iat });
  return `${Buffer.from(header).toString('base64url')}.key.iv.${id}.tag`;
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}

function open(...tokens: string[]) {
  return input({ fields: tokens.map((text) => field({ token: text })) });
}

async function read(dir: string, sinceMs = SINCE_MS): Promise<RecentToken[]> {
  const found: RecentToken[] = [];
  for await (const recent of readRecentTokens(dir, sinceMs)) found.push(recent);
  return found;
}

async function readDigests(dir: string, sinceMs?: number): Promise<string[]> {
  return (await read(dir, sinceMs)).map(({ digest }) => digest);
}

/** One record as a line with its newline. */
function line(seq: number, timeMs: number, ...tokens: string[]): string {
  return `${encodeRecord(open(...tokens), { seq, time: timeMs, origin: 'test' })}\n`;
}

/** Writes a segment of records at the given times; each has the token `t<seq>`. */
async function writeSegment(dir: string, firstSeq: number, times: readonly number[]): Promise<string> {
  const path = join(dir, segmentFile(firstSeq, 'jsonl'));
  await writeFile(path, times.map((time, at) => line(firstSeq + at, time, token(`t${firstSeq + at}`))).join(''));
  return path;
}

function expected(...seqs: number[]): string[] {
  return seqs.map((seq) => digestOf(token(`t${seq}`)));
}

describe('readRecentTokens', () => {
  it('gives the tokens of a real log, kept or not, with their iat', () =>
    inFolder(async (dir) => {
      await withLog(dir, { now: () => NOW_MS }, async (log) => {
        const kept = field({ token: token('kept', 1_699_999_990) });
        const transient = field({ token: token('transient', 1_699_999_991), keep: false });
        await log.commit(input({ fields: [kept, transient] }));
        await log.commit(open(token('no iat')));
      });
      const common = { timeMs: NOW_MS, method: METHOD };
      expect(await read(dir)).to.deep.equal([
        { digest: digestOf(token('no iat')), ...common },
        { digest: digestOf(token('kept', 1_699_999_990)), iat: 1_699_999_990, ...common },
        { digest: digestOf(token('transient', 1_699_999_991)), iat: 1_699_999_991, ...common },
      ]);
    }));

  it('counts tokens that were opened from the wire, and no others', () =>
    inFolder(async (dir) => {
      await withLog(dir, { now: () => NOW_MS }, async (log) => {
        const passed = field({ token: token('passed'), outcome: 'passed' });
        await log.commit(input({ fields: [field({ token: token('ours') }), passed] }));
        for (const event of ['openStored', 'seal', 'reveal', 'rotate'] satisfies AuditEvent[]) {
          await log.commit({ ...open(token(event)), event });
        }
        log.note(reject());
        log.note({ ...open(token('refused')), event: 'reject' });
      });
      expect(await readDigests(dir)).to.deep.equal([digestOf(token('ours'))]);
    }));

  it('takes a header that is too long to be kept whole, or no JSON, for one without iat', () =>
    inFolder(async (dir) => {
      const long = Buffer.from(JSON.stringify({ apu: 'x'.repeat(3_000), iat: 5 })).toString('base64url');
      const tokens = [`${long}.a.b.c.d`, 'rubbish', token('a', 1.5)];
      await writeFile(join(dir, segmentFile(0, 'jsonl')), line(0, NOW_MS, ...tokens));
      expect((await read(dir)).map(({ iat }) => iat)).to.deep.equal([undefined, undefined, undefined]);
    }));

  it('gives what is exactly as old as asked for, and nothing older', () =>
    inFolder(async (dir) => {
      await writeSegment(dir, 0, [SINCE_MS - 1, SINCE_MS, NOW_MS]);
      expect(await readDigests(dir)).to.deep.equal(expected(2, 1));
    }));

  it('finds tokens that were used before the clock was set back and right again', () =>
    inFolder(async (dir) => {
      let now = SINCE_MS + 1;
      await withLog(dir, { now: () => now }, async (log) => {
        await log.commit(open(token('before')));
        now -= 3_600_000;
        await log.commit(open(token('back')));
        await log.commit(open(token('back again')));
        now += 3_600_000 + 2;
        await log.commit(open(token('after')));
        now -= 60_000;
        await log.commit(open(token('corrected a little')));
      });
      expect(await segments(dir)).to.have.length(2);
      expect(await readDigests(dir, SINCE_MS)).to.deep.equal([token('after'), token('before')].map(digestOf));
      // And a log that was closed meanwhile.
      now = NOW_MS;
      await withLog(dir, { now: () => now }, (log) => log.commit(open(token('later'))));
      now -= 3_600_000;
      await withLog(dir, { now: () => now }, (log) => log.commit(open(token('back'))));
      const expected = [token('later'), token('after'), token('before')].map(digestOf);
      expect(await readDigests(dir, SINCE_MS)).to.deep.equal(expected);
    }));

  it('reads as much of each segment as it takes, and of old ones the last record only', () =>
    inFolder(async (dir) => {
      const old = SINCE_MS - 60_001;
      await writeFile(join(dir, segmentFile(0, 'jsonl')), `not a log at all\n${line(4, old)}`);
      await writeSegment(dir, 5, [old, old, SINCE_MS + 1]);
      await writeSegment(dir, 8, [SINCE_MS + 2]);
      await writeFile(join(dir, segmentFile(9, 'jsonl')), '');
      await writeFile(join(dir, 'checkpoint'), 'something else');
      expect(await readDigests(dir)).to.deep.equal(expected(8, 7));
    }));

  it('looks at no line before the first one that is old', () =>
    inFolder(async (dir) => {
      const path = join(dir, segmentFile(0, 'jsonl'));
      await writeFile(path, `damaged\n${line(1, SINCE_MS - 60_001)}${line(2, NOW_MS, token('t2'))}`);
      expect(await readDigests(dir)).to.deep.equal(expected(2));
    }));

  it('is not stopped by a clock that was set back by less than a minute, or by any time to come', () =>
    inFolder(async (dir) => {
      await writeSegment(dir, 0, [NOW_MS + 86_400_000, SINCE_MS + 10, SINCE_MS - 59_000, NOW_MS]);
      expect(await readDigests(dir)).to.deep.equal(expected(3, 1, 0));
    }));

  for (const torn of ['{"v":1,"seq":2,"ti', '\u0000'.repeat(600_000), line(1, NOW_MS, token('torn')).slice(0, -1)]) {
    it(`skips a torn last line of ${torn.length} bytes`, () =>
      inFolder(async (dir) => {
        const path = await writeSegment(dir, 0, [NOW_MS]);
        await appendFile(path, torn);
        expect(await readDigests(dir)).to.deep.equal(expected(0));
        await writeFile(path, torn);
        expect(await readDigests(dir)).to.deep.equal([]);
      }));
  }

  it('reads lines of every length across its blocks', () =>
    inFolder(async (dir) => {
      const sizes = [1, 262_143, 262_144, 262_145, 10, 1_000_000, 70_000, 0, 3];
      const tokens = sizes.map((size, at) => `${at}.${'x'.repeat(size)}`);
      const path = join(dir, segmentFile(0, 'jsonl'));
      await writeFile(path, tokens.map((text, seq) => line(seq, NOW_MS, text)).join(''));
      expect(await readDigests(dir)).to.deep.equal(tokens.map(digestOf).reverse());
      // With each beginning of a line at each end of a block once.
      const one = line(0, NOW_MS, 'a');
      for (const shift of [-2, -1, 0, 1, 2]) {
        const filler = 'y'.repeat(262_144 - one.length - line(1, NOW_MS, '').length + shift);
        await writeFile(path, line(0, NOW_MS, 'first') + line(1, NOW_MS, filler) + one);
        expect(await readDigests(dir)).to.deep.equal(['a', filler, 'first'].map(digestOf));
      }
    }));

  it('stops reading when nobody wants more', () =>
    inFolder(async (dir) => {
      await writeFile(join(dir, segmentFile(0, 'jsonl')), `damaged\n${line(1, NOW_MS, token('t1'))}`);
      for await (const { digest } of readRecentTokens(dir, SINCE_MS)) {
        expect(digest).to.equal(expected(1)[0]);
        break;
      }
    }));

  it('gives nothing of a missing, an empty, or a new log', () =>
    inFolder(async (dir) => {
      expect(await read(join(dir, 'missing'))).to.deep.equal([]);
      expect(await read(dir)).to.deep.equal([]);
      await withLog(dir, { now: () => NOW_MS }, async () => {});
      expect(await read(dir)).to.deep.equal([]);
    }));

  for (const [what, text] of Object.entries({
    'no JSON': 'x',
    nothing: '',
    'a number alone': '1',
    'no time': '{"event":"start"}',
    'a time that is none': '{"time":"soon","event":"start"}',
    'no event': `{"time":"${new Date(NOW_MS).toISOString()}"}`,
    'no fields': `{"time":"${new Date(NOW_MS).toISOString()}","event":"open","method":""}`,
    'no token': `{"time":"${new Date(NOW_MS).toISOString()}","event":"open","method":"","fields":[{"outcome":"opened"}]}`,
  })) {
    it(`refuses a recent line with ${what}, and quotes nothing`, () =>
      inFolder(async (dir) => {
        const first = line(0, NOW_MS, token('secret'));
        await writeFile(join(dir, segmentFile(0, 'jsonl')), `${first}${text}\n${line(2, NOW_MS)}`);
        const error = await expectCode(read(dir), 'AUDIT_FILE_INVALID');
        expect(error.message).to.match(new RegExp(`jsonl: the line at byte ${first.length} is not a record$`));
        expect(error.cause).to.equal(undefined);
      }));
  }

  it('refuses an older segment that does not end with a newline', () =>
    inFolder(async (dir) => {
      const path = await writeSegment(dir, 0, [NOW_MS, NOW_MS]);
      await truncate(path, (await readFile(path)).length - 5);
      await writeSegment(dir, 2, [NOW_MS]);
      await expectCode(read(dir), 'AUDIT_FILE_INVALID');
    }));

  it('does not follow a link', () =>
    inFolder(async (dir) => {
      const path = await writeSegment(dir, 0, [NOW_MS]);
      await symlink(path, join(dir, segmentFile(1, 'jsonl')));
      const error = await expectCode(read(dir), 'AUDIT_FILE_INVALID');
      expect(error.message).to.contain('ELOOP');
    }));

  it('reads a log while it is being written', () =>
    inFolder(async (dir) => {
      await withLog(dir, { now: () => NOW_MS }, async (log) => {
        await log.commit(open(token('a')));
        const [name] = await segments(dir);
        expect(name).to.equal(segmentFile(0, 'jsonl'));
        for await (const { digest } of readRecentTokens(dir, SINCE_MS)) {
          expect(digest).to.equal(digestOf(token('a')));
          await log.commit(open(token('b')));
        }
        expect(await readDigests(dir)).to.deep.equal([digestOf(token('b')), digestOf(token('a'))]);
      });
    }));
});
