import { expect } from 'chai';
import Transport from 'winston-transport';
import { FanOut } from '../../../src/audit/write/fan-out.js';
import type { AuditReport } from '../../../src/audit/write/reports.js';
import { expectAuditFailed, inFolder, input, settle, until, withTestFile } from '../helpers.js';

class Failing extends Transport {
  override log(_info: unknown, next: () => void): void {
    this.emit('error', Object.assign(new Error(`x${'y'.repeat(1_000)}`), {}));
    next();
  }
}

class Warning extends Transport {
  override log(_info: unknown, next: () => void): void {
    this.emit('warn', Object.assign(new Error('away'), { code: 'ECONNREFUSED' }));
    next();
  }
}

class Hanging extends Transport {
  override log(): void {}
}

function collect(): { readonly reports: AuditReport[]; readonly report: (report: AuditReport) => void } {
  const reports: AuditReport[] = [];
  return { reports, report: (report) => reports.push(report) };
}

describe('reports', () => {
  it('tell once that the disk is full, and once that it has room', () =>
    inFolder((dir) => {
      const { reports, report } = collect();
      return withTestFile(dir, { report }, async (log, file) => {
        file.failAppend = Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
        for (let call = 0; call < 5; call++) await expectAuditFailed(log.commit(input()));
        file.failAppend = undefined;
        for (let call = 0; call < 5; call++) await log.commit(input());
        expect(reports.map(({ level, message }) => `${level} ${message}`)).to.deep.equal([
          'error the disk of the audit log is full: sealed calls are refused',
          'info the disk of the audit log has room again',
        ]);
      });
    }));

  it('tell once that the log has failed', () =>
    inFolder((dir) => {
      const { reports, report } = collect();
      return withTestFile(dir, { report }, async (log, file) => {
        file.failSync = new Error('EIO');
        for (let call = 0; call < 5; call++) await expectAuditFailed(log.commit(input()));
        expect(reports.map(({ message }) => message)).to.deep.equal([
          'the audit log cannot be written: sealed calls are refused until a restart',
        ]);
      });
    }));

  it('tell of a failing transport at once, then now and then, with its numbers', async () => {
    const { reports, report } = collect();
    const fanOut = new FanOut({ transports: [new Failing(), new Warning()], report, reportMs: 30 });
    for (let line = 0; line < 100; line++) fanOut.push(String(line));
    await settle();
    expect(reports).to.have.length(2);
    await until(() => reports.length === 4);
    const [failing, warning] = ['Failing', 'Warning'].map((name) =>
      reports.filter(({ facts }) => facts['transport'] === name),
    );
    expect(failing?.[0]).to.deep.include({ level: 'warn', message: 'an audit transport failed' });
    expect(failing?.[0]?.facts['failed']).to.equal(1);
    expect(String(failing?.[0]?.facts['why'])).to.have.length(200);
    expect(failing?.[1]?.facts['failed']).to.equal(100);
    expect(warning?.[1]?.facts).to.deep.equal({ transport: 'Warning', dropped: 0, failed: 100, why: 'ECONNREFUSED' });
    await fanOut.close();
  });

  it('tell of a transport that is too slow', async () => {
    const { reports, report } = collect();
    const fanOut = new FanOut({ transports: [new Hanging()], queueRecords: 10, report, closeMs: 1 });
    for (let line = 0; line < 100; line++) fanOut.push(String(line));
    await settle();
    expect(reports).to.have.length(1);
    expect(reports[0]?.message).to.equal('an audit transport is too slow: records for it were dropped');
    expect(reports[0]?.facts).to.include({ transport: 'Hanging', failed: 0, dropped: 1 });
    await fanOut.close();
  });
});
