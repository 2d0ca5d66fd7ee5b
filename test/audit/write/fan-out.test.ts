import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import Transport from 'winston-transport';
import { AuditLog } from '../../../src/audit/write/audit-log.js';
import { FanOut } from '../../../src/audit/write/fan-out.js';
import type { AuditReport } from '../../../src/audit/write/reports.js';
import {
  expectAuditFailed,
  inFolder,
  input,
  makeGate,
  readText,
  reject,
  segments,
  settle,
  until,
  withLog,
  withTestFile,
} from '../helpers.js';

const MESSAGE = Symbol.for('message');

class Collecting extends Transport {
  readonly lines: string[] = [];

  override log(info: Record<symbol, string>, next: () => void): void {
    this.lines.push(info[MESSAGE] as string);
    next();
  }
}

class Hanging extends Transport {
  received = 0;
  readonly #waiting: (() => void)[] = [];
  #released = false;

  override log(_info: unknown, next: () => void): void {
    this.received++;
    if (this.#released) next();
    else this.#waiting.push(next);
  }

  release(): void {
    this.#released = true;
    for (const next of this.#waiting.splice(0)) next();
  }
}

class Failing extends Transport {
  override log(_info: unknown, next: () => void): void {
    this.emit('error', new Error('the collector is away'));
    next();
  }
}

describe('FanOut', () => {
  it('gives every transport each committed line exactly as it is in the file', () =>
    inFolder(async (dir) => {
      const [first, second] = [new Collecting(), new Collecting()];
      await withLog(dir, { transports: [first, second] }, async (log) => {
        await log.commit(input());
        log.note(reject());
        await settle();
      });
      const text = await readText(dir);
      for (const { lines } of [first, second]) expect(`${lines.join('\n')}\n`).to.equal(text);
    }));

  it('gives nothing of a record that is not durable', () =>
    inFolder((dir) => {
      const transport = new Collecting();
      return withTestFile(dir, { transports: [transport] }, async (log, file) => {
        await settle();
        const { gate, open } = makeGate();
        file.gate = gate;
        file.failSync = new Error('EIO');
        const commit = expectAuditFailed(log.commit(input()));
        await settle();
        open();
        await commit;
        await settle();
        expect(transport.lines).to.have.length(1);
        expect(transport.lines[0]).to.contain('"event":"start"');
      });
    }));

  it('lets a hung transport hold up neither commits nor the others; what it misses is counted', () =>
    inFolder((dir) => {
      const [hanging, working] = [new Hanging(), new Collecting()];
      return withLog(dir, { transports: [hanging, working] }, async (log) => {
        for (let round = 0; round < 40; round++) {
          await Promise.all(Array.from({ length: 50 }, () => log.commit(input())));
        }
        await settle();
        expect(log.stats().records).to.equal(2_001);
        expect(working.lines).to.have.length(2_001);
        expect(hanging.received).to.equal(1);
        expect(log.stats().fanOutDropped).to.be.greaterThan(900);
        expect(log.stats().fanOutDropped).to.be.at.most(2_001 - 1_024);
        hanging.release();
      });
    }));

  it('goes on in order once a slow transport is back, with the oldest lines first', async () => {
    const hanging = new Hanging();
    const fanOut = new FanOut({ transports: [hanging], queueRecords: 5 });
    for (let line = 0; line < 200; line++) fanOut.push(String(line));
    await settle();
    const { dropped } = fanOut.stats();
    expect(dropped).to.be.greaterThan(100);
    hanging.release();
    await settle();
    expect(hanging.received).to.equal(200 - dropped);
    fanOut.push('more');
    await settle();
    expect(hanging.received).to.equal(201 - dropped);
    await fanOut.close();
  });

  it('tells that a transport has failed, and that it takes records again, with what was lost', async () => {
    const hanging = new Hanging();
    const told: unknown[] = [];
    const report = ({ message, facts }: AuditReport) => told.push([message, facts['why'], facts['dropped']]);
    const fanOut = new FanOut({ transports: [hanging], queueRecords: 5, report, reportMs: 0, closeMs: 1 });
    hanging.emit('warn', Object.assign(new Error('no room'), { code: 'ENOSPC' }));
    for (let line = 0; line < 200; line++) fanOut.push(String(line));
    const { dropped } = fanOut.stats();
    hanging.emit('recovered');
    while (told.length < 2) await settle();
    expect([told[0], told.at(-1)]).to.deep.equal([
      ['an audit transport failed', 'ENOSPC', 0],
      ['an audit transport takes records again', undefined, dropped],
    ]);
    expect(fanOut.stats().failed).to.equal(1);
    await fanOut.close();
  });

  it('counts the errors that a transport reports, and commits go on', () =>
    inFolder((dir) =>
      withLog(dir, { transports: [new Failing()] }, async (log) => {
        await log.commit(input());
        await settle();
        await log.commit(input());
        await settle();
        expect(log.stats().fanOutFailed).to.be.greaterThan(0);
        expect(log.stats().records).to.equal(3);
      }),
    ));

  it('is waited for when the log closes', () =>
    inFolder(async (dir) => {
      const hanging = new Hanging();
      const log = await AuditLog.open({ dir, origin: 'test', transports: [hanging] });
      let isClosed = false;
      const closed = log.close().then(() => {
        isClosed = true;
      });
      await until(async () => (await segments(dir)).length > 0 && !existsSync(join(dir, 'lock')));
      await settle();
      expect(isClosed).to.equal(false);
      hanging.release();
      await closed;
      expect(log.stats().fanOutDropped).to.equal(0);
    }));

  it('waits at its end until all that was given is taken', async () => {
    const [hanging, working] = [new Hanging(), new Collecting()];
    const fanOut = new FanOut({ transports: [hanging, working] });
    for (let line = 0; line < 500; line++) fanOut.push(String(line));
    await settle();
    expect(hanging.received).to.equal(1);
    let isClosed = false;
    const closed = fanOut.close().then(() => {
      isClosed = true;
    });
    await settle();
    expect(isClosed).to.equal(false);
    hanging.release();
    await closed;
    expect([hanging.received, working.lines.length]).to.deep.equal([500, 500]);
    expect(fanOut.stats()).to.deep.equal({ dropped: 0, failed: 0 });
  });

  it('does not wait for ever, and tells what was lost', async () => {
    const hanging = new Hanging();
    const told: unknown[] = [];
    const report = ({ message, facts }: AuditReport) => told.push([message, facts['dropped']]);
    const fanOut = new FanOut({ transports: [hanging], report, closeMs: 10 });
    for (let line = 0; line < 100; line++) fanOut.push(String(line));
    hanging.emit('warn', new Error('no room'));
    await fanOut.close();
    expect(told).to.deep.equal([
      ['an audit transport failed', 0],
      ['an audit transport did not take the last records in time', 100],
    ]);
    expect(fanOut.stats()).to.deep.equal({ dropped: 100, failed: 1 });
  });
});
