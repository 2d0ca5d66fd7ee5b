import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { type LogField, type LogRecord, parseRecord } from '../../../src/audit/format/log-record.js';
import type { RecordFieldInput } from '../../../src/audit/format/record.js';
import { followRef } from '../../../src/audit/read/read-records.js';
import { AuditLog } from '../../../src/audit/write/audit-log.js';
import {
  expectAuditFailed,
  expectCode,
  field,
  inFolder,
  input,
  makeGate,
  openBroken,
  readLines,
  readText,
  reject,
  settle,
  TOKEN,
  withLog,
  withTestFile,
} from '../helpers.js';

describe('AuditLog', () => {
  it('resolves a commit only after the write and the sync', () =>
    inFolder((dir) =>
      withTestFile(dir, {}, async (log, file) => {
        const { gate, open } = makeGate();
        file.gate = gate;
        let resolved = false;
        const commit = log.commit(input()).then(() => {
          resolved = true;
        });
        await settle();
        expect(file.calls).to.deep.equal(['append', 'sync']);
        expect(resolved).to.equal(false);
        open();
        await commit;
        expect(resolved).to.equal(true);
      }),
    ));

  it('shares one write and one sync between calls that wait together', () =>
    inFolder((dir) =>
      withTestFile(dir, {}, async (log, file) => {
        const { gate, open } = makeGate();
        file.gate = gate;
        const first = log.commit(input());
        await settle();
        const others = Array.from({ length: 50 }, () => log.commit(input()));
        await settle();
        expect(file.batches).to.deep.equal([1]);
        open();
        await Promise.all([first, ...others]);
        expect(file.batches).to.deep.equal([1, 50]);
        expect(file.calls).to.deep.equal(['append', 'sync', 'append', 'sync']);
        expect(log.stats()).to.include({ records: 52, syncs: 3, queued: 0 });
      }),
    ));

  it('keeps the order of calls across batches', () =>
    inFolder(async (dir) => {
      await withLog(dir, {}, async (log) => {
        const commits = Array.from({ length: 300 }, async (_, index) => {
          if (index % 3 === 0) await settle();
          await log.commit(input({ requestId: String(index) }));
        });
        await Promise.all(commits);
      });
      const lines = await readLines(dir);
      expect(lines.map(({ seq }) => seq)).to.deep.equal(lines.map((_, index) => index));
      expect(new Set(lines.map(({ requestId }) => requestId)).size).to.equal(301);
    }));

  it('refuses after a failed sync for good, and never syncs again', () =>
    inFolder((dir) =>
      withTestFile(dir, {}, async (log, file) => {
        file.failSync = new Error('EIO: secret path');
        const error = await expectCode(log.commit(input()), 'AUDIT_FAILED');
        expect(error.message).not.to.contain('EIO');
        expect(error.reason).to.equal('AUDIT_UNAVAILABLE');
        file.failSync = undefined;
        for (let attempt = 0; attempt < 3; attempt++) await expectAuditFailed(log.commit(input()));
        log.note(reject());
        await settle();
        expect(file.calls).to.deep.equal(['append', 'sync']);
      }),
    ));

  it('refuses every call of a batch whose sync fails, and those that wait behind it', () =>
    inFolder((dir) =>
      withTestFile(dir, {}, async (log, file) => {
        const { gate, open } = makeGate();
        file.gate = gate;
        file.failSync = new Error('EIO');
        const batch = [log.commit(input()), log.commit(input())].map(expectAuditFailed);
        await settle();
        const behind = [log.commit(input()), log.commit(input())].map(expectAuditFailed);
        await settle();
        open();
        await Promise.all([...batch, ...behind]);
        expect(file.batches).to.deep.equal([2]);
      }),
    ));

  it('refuses after a failed write for good', () =>
    inFolder((dir) =>
      withTestFile(dir, {}, async (log, file) => {
        file.failAppend = new Error('EIO');
        await expectAuditFailed(log.commit(input()));
        file.failAppend = undefined;
        await expectAuditFailed(log.commit(input()));
        expect(file.calls).to.deep.equal(['append']);
      }),
    ));

  it('continues after a failure once it is opened again', () =>
    inFolder(async (dir) => {
      await withTestFile(dir, {}, async (log, file) => {
        file.failAppend = new Error('EIO');
        await expectAuditFailed(log.commit(input()));
      });
      await withLog(dir, {}, (log) => log.commit(input()));
      const lines = await readLines(dir);
      expect(lines.map(({ seq }) => seq)).to.deep.equal([0, 1, 2, 3]);
      expect(lines.map(({ event }) => event)).to.deep.equal(['start', 'recover', 'start', 'open']);
    }));

  it('refuses a commit that the disk holds up past the deadline', () =>
    inFolder((dir) =>
      withTestFile(dir, { deadlineMs: 250 }, async (log, file) => {
        const { gate, open } = makeGate();
        file.gate = gate;
        await expectAuditFailed(log.commit(input()));
        open();
      }),
    ));

  it('refuses commits beyond its queue', () =>
    inFolder((dir) =>
      withTestFile(dir, { queueRecords: 3 }, async (log, file) => {
        const { gate, open } = makeGate();
        file.gate = gate;
        const first = log.commit(input());
        await settle();
        const results = Promise.allSettled(Array.from({ length: 6 }, () => log.commit(input())));
        await settle();
        open();
        await first;
        const statuses = (await results).map(({ status }) => status);
        expect(statuses.filter((status) => status === 'rejected').length).to.be.at.least(3);
        expect(statuses[0]).to.equal('fulfilled');
      }),
    ));

  it('does not wait for the disk in async mode, which has to be asked for', () =>
    inFolder((dir) =>
      withTestFile(dir, { mode: 'async' }, async (log, file) => {
        const { gate, open } = makeGate();
        file.gate = gate;
        await log.commit(input());
        await log.commit(input());
        open();
      }),
    ));

  it('waits for what the log tells of itself in async mode too', () =>
    inFolder((dir) =>
      withLog(dir, { mode: 'async' }, async (log) => {
        expect(log.stats()).to.include({ records: 1, syncs: 1 });
        expect((await readLines(dir)).map(({ event }) => event)).to.deep.equal(['start']);
      }),
    ));

  it('refuses commits in async mode too once writing failed', () =>
    inFolder((dir) =>
      withTestFile(dir, { mode: 'async' }, async (log, file) => {
        file.failSync = new Error('EIO');
        await log.commit(input());
        await settle();
        await expectAuditFailed(log.commit(input()));
      }),
    ));

  it('does not open when the start record cannot be written', () =>
    inFolder(async (dir) => {
      await expectAuditFailed(openBroken(dir));
    }));

  it('writes what waits when it closes, and refuses afterwards', () =>
    inFolder(async (dir) => {
      const log = await AuditLog.open({ dir, origin: 'test' });
      const commit = log.commit(input());
      await settle();
      await log.close();
      await commit;
      await expectAuditFailed(log.commit(input()));
      log.note(reject());
      await log.close();
      expect((await readLines(dir)).map(({ event }) => event)).to.deep.equal(['start', 'open']);
    }));
});

