import { execFileSync, spawn } from 'node:child_process';
import { chmod, chown, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import Transport from 'winston-transport';
import { encodeRecord } from '../../../src/audit/format/record.js';
import { AuditLog } from '../../../src/audit/write/audit-log.js';
import {
  expectAuditFailed,
  expectCode,
  field,
  inFolder,
  input,
  makeGate,
  openBroken,
  openStore,
  readLines,
  reject,
  settle,
  type TestFile,
  TOKEN,
  withLog,
  withTestFile,
} from '../helpers.js';

const FIRST = '00000000000000000000.jsonl';
const FRAME = { seq: 0, time: 0, origin: 'test' };

class Throwing extends Transport {
  override log(): void {
    throw new Error('a transport of a user');
  }
}

describe('a record that cannot be encoded', () => {
  it('fails alone and takes no number', () =>
    inFolder(async (dir) => {
      await withLog(dir, {}, async (log) => {
        const bad = input({ fields: [field({ bound: [['amount', 1n as never]] })] });
        const others = [log.commit(input()), log.commit(input())];
        await Promise.all([expectAuditFailed(log.commit(bad)), log.commit(input()), ...others]);
        await log.commit(input());
      });
      expect((await readLines(dir)).map(({ seq }) => seq)).to.deep.equal([0, 1, 2, 3, 4]);
    }));
});

describe('text that others made', () => {
  for (const character of ['\u2028', '\u2029', '\u0085', '\u007f', '\u009b', '\u202e', '\u2066']) {
    const name = `U+${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
    it(`is written without ${name}, and reads back the same`, () => {
      const text = `a${character}b`;
      const line = encodeRecord(input({ principal: text, fields: [field({ path: text })] }), FRAME);
      expect(line).not.to.contain(character);
      expect(JSON.parse(line)).to.include({ principal: text });
    });
  }

  it('is never cut within a surrogate pair', () => {
    const line = encodeRecord(input({ principal: `${'a'.repeat(511)}😀😀` }), FRAME);
    expect((JSON.parse(line) as { principal: string }).principal).to.equal(`${'a'.repeat(511)}…`);
  });

  it('cannot make a refused token be kept', () => {
    for (const refused of [
      input({ event: 'reject' }),
      input({ fields: [field({ outcome: 'refused' })] }),
      input({ event: 'reject', fields: [field({ outcome: 'passed' })] }),
    ]) {
      expect(encodeRecord(refused, FRAME)).not.to.contain(TOKEN);
    }
  });
});

describe('reject records', () => {
  it('are bounded in size per second too', () =>
    inFolder((dir) => {
      const header = Buffer.from(JSON.stringify({ kid: 'x'.repeat(1_900) })).toString('base64url');
      const large = { ...reject(), fields: Array.from({ length: 64 }, () => field({ token: header, keep: false })) };
      return withLog(dir, { now: () => 1_000_000, rejectBytesPerSecond: 400_000 }, async (log) => {
        for (let call = 0; call < 100; call++) log.note(large);
        await settle();
        const lines = await readLines(dir);
        expect(lines.length).to.be.within(2, 5);
      });
    }));

  it('that were counted are told when the log closes, and all are synced', () =>
    inFolder(async (dir) => {
      let closing: TestFile | undefined;
      await withTestFile(dir, { rejectsPerSecond: 1, now: () => 1_000_000 }, async (log, file) => {
        closing = file;
        for (let call = 0; call < 6; call++) log.note(reject());
      });
      expect((await readLines(dir)).at(-1)).to.include({ event: 'reject', detail: '5 more refused calls' });
      expect(closing?.calls.slice(-2)).to.deep.equal(['sync', 'close']);
    }));
});

describe('a slow or hung disk', () => {
  it('holds no more than the configured amount of waiting text', () =>
    inFolder((dir) =>
      withTestFile(dir, { queueBytes: 100_000 }, async (log, file) => {
        const { gate, open } = makeGate();
        file.gate = gate;
        const large = input({ fields: [field({ token: 'A'.repeat(40_000) })] });
        const first = log.commit(large);
        await settle();
        const second = log.commit(large);
        await settle();
        await expectAuditFailed(log.commit(large));
        open();
        await Promise.all([first, second]);
        await log.commit(large);
      }),
    ));

  it('takes a single record larger than that', () =>
    inFolder((dir) =>
      withLog(dir, { queueBytes: 1_024 }, (log) =>
        log.commit(input({ fields: [field({ token: 'A'.repeat(9_000) })] })),
      ),
    ));

  it('does not keep the log from closing, and gets nothing afterwards', () =>
    inFolder(async (dir) => {
      const { gate, open } = makeGate();
      let hung: TestFile | undefined;
      const behind: Promise<void>[] = [];
      await withTestFile(dir, { deadlineMs: 300 }, async (log, file) => {
        hung = file;
        file.gate = gate;
        behind.push(expectAuditFailed(log.commit(input())));
        await settle();
        behind.push(expectAuditFailed(log.commit(input())));
      });
      open();
      await Promise.all(behind);
      await settle();
      expect(hung?.calls).to.deep.equal(['append', 'sync', 'close']);
    }));
});

describe('a user transport that throws', () => {
  it('reaches neither the calls nor the process', () =>
    inFolder((dir) =>
      withLog(dir, { transports: [new Throwing()] }, async (log) => {
        for (let call = 0; call < 5; call++) await log.commit(input());
        await settle();
        expect(log.stats().records).to.equal(6);
      }),
    ));
});

describe('the folder of a log', () => {
  it('is free again when opening failed', () =>
    inFolder(async (dir) => {
      await expectAuditFailed(openBroken(dir));
      expect(await readdir(dir)).not.to.contain('lock');
      await withLog(dir, {}, (log) => log.commit(input()));
    }));

  for (const mode of [0o720, 0o702, 0o777]) {
    it(`is refused with mode ${mode.toString(8)}`, () =>
      inFolder(async (parent) => {
        const dir = join(parent, 'audit');
        await mkdir(dir);
        await chmod(dir, mode);
        await expectCode(openStore(dir), 'AUDIT_FILE_INVALID');
        await chmod(dir, 0o700);
        await writeFile(join(dir, FIRST), '');
        await chmod(join(dir, FIRST), 0o622);
        await expectCode(openStore(dir), 'AUDIT_FILE_INVALID');
      }));
  }

  it('is refused when it, or a file in it, belongs to somebody else', function () {
    if (process.getuid?.() !== 0) this.skip();
    return inFolder(async (dir) => {
      await chown(dir, 65_534, 65_534);
      expect((await expectCode(openStore(dir), 'AUDIT_FILE_INVALID')).message).to.include('belongs to user 65534');
      await chown(dir, 0, 0);
      await (await openStore(dir)).close();
      await chown(join(dir, FIRST), 65_534, 65_534);
      expect((await expectCode(openStore(dir), 'AUDIT_FILE_INVALID')).message).to.include('belongs to user 65534');
    });
  });

  for (const name of [FIRST, 'lock', 'checkpoint', 'checkpoints', 'log.vkey', '00000000000000000000.frontier']) {
    it(`is refused at once when ${name} is a pipe`, () =>
      inFolder(async (dir) => {
        await (await openStore(dir)).close();
        await rm(join(dir, name), { force: true });
        execFileSync('mkfifo', ['-m', '600', join(dir, name)]);
        const { message } = await expectCode(openStore(dir), 'AUDIT_FILE_INVALID');
        expect(message).to.equal(`${join(dir, name)}: is not a file`);
      }));
  }

  it('is refused when its segment is a symbolic link or it is no folder', () =>
    inFolder(async (dir) => {
      await writeFile(join(dir, 'elsewhere'), '');
      await symlink(join(dir, 'elsewhere'), join(dir, FIRST));
      await expectCode(openStore(dir), 'AUDIT_FILE_INVALID');
      await expectCode(openStore(join(dir, 'elsewhere')), 'AUDIT_FILE_INVALID');
    }));

  it('is taken over from a process that had our number: in a container every start has the same', () =>
    inFolder(async (dir) => {
      const opening = await openStore(dir);
      const text = await readFile(join(dir, 'lock'), 'utf8');
      await opening.close();
      await writeFile(join(dir, 'lock'), text.replace(/"start":"\d+"/, '"start":"1"'));
      const opened = await openStore(dir);
      await expectCode(openStore(dir), 'AUDIT_FILE_INVALID');
      await symlink(dir, join(dir, 'alias'));
      await expectCode(openStore(join(dir, 'alias')), 'AUDIT_FILE_INVALID');
      await opened.close();
    }));

  it('is taken over when its number belongs to a process started later', function () {
    if (process.platform !== 'linux') this.skip();
    return inFolder(async (dir) => {
      const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] });
      try {
        const opening = await openStore(dir);
        const text = await readFile(join(dir, 'lock'), 'utf8');
        await opening.close();
        const other = text.replace(/"pid":\d+/, `"pid":${child.pid}`);
        await writeFile(join(dir, 'lock'), other.replace(/"start":"\d+"/, '"start":"1"'));
        await (await openStore(dir)).close();
      } finally {
        child.stdin?.end();
      }
    });
  });
});

describe('options of the audit log', () => {
  const wrong = [
    { queueRecords: 0 },
    { queueBytes: 1 },
    { deadlineMs: 0 },
    { deadlineMs: Number.NaN },
    { rejectsPerSecond: -1 },
    { rejectBytesPerSecond: Number.POSITIVE_INFINITY },
  ];
  for (const options of wrong) {
    it(`refuses ${Object.entries(options).join()}`, () =>
      inFolder(async (dir) => {
        await expectCode(AuditLog.open({ dir, origin: 'test', ...options }), 'OPTIONS_INVALID');
        await (await openStore(dir)).close();
      }));
  }
});
