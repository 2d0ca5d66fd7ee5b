/** `sealwire audit` on the logs of several instances, as one. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { AuditLog } from '../../../src/audit/write/audit-log.js';
import { input, reject } from '../../audit/helpers.js';
import { finishSealwire, sealwire } from '../../support/command.js';
import { linesOf } from '../../support/log-attacks.js';
import { buildFromLines, buildLog, createTestSigner, type LogFiles, writeLog } from '../../support/log-builder.js';

const NAMES = ['shop/a', 'shop/b'] as const;
const START = Date.UTC(2026, 0, 1);

describe('sealwire audit with several logs', function () {
  // Each test runs processes.
  this.timeout(60_000);
  let root: string;
  let dirs: readonly [string, string];
  let both: readonly string[];
  const signers = NAMES.map((name) => createTestSigner(name));
  const files: LogFiles[] = [];

  before(() => {
    root = mkdtempSync(join(tmpdir(), 'sealwire-audit-many-'));
    dirs = [join(root, 'a'), join(root, 'b')];
    both = dirs.flatMap((dir) => ['--dir', dir]);
    NAMES.forEach((_, log) => {
      // The first has a record each second, the second one in the middle of each.
      const time = (seq: number) => START + seq * 1_000 + log * 500;
      const made = (seq: number) =>
        seq % 2 === 0 ? input({ requestId: `${log}-${seq}` }) : { ...reject(), requestId: `${log}-${seq}` };
      files.push(buildLog({ records: 6, checkpointRecords: 3, signer: signers[log] as never, time, input: made }));
      writeLog(dirs[log] as string, files[log] as LogFiles);
      writeFileSync(join(root, `${log}.vkey`), `${signers[log]?.verifier.vkey}\n`);
    });
  });
  after(() => rmSync(root, { recursive: true, force: true }));

  const audit = (...args: string[]) => finishSealwire(['audit', ...args]);
  const lines = (text: string) => text.split('\n').slice(0, -1);
  /** A folder with these files of a log in place of its own. */
  function writeVariant(name: string, log: number, changes: Iterable<readonly [string, Buffer]>): string {
    const dir = join(root, name);
    writeLog(dir, new Map([...(files[log] as LogFiles), ...changes]));
    return dir;
  }

  it('search prints them by time, each record with its origin', async () => {
    const table = await audit('search', ...both, '--event', 'open');
    expect(table.code, table.stderr).to.equal(0);
    expect(lines(table.stdout)[0]).to.match(/^origin +seq +time /);
    const rows = lines(table.stdout).slice(1);
    expect(rows.map((row) => row.split(/ +/).slice(0, 2).join(' '))).to.deep.equal(
      [0, 2, 4].flatMap((seq) => NAMES.map((name) => `${name} ${seq}`)),
    );
    const json = await audit('search', ...both, '--format', 'jsonl');
    const written = files.map((log) => linesOf(log).lines);
    expect(lines(json.stdout)).to.deep.equal([0, 1, 2, 3, 4, 5].flatMap((seq) => written.map((log) => log[seq])));
    expect(json.stderr).to.equal('');
  });

  it('search goes on without a log that cannot be read, names it, and ends with 3', async () => {
    const nowhere = join(root, 'nowhere');
    const some = await audit('search', '--dir', nowhere, ...both, '--request-id', '1-3', '--format', 'jsonl');
    expect([some.code, lines(some.stdout).length]).to.deep.equal([3, 1]);
    expect(some.stderr).to.equal(`sealwire: ${nowhere}: ENOENT\n`);
    // That nothing was found in the others says little.
    const none = await audit('search', '--dir', nowhere, ...both, '--request-id', 'nobody');
    expect([none.code, none.stdout, none.stderr]).to.deep.equal([3, '', `sealwire: ${nowhere}: ENOENT\n`]);
  });

  it('stats count by origin; export and damaged lines have it too', async () => {
    const damaged = writeVariant('damaged', 1, [[`${'0'.repeat(20)}.jsonl`, Buffer.from('no record\n')]]);
    const stats = await audit('stats', ...both, '--dir', damaged, '--format', 'json');
    expect(JSON.parse(stats.stdout)).to.deep.include({ records: 12 });
    expect(JSON.parse(stats.stdout).origin).to.deep.equal([
      ['shop/a', 6],
      [`shop/b (${dirs[1]})`, 6],
    ]);
    expect(stats.stderr).to.include('1 lines are not records');
    const found = await audit('search', '--dir', dirs[0], '--dir', damaged, '--format', 'jsonl');
    expect(lines(found.stdout)).to.include('{"origin":"shop/b","seq":0,"notARecord":"no record"}');
    const csv = (await audit('export', ...both)).stdout.split('\r\n').slice(1, -1);
    expect(csv.map((row) => /"(shop\/.)"/.exec(row)?.[1])).to.deep.equal(Array(6).fill(NAMES).flat());
  });

  it('say when two are copies of one log, or have one origin', async () => {
    const copy = writeVariant('copy', 0, []);
    const twice = await audit('stats', '--dir', dirs[0], '--dir', copy);
    expect(twice.stderr).to.equal(`${dirs[0]} and ${copy} are copies of one log, whose records come twice: shop/a\n`);
    expect(twice.stdout).to.match(/^12 records\n/);
    const namesake = join(root, 'namesake');
    writeLog(namesake, buildLog({ records: 2, signer: createTestSigner('shop/a') }));
    const two = await audit('tail', '--dir', dirs[0], '--dir', namesake, '-n', '20');
    expect(two.stderr).to.equal(`${dirs[0]} and ${namesake} are two logs with one origin, by two keys: shop/a\n`);
    expect(two.stdout).to.include(`shop/a (${namesake})`).and.include(`shop/a (${dirs[0]})`);
  });

  describe('verify', () => {
    it('says which log is bad, and what of the others', async () => {
      const text = linesOf(files[1] as LogFiles)
        .lines.join('\n')
        .replace('"1-3"', '"1-4"');
      const bad = writeVariant('bad', 1, [[`${'0'.repeat(20)}.jsonl`, Buffer.from(`${text}\n`)]]);
      const flags = ['--dir', dirs[0], '--dir', bad];
      const { code, stdout } = await audit('verify', ...flags);
      expect(code).to.equal(1);
      expect(stdout).to.match(
        new RegExp(`^${dirs[0]}\n  shop/a: 6 records.*\n(?:  .*\n)*  verified\n${bad}\n  record 3: `),
      );
      expect(stdout).to.match(new RegExp(`\nNOT VERIFIED: ${bad} \\(shop/b\\)\n$`));
      const json = JSON.parse((await audit('verify', ...flags, '--format', 'json')).stdout);
      expect(json).to.deep.include({ ok: false, strays: [] });
      expect(json.logs.map(({ dir, ok, origin }: Record<string, unknown>) => [dir, ok, origin])).to.deep.equal([
        [dirs[0], true, 'shop/a'],
        [bad, false, 'shop/b'],
      ]);
      // A forged checkpoint says something of the log that it names only.
      const forged = join(root, 'forged-note');
      writeFileSync(forged, buildLog({ records: 2, signer: createTestSigner('shop/b') }).get('checkpoint') as Buffer);
      const named = await audit('verify', ...both, '--checkpoint', forged);
      expect(named.stdout).to.match(
        new RegExp(`${dirs[1]}\n  bad-signature: .*\n(?:  .*\n)*NOT VERIFIED: ${dirs[1]} `),
      );
      // What is wrong weighs more than what cannot be read.
      expect((await audit('verify', ...flags, '--dir', join(root, 'nowhere'))).code).to.equal(1);
      const missing = await audit('verify', ...both, '--dir', join(root, 'nowhere'));
      expect(missing.code).to.equal(3);
      expect(missing.stdout).to.match(/\nNOT VERIFIED: .*nowhere\n$/);
    });

    it('keeps the checkpoints of all in one file, and compares each log with its own', async () => {
      const keys = [0, 1].flatMap((log) => ['--vkey', join(root, `${log}.vkey`)]);
      const kept = join(root, 'kept');
      const saved = await audit('verify', ...both, ...keys, '--save-checkpoint', kept);
      expect([saved.code, saved.stderr]).to.deep.equal([0, `kept the checkpoints in ${kept}\n`]);
      expect(saved.stdout).to.match(/\nverified: 2 logs\n$/);
      // Whichever comes first, and whatever comes with it.
      const again = await audit('verify', '--dir', dirs[1], '--dir', dirs[0], ...keys, '--checkpoint', kept);
      expect(again.stdout.match(/6 records, 3 checkpoints of its own, 1 kept/g)).to.have.length(2);
      const older = join(root, 'older');
      writeLog(older, buildFromLines(linesOf(files[1] as LogFiles).lines.slice(0, 3), { signer: signers[1] as never }));
      const rolled = await audit('verify', '--dir', dirs[0], '--dir', older, ...keys, '--checkpoint', kept);
      expect(rolled.code).to.equal(1);
      expect(rolled.stdout).to.include(`${older}\n  records 3 to 5: rolled-back`);
      expect(rolled.stdout).to.include(`NOT VERIFIED: ${older} (shop/b)\n`);
    });

    it('does not verify when the log of a key or a kept checkpoint is not among them', async () => {
      const keys = [0, 1].flatMap((log) => ['--vkey', join(root, `${log}.vkey`)]);
      // As if the second folder had been replaced by a copy of the first.
      const copy = writeVariant('stand-in', 0, []);
      const kept = join(root, 'kept-b');
      writeFileSync(kept, files[1]?.get('checkpoint') as Buffer);
      const { code, stdout } = await audit('verify', '--dir', dirs[0], '--dir', copy, ...keys, '--checkpoint', kept);
      expect(code).to.equal(1);
      expect(stdout).to.include('no log was given for a key of shop/b\n');
      expect(stdout).to.include(`no log was given for a checkpoint of shop/b, in ${kept}\n`);
      expect(stdout).to.match(/\nNOT VERIFIED\n$/);
    });

    it('finds two histories under one key', async () => {
      const [first = [], other = []] = files.map((log) => linesOf(log).lines);
      const forked = join(root, 'forked');
      const history = [...first.slice(0, 3), ...other.slice(3), ...other];
      writeLog(
        forked,
        buildFromLines(
          history.map((line, seq) => line.replace(/"seq":\d+/, `"seq":${seq}`)),
          { signer: signers[0] as never },
        ),
      );
      const { code, stdout } = await audit('verify', '--dir', dirs[0], '--dir', forked);
      expect(code).to.equal(1);
      expect(stdout).to.match(/forked: the log is signed, but is not the one of the kept checkpoint of 6 records/);
      expect(stdout).to.include(`NOT VERIFIED: ${forked} (shop/a)\n`);
      // An older copy is none.
      const older = join(root, 'older-copy');
      writeLog(older, buildFromLines(first.slice(0, 3), { signer: signers[0] as never }));
      expect((await audit('verify', '--dir', dirs[0], '--dir', older)).code).to.equal(0);
    });
  });

  it('tail -f shows new records of each, by time, and ends on SIGTERM with 0', async () => {
    const live = await Promise.all(
      ['x', 'y'].map((name) => AuditLog.open({ dir: join(root, name), origin: `live/${name}` })),
    );
    const folders = ['x', 'y'].flatMap((name) => ['--dir', join(root, name)]);
    const following = sealwire('audit', 'tail', '-f', '-n', '99', '--format', 'jsonl', ...folders);
    const { stdout } = following.child;
    const until = async (count: number) => {
      while (lines(following.stdout()).length < count) {
        await Promise.race([new Promise((resolve) => stdout?.once('data', resolve)), following.ended]);
        if (following.child.exitCode !== null) expect.fail(following.stderr());
      }
    };
    try {
      await until(2);
      for (let index = 0; index < 6; index++) {
        await live[index % 2]?.commit(input({ requestId: `r-${index}` }));
        await until(3 + index);
      }
      const seen = lines(following.stdout()).map((line) => JSON.parse(line));
      expect(seen.slice(2).map(({ origin, requestId }) => `${origin} ${requestId}`)).to.deep.equal(
        [0, 1, 2, 3, 4, 5].map((index) => `live/${index % 2 === 0 ? 'x' : 'y'} r-${index}`),
      );
      following.child.kill('SIGTERM');
      expect(await following.ended).to.equal(0);
    } finally {
      following.child.kill('SIGKILL');
      for (const log of live) await log.close();
    }
  });
});
