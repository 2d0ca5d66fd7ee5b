/** `sealwire audit` as its users run it: as a process, on logs that nobody vouches for. */
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { RecordInput } from '../../../src/audit/format/record.js';
import { AuditLog } from '../../../src/audit/write/audit-log.js';
import { field, input, reject, TOKEN } from '../../audit/helpers.js';
import { finish, finishSealwire, MAIN, sealwire } from '../../support/command.js';
import { linesOf } from '../../support/log-attacks.js';
import { buildFromLines, buildLog, createTestSigner, type LogFiles, writeLog } from '../../support/log-builder.js';

const HOSTILE = '\u001b[2J\u001b]0;pwned\u0007\u202e\r\nroot';
/** Control characters but line ends, and changes of direction. */
const STEERING = /(?![\r\n])\p{Cc}|\p{Bidi_Control}/u;
const signer = createTestSigner();

/** 300 records: every third one a refusal, the others opened cards of order `o-SEQ`. */
/** Records hold its first 255 characters: the next is half of a pair. */
const LONG = `o-20-${'x'.repeat(250)}${'😀'.repeat(20)}`;

function sampleInput(seq: number): RecordInput {
  if (seq % 3 === 0) return { ...reject(), requestId: `r-${seq}` };
  const principal = seq === 10 ? HOSTILE : `shop-${seq % 5}`;
  const kid = (seq < 200 ? 'old' : 'new').padEnd(43, 'k');
  return input({
    principal,
    requestId: `r-${seq}`,
    peer: `10.0.0.${seq % 7}:${4000 + seq}`,
    fields: [
      field({
        header: { kid, alg: 'ECDH-ES+A256KW', enc: 'A256GCM' },
        bound: [
          ['order_id', seq === 20 ? LONG : `o-${seq}`],
          ['amount', seq],
        ],
      }),
      field({ field: 'payments.v1.AuthorizeRequest.security_code', path: 'security_code', keep: false }),
    ],
  });
}