describe('AuditLog.note', () => {
  it('writes reject records without a sync', () =>
    inFolder((dir) =>
      withTestFile(dir, {}, async (log, file) => {
        log.note(reject());
        await settle();
        expect(file.calls).to.deep.equal(['append']);
        expect((await readLines(dir)).map(({ event }) => event)).to.deep.equal(['start', 'reject']);
      }),
    ));

  it('never keeps a refused token, only its digest', () =>
    inFolder((dir) =>
      withLog(dir, {}, async (log) => {
        log.note(reject());
        await settle();
        const [, line] = await readLines(dir);
        expect(line?.fields[0]).to.deep.include({ outcome: 'refused', reason: 'DECRYPTION_FAILED' });
        expect(JSON.stringify(line)).not.to.contain('ciphertext');
      }),
    ));

  it('counts what comes past the rate, and tells the number in one record', () =>
    inFolder((dir) => {
      let now = 1_000_000;
      return withLog(dir, { now: () => now, rejectsPerSecond: 10 }, async (log) => {
        for (let call = 0; call < 5_000; call++) log.note(reject());
        await settle();
        expect(await readLines(dir)).to.have.length(11);
        now += 1_000;
        log.note(reject());
        await settle();
        const lines = await readLines(dir);
        expect(lines).to.have.length(13);
        expect(lines[11]).to.include({ event: 'reject', detail: '4990 more refused calls' });
        expect(lines[11]?.fields).to.deep.equal([]);
      });
    }));

  it('writes 100 a second unless told otherwise', () =>
    inFolder((dir) =>
      withLog(dir, { now: () => 1_000_000 }, async (log) => {
        for (let call = 0; call < 500; call++) log.note(reject());
        await settle();
        expect(await readLines(dir)).to.have.length(101);
      }),
    ));

  it('holds up no commit, however many there are', () =>
    inFolder((dir) =>
      withLog(dir, { queueRecords: 200, now: () => 1_000_000 }, async (log) => {
        for (let call = 0; call < 5_000; call++) log.note(reject());
        await log.commit(input());
      }),
    ));

  it('never throws, also once writing failed', () =>
    inFolder((dir) =>
      withTestFile(dir, {}, async (log, file) => {
        file.failAppend = new Error('EIO');
        for (let call = 0; call < 3; call++) {
          log.note(reject());
          await settle();
        }
        expect(file.calls).to.deep.equal(['append']);
      }),
    ));

  describe('of stored tokens', () => {
    const token = (id: string, bytes = 20_000) => `${TOKEN}.${id}${'A'.repeat(bytes)}`;
    const stored = (id: string, changes: Partial<RecordFieldInput> = {}) =>
      input({ event: 'openStored', fields: [field({ token: token(id), ...changes })] });
    const digestOf = (text: string) => createHash('sha256').update(text).digest('base64url');

    it('writes each once: later records have its digest and where it is', () =>
      inFolder(async (dir) => {
        await withLog(dir, {}, async (log) => {
          await log.commit(input({ fields: [field({ token: token('a') })] }));
          for (let opening = 0; opening < 50; opening++) await log.commit(stored('a'));
          await log.commit(input({ event: 'seal', fields: [field({ token: token('a'), outcome: 'passed' })] }));
        });
        const lines = await readLines(dir);
        const expected = { digest: digestOf(token('a')), length: token('a').length, ref: { origin: 'test', seq: 1 } };
        expect(lines.slice(1).map(({ fields }) => fields[0]?.['token'])).to.deep.equal([
          token('a'),
          ...Array.from({ length: 51 }, () => expected),
        ]);
        expect((await readText(dir)).length).to.be.lessThan(20_000 + 52 * 1_000);
        const [, whole, pointer] = lines.map((line) => parseRecord(JSON.stringify(line)) as LogRecord);
        expect(followRef(dir, pointer as LogRecord, pointer?.fields[0] as LogField)).to.deep.equal(whole?.fields[0]);
      }));

    it('writes it whole when it is new, was opened on the wire again, has its first grant, or is not known any more', () =>
      inFolder(async (dir) => {
        await withLog(dir, {}, async (log) => {
          await log.commit(stored('a'));
          await log.commit(input({ fields: [field({ token: token('a') })] }));
          await log.commit(stored('a', { grant: 'h.k' }));
          await log.commit(stored('a', { grant: 'h.other' }));
          await log.commit(stored('b', { keep: false }));
          await log.commit(stored('b'));
          await log.commit(input({ event: 'seal', fields: [field({ token: token('b'), outcome: 'sealed' })] }));
        });
        await withLog(dir, {}, (log) => log.commit(stored('a')));
        const kept = (await readLines(dir)).flatMap(({ fields }) =>
          fields.map(({ token: found, grant }) => [typeof found, grant]),
        );
        expect(kept).to.deep.equal([
          ['string', null],
          ['string', null],
          ['string', 'h.k'],
          ['object', null],
          ['object', null],
          ['string', null],
          ['string', null],
          ['string', null],
        ]);
      }));

    it('refuses a caller who had too much written of them, before it is written, and nobody else', () =>
      inFolder(async (dir) => {
        let now = Date.UTC(2026, 0, 1);
        const options = { storedBytesPerHour: 100_000, now: () => now };
        await withLog(dir, options, async (log) => {
          const from = (account: string, id: string) => log.commit({ ...stored(id), account });
          await from('address:1', 'a');
          await from('address:1', 'b');
          await expectCode(from('address:1', 'c'), 'STORED_BYTES');
          await from('certificate:1', 'c');
          // By reference it costs less; the token counts that an answer has sealed anew.
          await from('certificate:1', 'c');
          await from('certificate:1', 'c');
          await expectCode(from('certificate:1', 'c'), 'STORED_BYTES');
          for (let own = 0; own < 10; own++) await from('internal:', `own-${own}`);
          await log.commit(input({ account: 'address:1' }));
          now += 3_600_000;
          await from('address:1', 'd');
        });
        const seqs = (await readLines(dir)).filter(({ event }) => event === 'openStored');
        expect(seqs).to.have.length(2 + 3 + 10 + 1);
      }));
  });
});
