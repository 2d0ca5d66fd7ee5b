/** Verification of whole logs and of logs that were changed in every way we could think of. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { openCheckpoint } from '../../../src/audit/format/checkpoint.js';
import type { AuditEvent, RecordInput } from '../../../src/audit/format/record.js';
import { formatRetired } from '../../../src/audit/format/retirement.js';
import { signNote } from '../../../src/audit/format/signed-note.js';
import { compileFilter } from '../../../src/audit/read/log-filter.js';
import { searchLog } from '../../../src/audit/read/read-records.js';
import { type VerifyReport, verifyLog } from '../../../src/audit/read/verify-log.js';
import { attackLog } from '../../support/attack-log.js';
import { linesOf } from '../../support/log-attacks.js';
import { buildFromLines, buildLog, createTestSigner, type LogFiles, writeLog } from '../../support/log-builder.js';

const signer = createTestSigner();

function verify(files: LogFiles, kept: readonly LogFiles[] = [], sinceKept = false): VerifyReport {
  const dir = mkdtempSync(join(tmpdir(), 'sealwire-verify-'));
  try {
    writeLog(dir, files);
    const { verifier } = signer;
    const checkpoints = kept.map((older) => openCheckpoint(older.get('checkpoint') as Buffer, verifier));
    return verifyLog({ dir, verifier, kept: checkpoints, sinceKept });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function retireInput(event: AuditEvent, detail: string): RecordInput {
  const blank = { method: '', peer: '', principal: '', requestId: '', traceparent: '', durationUs: 0, fields: [] };
  return { ...blank, event, detail };
}

const summary = ({ findings }: VerifyReport) => findings.map(({ kind, seq, last }) => [kind, seq, last]);
const log = (records: number, segmentRecords = Number.POSITIVE_INFINITY, seed = 'r') =>
  buildFromLines(
    linesOf(buildLog({ records, signer })).lines.map((line) => line.replace('"r-', `"${seed}-`)),
    { segmentRecords, checkpointRecords: 50, signer },
  );

describe('verifying a log', () => {
  it('reads every line when only those after a kept checkpoint are to be read, and none was kept', () => {
    const files = log(20);
    const name = '00000000000000000000.jsonl';
    files.set(name, Buffer.from((files.get(name) as Buffer).toString().replace('"r-3"', '"r-x"')));
    expect(summary(verify(files, [], true))).to.deep.equal(summary(verify(files)));
    expect(verify(files, [], true).ok).to.equal(false);
  });

  it('agrees with a log of one segment and of many, and with older checkpoints', () => {
    for (const segmentRecords of [Number.POSITIVE_INFINITY, 100, 37]) {
      const report = verify(log(420, segmentRecords), [log(420), log(117)]);
      expect(report.findings).to.deep.equal([]);
      expect(report).to.include({ ok: true, records: 420, checkpoints: 10, kept: 2, unsigned: 0, removed: 0 });
    }
    expect(verify(log(0))).to.include({ ok: true, records: 0, checkpoints: 1 });
  });

  it('notices every attack of somebody who cannot sign, and names the record', function () {
    this.timeout(180_000);
    const { missed, attacks } = attackLog({ records: 10_000, perKind: 6 });
    expect(missed).to.deep.equal([]);
    expect(attacks).to.be.greaterThan(50);
  });

  it('notices every byte of a small log', function () {
    this.timeout(180_000);
    const { missed, attacks } = attackLog({ records: 2, everyByte: true });
    expect(missed).to.deep.equal([]);
    expect(attacks).to.be.greaterThan(1_500);
  });

  it('takes what a crash or a running writer leaves at the end for what it is', () => {
    const files = log(120);
    const { name } = linesOf(files);
    const longer = linesOf(log(123)).lines;
    const leaves = `${'0'.repeat(20)}.leaves`;
    // Lines that are not hashed yet, and half a line.
    const live = new Map(files);
    live.set(name, Buffer.from(`${longer.join('\n')}\n{"v":1,"seq":123,"ti`));
    expect(verify(live)).to.include({ ok: true, records: 123, unsigned: 3 });
    // Leaves whose lines were lost, behind the latest checkpoint.
    const crashed = new Map(files);
    crashed.set(leaves, Buffer.concat([files.get(leaves) as Buffer, Buffer.alloc(70, 7)]));
    expect(verify(crashed)).to.include({ ok: true, records: 120 });
    // A checkpoint that is being appended.
    const appending = new Map(files);
    const older = (files.get('checkpoints') as Buffer).toString('utf8').split('\n\n').slice(0, -3).join('\n\n');
    appending.set(
      'checkpoints',
      Buffer.from(`${older}\n\n${(files.get('checkpoint') as Buffer).toString('utf8').slice(0, 20)}`),
    );
    expect(verify(appending).findings).to.deep.equal([]);
  });

  it('notices damage to the files that only programs read, in a log of several segments', () => {
    const change = (name: string, edit: (bytes: Buffer) => Buffer) => {
      const files = log(420, 100);
      return verify(files.set(name, edit(Buffer.from(files.get(name) as Buffer))));
    };
    const flip = (bytes: Buffer) => {
      bytes[40] = (bytes[40] as number) ^ 1;
      return bytes;
    };
    expect(summary(change('00000000000000000300.frontier', flip))).to.deep.equal([
      ['bad-frontier', undefined, undefined],
    ]);
    expect(summary(change('00000000000000000300.leaves', flip))).to.deep.equal([['bad-leaf', 301, undefined]]);
    // Shorter or longer than the lines, in the middle and at the end.
    for (const name of ['00000000000000000100.leaves', '00000000000000000400.leaves']) {
      const first = Number(name.slice(0, 20));
      expect(summary(change(name, (bytes) => bytes.subarray(0, 70)))[0]).to.deep.equal([
        'bad-leaf',
        first + 2,
        undefined,
      ]);
    }
    const longer = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(32)]);
    expect(summary(change('00000000000000000100.leaves', longer))[0]).to.deep.equal(['bad-leaf', 200, undefined]);
  });

  it('names the bad record however many bad checkpoints there are', () => {
    const files = log(120);
    const { name, lines } = linesOf(files);
    files.set(name, Buffer.from(`${lines.with(60, lines[61] as string).join('\n')}\n`));
    const foreign = buildLog({ records: 3, signer: createTestSigner() }).get('checkpoint');
    files.set(
      'checkpoints',
      Buffer.concat([Buffer.from(`${foreign}\n`.repeat(50)), files.get('checkpoints') as Buffer]),
    );
    const { findings } = verify(files);
    expect(findings[0]).to.include({ seq: 60 });
    expect(findings.filter(({ kind }) => kind === 'bad-signature')).to.have.length(20);
  });

  it('names a line that is too long to be read, in the last segment and before it', () => {
    const dir = mkdtempSync(join(tmpdir(), 'sealwire-verify-'));
    try {
      const { verifier } = signer;
      for (const [segment, seq] of [
        ['00000000000000000400', 410],
        ['00000000000000000100', 110],
      ] as const) {
        writeLog(dir, log(420, 100));
        const path = join(dir, `${segment}.jsonl`);
        const kept = readFileSync(path, 'utf8').split('\n').slice(0, 10);
        writeFileSync(path, `${kept.join('\n')}\n`);
        // Holes take no room on the disk.
        truncateSync(path, 200 * 1_048_576);
        const report = verifyLog({ dir, verifier });
        expect(summary(report)).to.deep.equal([['changed', seq, undefined]]);
        expect(report.findings[0]?.detail).to.include('longer than any record');
        // Nor does it keep a mismatch before it from being explained.
        writeFileSync(path, `${['x', ...kept.slice(1)].join('\n')}\n`);
        truncateSync(path, 200 * 1_048_576);
        expect(summary(verifyLog({ dir, verifier }))).to.deep.equal([
          ['changed', seq - 10, undefined],
          ['changed', seq, undefined],
        ]);
      }
      // Without a key an older history may be gone: the latest checkpoint covers all that it did.
      writeLog(dir, log(420, 100));
      rmSync(join(dir, 'checkpoints'));
      expect(verifyLog({ dir, verifier })).to.include({ ok: true, checkpoints: 1 });
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('takes a segment that is being begun for none, and one without lines for missing', () => {
    const files = log(420, 100);
    const begun = new Map(files).set('00000000000000000420.leaves', Buffer.alloc(0));
    expect(verify(begun)).to.include({ ok: true, records: 420 });
    const cut = new Map(files);
    cut.delete('00000000000000000400.jsonl');
    expect(summary(verify(cut))[0]).to.deep.equal(['missing', 400, 419]);
  });

  /** A log whose record 390 tells that records were removed, as its signed note does. */
  const retiredLog = (first: number, last: number, event: AuditEvent = 'retire', records = 420) =>
    new Map(
      buildLog({
        records,
        segmentRecords: 100,
        checkpointRecords: 50,
        signer,
        input: (seq) =>
          retireInput(seq === 390 ? event : 'reject', `records ${first} to ${last} are removed by retention`),
      }),
    ).set('retired', retiredNote(last + 1));
  const retiredNote = (count: number, by = signer) =>
    Buffer.from(signNote(formatRetired(signer.verifier.name, count), [by]));

  it('does not vouch for records that somebody without a key removed', () => {
    // Their leaf hashes are there, and no record tells of it.
    const files = log(420, 100);
    files.delete('00000000000000000000.jsonl');
    files.delete('00000000000000000100.jsonl');
    expect(summary(verify(files))).to.deep.equal([['missing', 0, 199]]);
    const removed = (from: LogFiles, ...firsts: number[]) => {
      for (const first of firsts) from.delete(`${String(first).padStart(20, '0')}.jsonl`);
      return verify(from, [log(0)]);
    };
    expect(removed(retiredLog(0, 199), 0, 100)).to.include({ ok: true, removed: 200 });
    // Told of fewer, of others, or by a record that is none of retention's.
    expect(summary(removed(retiredLog(0, 99), 0, 100))).to.deep.equal([['missing', 100, 199]]);
    expect(summary(removed(retiredLog(100, 199), 0, 100))).to.deep.equal([['missing', 0, 199]]);
    expect(summary(removed(retiredLog(0, 199, 'rotate'), 0, 100))).to.deep.equal([['missing', 0, 199]]);
    expect(summary(removed(retiredLog(0, 1e6), 0, 100))).to.deep.equal([['missing', 0, 199]]);
    // Of a crash between telling and removing.
    expect(removed(retiredLog(0, 199), 0)).to.include({ ok: true, removed: 100 });
    // By a record that no checkpoint covers yet, which anybody can append.
    const uncovered = retiredLog(0, 199);
    uncovered.set('checkpoint', retiredLog(0, 199, 'retire', 350).get('checkpoint') as Buffer);
    uncovered.set('checkpoints', retiredLog(0, 199, 'retire', 350).get('checkpoints') as Buffer);
    expect(summary(removed(uncovered, 0, 100))).to.deep.equal([['missing', 0, 199]]);
    // By a record that was slipped in before the writer went on, and signed with the rest: the writer's note is not
    // there.
    const slipped = retiredLog(0, 199);
    slipped.delete('retired');
    expect(summary(removed(slipped, 0, 100))).to.deep.equal([['missing', 0, 199]]);
    slipped.set('retired', retiredNote(100));
    expect(summary(removed(slipped))).to.deep.equal([['missing', 100, 199]]);
    slipped.set('retired', retiredNote(200, createTestSigner()));
    expect(summary(removed(slipped))).to.deep.equal([['missing', 0, 199]]);
  });

  it('takes a record of retention for what it says also where lines are not verified again', () => {
    const files = retiredLog(0, 199);
    files.delete('00000000000000000000.jsonl');
    files.delete('00000000000000000100.jsonl');
    expect(verify(files, [retiredLog(0, 199)], true)).to.include({ ok: true, removed: 200 });
    const name = '00000000000000000300.jsonl';
    const forged = retiredLog(0, 99);
    forged.delete('00000000000000000000.jsonl');
    forged.delete('00000000000000000100.jsonl');
    forged.set(name, Buffer.from(String(forged.get(name)).replace('records 0 to 99', 'records 0 to 199')));
    expect(summary(verify(forged, [retiredLog(0, 99)], true))).to.deep.equal([['missing', 100, 199]]);
  });

  it('verifies what retention left', () => {
    const files = retiredLog(0, 199);
    files.delete('00000000000000000000.jsonl');
    files.delete('00000000000000000100.jsonl');
    expect(verify(files, [retiredLog(0, 199, 'retire', 150)])).to.include({
      ok: true,
      records: 420,
      removed: 200,
      kept: 1,
    });
    files.delete('00000000000000000200.jsonl');
    files.delete('00000000000000000300.jsonl');
    files.set('00000000000000000200.jsonl', retiredLog(0, 199).get('00000000000000000200.jsonl') as Buffer);
    expect(summary(verify(files))).to.deep.include(['missing', 300, 399]);
    files.delete('00000000000000000000.leaves');
    expect(summary(verify(files))[0]).to.deep.equal(['missing', 0, 99]);
  });

  it('takes lines that retention removes meanwhile for removed, and a gap for missing', () => {
    const dir = mkdtempSync(join(tmpdir(), 'sealwire-verify-'));
    const removeWhenAsked = (...names: string[]) => {
      writeLog(dir, retiredLog(0, 199));
      // Told for the first time when the first segment is open and the others are listed.
      const progress = () => {
        for (const name of names) rmSync(join(dir, name), { force: true });
      };
      return verifyLog({ dir, verifier: signer.verifier, progress });
    };
    try {
      const both = ['00000000000000000000.jsonl', '00000000000000000100.jsonl'];
      expect(removeWhenAsked(...both)).to.include({ ok: true, records: 420, removed: 100 });
      expect(summary(removeWhenAsked('00000000000000000100.jsonl'))).to.deep.equal([['missing', 100, 199]]);
      writeLog(dir, log(420, 100));
      const found = searchLog(dir, compileFilter({}));
      expect(found.next().value).to.include({ seq: 0 });
      rmSync(join(dir, '00000000000000000100.jsonl'));
      expect([...found].map(({ seq }) => seq)).to.have.length(319);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('verifies only what came after a kept checkpoint when asked to', () => {
    const files = log(420);
    const { name, lines } = linesOf(files);
    const change = (seq: number) => {
      const changed = [...lines];
      changed[seq] = (changed[seq] as string).replace('127.0.0.1', '127.0.0.2');
      return new Map([...files, [name, Buffer.from(`${changed.join('\n')}\n`)]]);
    };
    expect(summary(verify(change(100), [log(120)], true))).to.deep.equal([]);
    expect(summary(verify(change(300), [log(120)], true))).to.deep.equal([['changed', 300, undefined]]);
  });

  it('notices leaves that were made anew with the changed lines', () => {
    const unsigned = createTestSigner();
    const { lines } = linesOf(log(420));
    const forge = (changed: readonly string[]) => {
      const forged = buildFromLines(changed, { signer: unsigned });
      const real = log(420);
      return new Map([...real, ...[...forged].filter(([name]) => name.startsWith('0'))]);
    };
    const edited = lines.with(260, (lines[260] as string).replace('127.0.0.1', '127.0.0.2'));
    // Only the range between two checkpoints is known.
    expect(summary(verify(forge(edited)))[0]).to.deep.equal(['changed', 250, 299]);
    // Records carry their numbers.
    expect(summary(verify(forge(lines.toSpliced(260, 1))))[0]).to.deep.equal(['missing', 260, undefined]);
    expect(summary(verify(forge(lines.toSpliced(260, 0, lines[17] as string))))[0]).to.deep.equal([
      'inserted',
      260,
      undefined,
    ]);
    // A line that is no record.
    expect(summary(verify(forge(lines.with(7, '{"seq":7}'))))[0]).to.deep.equal(['changed', 7, undefined]);
  });

  describe('against the holder of the signing key', () => {
    const rewritten = log(420, Number.POSITIVE_INFINITY, 'x');
    const older = log(120);
    const forked = () => {
      const { lines } = linesOf(log(420));
      return buildFromLines(
        lines.map((line, seq) => (seq < 130 ? line : line.replace('"r-', '"x-'))),
        { checkpointRecords: 50, signer },
      );
    };

    it('notices nothing without a kept checkpoint: a rewritten, a cut and an older log are good logs', () => {
      for (const files of [rewritten, older, forked()]) expect(verify(files)).to.include({ ok: true });
    });

    it('notices all of it with one', () => {
      const kept = [log(420)];
      expect(summary(verify(rewritten, kept))).to.deep.equal([['forked', 0, 419]]);
      expect(summary(verify(older, kept))).to.deep.equal([['rolled-back', 120, 419]]);
      expect(summary(verify(forked(), kept))).to.deep.equal([['forked', 0, 419]]);
      // The more checkpoints are kept, the closer the place.
      expect(summary(verify(forked(), [log(120), ...kept]))).to.deep.equal([['forked', 120, 419]]);
    });

    it('notices nothing before the fork, and nothing behind the kept checkpoint', () => {
      expect(verify(forked(), [log(120)])).to.include({ ok: true, kept: 1 });
    });
  });

  it('notices another signing key', () => {
    const other = createTestSigner();
    const files = buildLog({ records: 10, signer: other });
    const kinds = verify(files).findings.map(({ kind }) => kind);
    expect(kinds).to.include('bad-key').and.to.include('bad-signature');
  });

  it('notices a log whose checkpoints were taken away', () => {
    const files = log(10);
    files.delete('checkpoint');
    files.delete('checkpoints');
    expect(summary(verify(files))).to.deep.equal([['bad-checkpoint', undefined, undefined]]);
  });

  it('is not held up by what a hostile folder holds in place of files', () => {
    const dir = mkdtempSync(join(tmpdir(), 'sealwire-verify-'));
    try {
      const attempt = () => verifyLog({ dir, verifier: signer.verifier });
      for (const name of [
        `${'0'.repeat(20)}.jsonl`,
        `${'0'.repeat(20)}.leaves`,
        'checkpoint',
        'checkpoints',
        'log.vkey',
      ]) {
        writeLog(dir, log(5));
        rmSync(join(dir, name));
        execFileSync('mkfifo', [join(dir, name)]);
        expect(attempt, name).to.throw(`${name}: not a file`).with.property('code', 'AUDIT_FILE_INVALID');
        rmSync(join(dir, name));
        symlinkSync('/dev/zero', join(dir, name));
        expect(attempt, name).to.throw(`${name}: ELOOP`).with.property('code', 'AUDIT_FILE_INVALID');
        rmSync(join(dir, name));
      }
      writeLog(dir, log(5).set('checkpoint', Buffer.alloc(1_048_577)));
      expect(attempt).to.throw('checkpoint: too large').with.property('code', 'AUDIT_FILE_INVALID');
      writeLog(dir, log(5).set('checkpoints', Buffer.alloc(8_388_608, 65)));
      expect(summary(attempt())).to.deep.equal([['bad-checkpoint', undefined, undefined]]);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('refuses a folder that is not there, by code', () => {
    expect(() => verifyLog({ dir: '/does/not/exist', verifier: signer.verifier }))
      .to.throw('/does/not/exist: ENOENT')
      .with.property('code', 'AUDIT_FILE_INVALID');
  });
});