describe('sealwire audit', function () {
  // Each test runs many processes.
  this.timeout(120_000);
  let root: string;
  let dir: string;
  let files: LogFiles;

  before(() => {
    root = mkdtempSync(join(tmpdir(), 'sealwire-audit-cli-'));
    dir = join(root, 'audit');
    files = buildLog({ records: 300, segmentRecords: 100, input: sampleInput, signer });
    writeLog(dir, files);
    writeFileSync(join(root, 'log.vkey'), `${signer.verifier.vkey}\n`);
  });
  after(() => rmSync(root, { recursive: true, force: true }));

  const audit = (...args: string[]) => finishSealwire(['audit', ...args, '--dir', dir]);
  const searchSeqs = async (...args: string[]) => {
    const { stdout, code } = await audit('search', '--format', 'jsonl', ...args);
    const seqs = stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => (JSON.parse(line) as { seq: number }).seq);
    expect(code).to.equal(seqs.length > 0 ? 0 : 1);
    return seqs;
  };

  describe('verify', () => {
    it('verifies nothing where there is nothing', async () => {
      const key = join(root, 'nothing.vkey');
      writeFileSync(key, files.get('log.vkey') as Buffer);
      const empty = join(root, 'nothing');
      mkdirSync(empty);
      const run = (...flags: string[]) => finishSealwire(['audit', 'verify', '--dir', empty, '--vkey', key, ...flags]);
      const alone = await run();
      expect([alone.code, alone.stdout]).to.deep.equal([3, '']);
      expect(alone.stderr).to.include('no log, or an empty one');
      const kept = join(root, 'nothing.checkpoint');
      writeFileSync(kept, files.get('checkpoint') as Buffer);
      const { code, stdout } = await run('--checkpoint', kept);
      expect([code, stdout.includes('verified\n')]).to.deep.equal([1, false]);
      expect(stdout).to.include('records 0 to 299: rolled-back');
    });

    it('says that all is well, and what that is worth', async () => {
      const { code, stdout } = await audit('verify');
      expect(code).to.equal(0);
      expect(stdout).to.include('sealwire-payments/a: 300 records, 4 checkpoints of its own, 0 kept\n');
      expect(stdout).to.include('no kept checkpoint: whoever has the signing key could have rewritten all of it\n');
      expect(stdout)
        .to.include('the key came with the log')
        .and.to.match(/\nverified\n$/);
    });

    it('names the first bad record, with exit code 1', async () => {
      const bad = join(root, 'bad');
      const lines = linesOf(buildLog({ records: 300, input: sampleInput, signer })).lines;
      const whole = buildFromLines(lines, { signer });
      writeLog(
        bad,
        new Map([...whole, [`${'0'.repeat(20)}.jsonl`, Buffer.from(`${lines.toSpliced(17, 1).join('\n')}\n`)]]),
      );
      const table = await finishSealwire(['audit', 'verify', '--dir', bad]);
      expect(table.code).to.equal(1);
      expect(table.stdout).to.match(/^record 17: missing: record 18 follows record 16\n/);
      expect(table.stdout).to.match(/\nNOT VERIFIED: the first bad record is 17\n$/);
      const json = await finishSealwire(['audit', 'verify', '--dir', bad, '--format', 'json']);
      expect(json.code).to.equal(1);
      expect(JSON.parse(json.stdout))
        .to.deep.include({ ok: false, records: 299 })
        .and.to.have.nested.property('findings[0].seq', 17);
    });

    it('copies a log, and says whether the copy verifies', async () => {
      const copy = join(root, 'copies/one');
      const made = await audit('backup', copy, '--vkey', join(root, 'log.vkey'));
      expect(made.code, made.stderr).to.equal(0);
      expect(made.stdout).to.match(/^copied \d+ files of .*, \d+ kB, to .*one\nsealwire-payments\S*: 300 records, /);
      expect(made.stdout).to.match(/\nverified\n$/);
      const again = await audit('backup', copy);
      expect([again.code, again.stdout]).to.deep.equal([2, '']);
      expect(again.stderr).to.equal(`sealwire: ${copy}: not empty; name a new folder\n`);

      const segment = join(copy, `${'0'.repeat(20)}.jsonl`);
      writeFileSync(segment, readFileSync(segment, 'utf8').replace('shop-1', 'shop-2'));
      const bad = await finishSealwire(['audit', 'backup', join(root, 'copies/bad'), '--dir', copy]);
      expect(bad.code).to.equal(1);
      expect(bad.stdout).to.match(/^record 1: changed: .*\n.*\n(?:.*\n)*NOT VERIFIED: the first bad record is 1\n$/m);
    });

    it('keeps a checkpoint, and notices an older copy with it', async () => {
      const kept = join(root, 'kept');
      const saved = await audit('verify', '--vkey', join(root, 'log.vkey'), '--save-checkpoint', kept);
      expect(saved.code, saved.stderr).to.equal(0);
      expect(readFileSync(kept)).to.deep.equal(files.get('checkpoint'));
      expect((await audit('checkpoint')).stdout).to.equal(readFileSync(kept, 'utf8'));
      const again = await audit('verify', '--vkey', signer.verifier.vkey, '--checkpoint', kept, '--since-checkpoint');
      expect(again.stdout).to.match(/1 kept\nverified\n$/);
      const older = join(root, 'older');
      writeLog(
        older,
        buildFromLines(linesOf(buildLog({ records: 299, input: sampleInput, signer })).lines, { signer }),
      );
      const { code, stdout } = await finishSealwire(['audit', 'verify', '--dir', older, '--checkpoint', kept]);
      expect(code).to.equal(1);
      expect(stdout).to.include('record 299: rolled-back: the kept checkpoint counts 300 records, the log 299\n');
      // What is wrong must not replace what was kept.
      await finishSealwire(['audit', 'verify', '--dir', older, '--checkpoint', kept, '--save-checkpoint', kept]);
      expect(readFileSync(kept)).to.deep.equal(files.get('checkpoint'));
      // Nor when nobody said to compare with it.
      const rolled = await finishSealwire(['audit', 'verify', '--dir', older, '--save-checkpoint', kept]);
      expect([rolled.code, rolled.stdout.includes('rolled-back')]).to.deep.equal([1, true]);
      expect(readFileSync(kept)).to.deep.equal(files.get('checkpoint'));
    });

    it('replaces no file that is no checkpoint, and keeps none of a log that has none', async () => {
      const notes = join(root, 'notes.txt');
      writeFileSync(notes, 'something else');
      expect((await audit('verify', '--save-checkpoint', notes)).code).to.equal(2);
      expect(readFileSync(notes, 'utf8')).to.equal('something else');
      const empty = join(root, 'empty');
      writeLog(empty, new Map([['log.vkey', Buffer.from(`${signer.verifier.vkey}\n`)]]));
      const kept = join(root, 'kept-of-none');
      const { code, stderr } = await finishSealwire(['audit', 'verify', '--dir', empty, '--save-checkpoint', kept]);
      expect([code, stderr]).to.deep.equal([3, `sealwire: ${empty}: no log, or an empty one\n`]);
    });

    it('tells a checkpoint of another key from a file that is none', async () => {
      const other = join(root, 'other-checkpoint');
      writeFileSync(other, buildLog({ records: 3, signer: createTestSigner() }).get('checkpoint') as Buffer);
      const foreign = await audit('verify', '--checkpoint', other);
      expect(foreign.code).to.equal(1);
      expect(foreign.stdout).to.include('bad-signature');
      const own = files.get('checkpoint') as Buffer;
      writeFileSync(other, Buffer.concat([own, own]));
      expect((await audit('verify', '--checkpoint', other)).stdout).to.include(' 2 kept\n');
      writeFileSync(other, 'no checkpoint');
      const none = await audit('verify', '--checkpoint', other);
      expect(none.code).to.equal(2);
      expect(none.stderr).to.equal(`sealwire: ${other}: not a checkpoint\n`);
    });

    it('tells wrong use (2) from what is not there (3)', async () => {
      expect((await audit('verify', '--since-checkpoint')).code).to.equal(2);
      expect((await audit('verify', '--vkey', 'name+01+x')).code).to.equal(2);
      expect((await audit('verify', '--checkpoint', join(root, 'nowhere'))).code).to.equal(3);
      const missing = await finishSealwire(['audit', 'verify', '--dir', join(root, 'nowhere')]);
      expect(missing.code).to.equal(3);
      expect(missing.stderr).to.match(/^sealwire: .*nowhere.*: ENOENT\n$/);
    });
  });

  describe('search', () => {
    it('refuses values that no record can have, and lists those there are', async () => {
      for (const [flag, value, known] of [
        ['--outcome', 'open', 'opened, sealed, refused or passed'],
        ['--event', 'opened', 'open, seal, reject'],
        ['--reason', 'BINDING', 'BINDING_MISMATCH'],
      ] as const) {
        const { code, stdout, stderr } = await audit('search', flag, value);
        expect([code, stdout]).to.deep.equal([2, '']);
        expect(stderr).to.include(known);
      }
    });

    it('says that nothing was found, and which bound siblings there are', async () => {
      const none = await audit('search', '--request-id', 'nobody');
      expect([none.code, none.stderr]).to.deep.equal([1, 'no record was found\n']);
      const { stderr } = await audit('search', '--bound', 'orderId=o-17');
      expect(stderr).to.match(/^no record was found: no record binds orderId; bound are .*order_id/);
    });

    it('finds by every name', async () => {
      expect(await searchSeqs('--bound', 'order_id=o-17')).to.deep.equal([17]);
      expect(await searchSeqs('--bound', 'amount=17')).to.deep.equal([17]);
      expect(await searchSeqs('--request-id', 'r-18')).to.deep.equal([18]);
      expect(await searchSeqs('--request-id', 'r-1')).to.deep.equal([1]);
      expect(await searchSeqs('--principal', HOSTILE)).to.deep.equal([10]);
      expect(await searchSeqs('--peer', '10.0.0.3', '--since', '2026-01-01T00:04:40Z')).to.deep.equal([283, 290]);
      expect(await searchSeqs('--peer', '10.0.0.3:4010')).to.deep.equal([10]);
      expect(await searchSeqs('--event', 'reject')).to.have.length(100);
      expect(await searchSeqs('--reason', 'DECRYPTION_FAILED', '--limit', '2')).to.deep.equal([0, 3]);
      expect(await searchSeqs('--outcome', 'refused')).to.have.length(100);
      expect(await searchSeqs('--kid', 'new')).to.have.length(67);
      expect(await searchSeqs('--field', 'security_code')).to.have.length(200);
      expect(await searchSeqs('--field', 'code')).to.deep.equal([]);
      expect(await searchSeqs('--method', 'Authorize')).to.have.length(300);
      expect(await searchSeqs('--method', 'GetPayment')).to.deep.equal([]);
    });

    it('finds a value that is longer than what records hold of it', async () => {
      expect(await searchSeqs('--bound', `order_id=${LONG}`)).to.deep.equal([20]);
      expect(await searchSeqs('--bound', `order_id=${LONG.slice(0, 200)}`)).to.deep.equal([]);
    });

    it('joins names, and takes repeated ones for alternatives', async () => {
      expect(await searchSeqs('--request-id', 'r-1', '--request-id', 'r-2')).to.deep.equal([1, 2]);
      expect(await searchSeqs('--request-id', 'r-1', '--event', 'reject')).to.deep.equal([]);
      // All names of a field at one and the same field.
      expect(await searchSeqs('--bound', 'order_id=o-17', '--field', 'security_code')).to.deep.equal([]);
      expect(await searchSeqs('--bound', 'order_id=o-17', '--field', 'card')).to.deep.equal([17]);
    });

    it('finds by time, the first moment included and the last one not', async () => {
      const until = ['--until', '2026-01-01T00:00:13Z'];
      expect(await searchSeqs('--since', '2026-01-01T00:00:10Z', ...until)).to.deep.equal([10, 11, 12]);
      expect(await searchSeqs('--until', '2026-01-01')).to.deep.equal([]);
      expect(await searchSeqs('--since', '1d')).to.deep.equal([]);
    });

    it('finds a token by its digest, kept or not', async () => {
      const { stdout } = await audit('show', '17', '--format', 'json');
      const [, transient] = (JSON.parse(stdout) as { fields: { token: { digest: string } }[] }).fields;
      const found = await searchSeqs('--token', transient?.token.digest as string, '--limit', '1');
      expect(found).to.deep.equal([0]);
    });

    it('finds a token by itself, from a file too', async () => {
      const path = join(root, 'token');
      writeFileSync(path, `card=${TOKEN},\n`);
      for (const token of [TOKEN, `@${path}`]) {
        expect(await searchSeqs('--token', token, '--limit', '1'), token).to.deep.equal([0]);
      }
      expect((await audit('search', '--token', 'fRKHT0uy')).code).to.equal(2);
    });

    it('prints the very lines of the log', async () => {
      const { stdout } = await audit('search', '--format', 'jsonl');
      const written = [...files].filter(([name]) => name.endsWith('.jsonl')).map(([, bytes]) => bytes.toString());
      expect(stdout).to.equal(written.join(''));
      const json = await audit('search', '--format', 'json');
      expect(JSON.parse(json.stdout)).to.have.length(300);
      expect((await audit('search', '--format', 'json', '--event', 'start')).stdout).to.equal('[]\n');
    });

    it('refuses what it does not understand, in one line', async () => {
      for (const args of [
        ['--since', '31.1.2026'],
        ['--since', '2026-02-31'],
        ['--bound', 'o-17'],
        ['--limit', '0'],
        ['--format', 'xml'],
      ]) {
        const { code, stderr } = await audit('search', ...args);
        expect(code, args.join(' ')).to.equal(2);
        expect(stderr.split('\n')[0]).to.match(/^error: option '--/);
      }
    });
  });

  it('shows one record, and says why there is none', async () => {
    const { code, stdout } = await audit('show', '17');
    expect(code).to.equal(0);
    expect(stdout)
      .to.match(/^seq {11}17\n/)
      .and.to.include('bound       order_id=o-17\n')
      .and.to.include('grant       none\n')
      .and.to.include('grant       none: transient, never granted\n');
    const missing = await audit('show', '300');
    expect([missing.code, missing.stderr]).to.deep.equal([1, 'record 300: no such record\n']);
    expect((await audit('show', 'x')).code).to.equal(2);
    const retained = join(root, 'retained');
    writeLog(retained, new Map([...files].filter(([name]) => name !== `${'0'.repeat(20)}.jsonl`)));
    const removed = await finishSealwire(['audit', 'show', '3', '--dir', retained]);
    expect([removed.code, removed.stderr]).to.deep.equal([1, 'record 3: its segment was removed\n']);
    const { stderr } = await finishSealwire(['audit', 'search', '--request-id', 'r-101', '--dir', retained]);
    expect(stderr).to.equal('sealwire-payments/a: records 0 to 99 were removed and not read\n');
  });

  it('counts', async () => {
    const { stdout } = await audit('stats', '--format', 'json');
    const stats = JSON.parse(stdout) as Record<string, unknown>;
    expect(stats['records']).to.equal(300);
    expect(stats['event']).to.deep.equal([
      ['open', 200],
      ['reject', 100],
    ]);
    expect(stats['outcome']).to.deep.equal([
      ['opened', 400],
      ['refused', 100],
    ]);
    expect(stats['kid']).to.deep.include(['old'.padEnd(43, 'k'), 133]);
    expect((await audit('stats', '--event', 'reject')).stdout)
      .to.match(/^100 records\n/)
      .and.to.match(/\noutcome +fields\n/)
      .and.to.match(/\nreason +refusals\nDECRYPTION_FAILED +100\n/);
  });

  it('exports CSV that no spreadsheet runs', async () => {
    const evil = join(root, 'evil');
    const texts = ['=HYPERLINK("http://x")', '+1', '-1', '@SUM(A1)', ' =1', '＝1', '"quoted", and comma', 'plain'];
    const inputs = (seq: number) => input({ principal: texts[seq] as string, fields: [] });
    writeLog(evil, buildLog({ records: texts.length, input: inputs, signer }));
    const { stdout, code } = await finishSealwire(['audit', 'export', '--dir', evil]);
    expect(code).to.equal(0);
    const rows = stdout.split('\r\n').slice(1, -1);
    expect(rows).to.have.length(texts.length);
    const cells = rows.map((row) =>
      /^\d+,"[^"]*","open","[^"]*","[^"]*","[^"]*","((?:[^"]|"")*)",/.exec(row)?.[1]?.replaceAll('""', '"'),
    );
    // A caller's order must not look like other siblings.
    const forged = field({
      bound: [
        ['order_id', 'A-77 amount=1'],
        ['note', '"'],
      ],
    });
    writeLog(join(root, 'forged'), buildLog({ records: 1, input: () => input({ fields: [forged] }), signer }));
    for (const [command, quoted] of [
      ['search', 'order_id="A-77 amount=1" note="\\""'],
      ['export', '"order_id=""A-77 amount=1"" note=""\\"""""'],
    ] as const) {
      expect((await finishSealwire(['audit', command, '--dir', join(root, 'forged')])).stdout).to.include(quoted);
    }
    expect(cells).to.deep.equal(texts.map((text, index) => (index < 6 ? `'${text}` : text)));
    expect((await audit('export')).stdout.split('\r\n')).to.have.length(502);
    const json = await audit('export', '--format', 'json', '--event', 'reject');
    expect(JSON.parse(json.stdout)).to.have.length(100);
  });

  it('sends nothing of a record to the terminal that could steer it', async () => {
    // Also of lines that our writer would not have written.
    const raw = join(root, 'raw');
    const line = linesOf(buildLog({ records: 1, input: () => input(), signer })).lines[0] as string;
    writeLog(
      raw,
      buildFromLines([line.replace('spiffe://shop/checkout', '\u009b2J\u202e'), '\u001b[2Jno record\u0085'], {
        signer,
      }),
    );
    for (const args of [
      ['search'],
      ['search', '--format', 'json'],
      ['search', '--format', 'jsonl'],
      ['tail'],
      ['export'],
      ['stats'],
      ['show', '0'],
      ['show', '10'],
      ['verify'],
    ]) {
      for (const folder of [dir, raw]) {
        const { stdout, stderr } = await finishSealwire(['audit', ...args, '--dir', folder]);
        expect(stdout + stderr, args.join(' ')).to.not.match(STEERING);
        expect((stdout + stderr).replaceAll('\r\n', '\n')).to.not.include('\r');
      }
    }
    expect((await finishSealwire(['audit', 'search', '--dir', raw])).stderr).to.include('1 lines are not records');
  });

  describe('proofs', () => {
    it('prove a record to somebody who has the key only', async () => {
      const { stdout } = await audit('prove', 'inclusion', '17');
      const proof = join(root, 'record.tlog-proof');
      writeFileSync(proof, stdout);
      const good = await finishSealwire(['audit', 'check-proof', proof, '--vkey', join(root, 'log.vkey')]);
      expect([good.code, good.stderr]).to.deep.equal([
        0,
        'proven: record 17 of sealwire-payments/a, in a log of 300 records\n',
      ]);
      expect(JSON.parse(good.stdout)).to.include({ seq: 17 });
      const lines = stdout.split('\n');
      const record = Buffer.from((lines[1] as string).slice(6), 'base64').toString();
      const forged = record.replace('o-17', 'o-18');
      const bad: string[] = [
        stdout.replace(lines[1] as string, `extra ${Buffer.from(forged).toString('base64')}`),
        stdout.replace('index 17', 'index 18'),
        stdout.replace(`${lines[3]}\n`, ''),
        stdout.replace('\n300\n', '\n301\n'),
      ];
      for (const text of bad) {
        writeFileSync(proof, text);
        const {
          code,
          stderr,
          stdout: nothing,
        } = await finishSealwire(['audit', 'check-proof', proof, '--vkey', join(root, 'log.vkey')]);
        expect([code, nothing]).to.deep.equal([1, '']);
        expect(stderr).to.include('NOT PROVEN');
      }
      writeFileSync(proof, 'index 3\n\n');
      expect((await finishSealwire(['audit', 'check-proof', proof, '--vkey', join(root, 'log.vkey')])).code).to.equal(
        2,
      );
    });

    it('prove that a log has only grown', async () => {
      const older = join(root, 'older-checkpoint');
      const notes = (files.get('checkpoints') as Buffer).toString('utf8').split('\n\n');
      writeFileSync(older, `${notes[2]}\n\n${notes[3]}\n`);
      const { stdout, code } = await audit('prove', 'consistency', older);
      expect(code).to.equal(0);
      const proof = join(root, 'grown.proof');
      writeFileSync(proof, stdout);
      const vkey = signer.verifier.vkey;
      const good = await finishSealwire(['audit', 'check-proof', proof, '--vkey', vkey]);
      expect([good.code, good.stdout]).to.deep.equal([
        0,
        'proven: the 100 records of sealwire-payments/a are the first of its 300\n',
      ]);
      const foreign = await finishSealwire(['audit', 'check-proof', proof, '--vkey', createTestSigner().verifier.vkey]);
      expect(foreign.code).to.equal(1);
      writeFileSync(proof, stdout.replace(/\n[^\n]+\n\n/, '\n\n'));
      expect((await finishSealwire(['audit', 'check-proof', proof, '--vkey', vkey])).code).to.equal(1);
    });

    it('are not made of what is not there, nor of a log that was changed', async () => {
      expect((await audit('prove', 'inclusion', '300')).code).to.equal(1);
      const bad = join(root, 'bad-leaf');
      const changed = new Map(files);
      const leaves = Buffer.from(files.get(`${'0'.repeat(20)}.leaves`) as Buffer);
      leaves[32 * 18] = (leaves[32 * 18] as number) ^ 1;
      writeLog(bad, changed.set(`${'0'.repeat(20)}.leaves`, leaves));
      const { code, stdout, stderr } = await finishSealwire(['audit', 'prove', 'inclusion', '17', '--dir', bad]);
      expect([code, stdout]).to.deep.equal([1, '']);
      expect(stderr).to.include('the log does not match its checkpoint');
    });
  });

  it('ends well when a pager goes away', async () => {
    const big = join(root, 'big');
    writeLog(big, buildLog({ records: 5_000, input: sampleInput, signer }));
    const script = `"${process.execPath}" ${MAIN} audit search --dir ${big} | head -1; echo "\${PIPESTATUS[0]}"`;
    const { stdout, stderr } = await finish('bash', ['-c', script]);
    expect(stdout.split('\n')[1]).to.equal('0');
    expect(stderr).to.equal('');
    const help = await finish('bash', ['-c', `"${process.execPath}" ${MAIN} audit search --help | :`]);
    expect(help.stderr).to.equal('');
  });

  it('writes nothing, takes no lock, and needs no right to write', async () => {
    const frozen = join(root, 'frozen');
    writeLog(frozen, files);
    for (const name of readdirSync(frozen)) chmodSync(join(frozen, name), 0o400);
    chmodSync(frozen, 0o500);
    const before = readdirSync(frozen).map((name) => [name, statSync(join(frozen, name)).mtimeMs]);
    try {
      // strace would tell more; a folder without the right to write tells enough unless root runs this.
      for (const args of [
        ['verify'],
        ['search'],
        ['tail'],
        ['show', '1'],
        ['stats'],
        ['export'],
        ['prove', 'inclusion', '5'],
      ]) {
        expect((await finishSealwire(['audit', ...args, '--dir', frozen])).code, args.join(' ')).to.equal(0);
      }
      expect(readdirSync(frozen).map((name) => [name, statSync(join(frozen, name)).mtimeMs])).to.deep.equal(before);
    } finally {
      chmodSync(frozen, 0o700);
    }
  });

  describe('on a log that is being written', () => {
    let live: string;
    let log: AuditLog;
    beforeEach(async () => {
      live = mkdtempSync(join(root, 'live-'));
      log = await AuditLog.open({
        dir: live,
        origin: 'live',
        keyFile: join(root, `${live.slice(-6)}.key`),
        segmentBytes: 4_096,
        checkpointRecords: 3,
      });
    });
    afterEach(() => log.close());

    it('tail shows the last records and ends', async () => {
      for (let index = 0; index < 30; index++) await log.commit(input({ requestId: `t-${index}` }));
      const { stdout } = await finishSealwire(['audit', 'tail', '-n', '3', '--format', 'jsonl', '--dir', live]);
      const seqs = stdout
        .trimEnd()
        .split('\n')
        .map((line) => (JSON.parse(line) as { requestId: string }).requestId);
      expect(seqs).to.deep.equal(['t-27', 't-28', 't-29']);
      const all = await finishSealwire(['audit', 'tail', '-n', '1000', '--format', 'jsonl', '--dir', live]);
      expect(all.stdout.trimEnd().split('\n')).to.have.length(31);
      const one = await finishSealwire([
        'audit',
        'tail',
        '-n',
        '1',
        '--request-id',
        't-2',
        '--format',
        'jsonl',
        '--dir',
        live,
      ]);
      expect(one.stdout).to.include('"t-2"');
    });

    it('tail -f follows through new segments, in order and without a gap, and ends on SIGTERM with 0', async () => {
      await log.commit(input({ requestId: 'before' }));
      const following = sealwire('audit', 'tail', '-f', '-n', '1', '--format', 'jsonl', '--dir', live);
      const lines = () => following.stdout().split('\n').slice(0, -1);
      const until = async (count: number) => {
        while (lines().length < count) {
          await Promise.race([
            once(following.child.stdout as NonNullable<typeof following.child.stdout>, 'data'),
            following.ended,
          ]);
          if (following.child.exitCode !== null) expect.fail(following.stderr());
        }
      };
      await until(1);
      for (let index = 0; index < 40; index++) await log.commit(input({ requestId: `f-${index}` }));
      await until(41);
      expect(readdirSync(live).filter((name) => name.endsWith('.jsonl')).length).to.be.greaterThan(3);
      const ids = lines().map((line) => (JSON.parse(line) as { requestId: string }).requestId);
      expect(ids).to.deep.equal(['before', ...Array.from({ length: 40 }, (_, index) => `f-${index}`)]);
      following.child.kill('SIGTERM');
      expect(await following.ended).to.equal(0);
      expect(following.stderr()).to.equal('');
    });

    it('verify finds nothing wrong, whenever it looks', async () => {
      let isWriting = true;
      const writing = (async () => {
        for (let index = 0; isWriting; index++) await log.commit(input({ requestId: `v-${index}` }));
      })();
      try {
        for (let round = 0; round < 5; round++) {
          const { code, stdout, stderr } = await finishSealwire(['audit', 'verify', '--dir', live]);
          expect(code, stdout + stderr).to.equal(0);
        }
      } finally {
        isWriting = false;
        await writing;
      }
    });
  });
});
