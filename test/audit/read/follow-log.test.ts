import { mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { followLogs } from '../../../src/audit/read/follow-log.js';
import { compileFilter } from '../../../src/audit/read/log-filter.js';
import { AuditLog } from '../../../src/audit/write/audit-log.js';
import { buildLog, createTestSigner, writeLog } from '../../support/log-builder.js';
import { input, reject, segments, until } from '../helpers.js';

const DAY = Date.UTC(2026, 0, 1);
/** Between two records of each log. */
const STEP_MS = [700, 3_000, 410];

describe('followLogs', () => {
  let root: string;
  let failed: string[];
  before(() => {
    root = mkdtempSync(join(tmpdir(), 'sealwire-follow-'));
  });
  beforeEach(() => {
    failed = [];
  });
  after(() => rmSync(root, { recursive: true, force: true }));

  const onFailed = ({ dir }: { readonly dir: string }, { message }: Error) => failed.push(`${dir}: ${message}`);

  /** Records as `LOG SEQ`. */
  async function last(dirs: readonly string[], count: number, event?: string): Promise<string[]> {
    const found: string[] = [];
    const filter = compileFilter(event === undefined ? {} : { event: [event] });
    const logs = dirs.map((dir) => ({ dir }));
    for await (const { log, found: each } of followLogs(logs, filter, { last: count, onFailed })) {
      found.push(`${logs.indexOf(log)} ${each.seq}`);
    }
    return found;
  }

  it('begins with the last matching records of all logs, however they are spread', async () => {
    // Three logs in segments of 7; every third record is a refusal; times interleave unevenly.
    const sizes = [20, 3, 31];
    const time = (log: number) => (seq: number) => DAY + seq * (STEP_MS[log] as number) + log;
    const isReject = (seq: number) => seq % 3 === 0;
    const dirs = sizes.map((records, log) => {
      const dir = join(root, `spread-${log}`);
      const made = (seq: number) => (isReject(seq) ? reject() : input());
      const signer = createTestSigner(`shop/${log}`);
      writeLog(dir, buildLog({ records, segmentRecords: 7, input: made, signer, time: time(log) }));
      return dir;
    });
    const all = sizes
      .flatMap((records, log) => Array.from({ length: records }, (_, seq) => ({ log, seq, at: time(log)(seq) })))
      .sort((a, b) => a.at - b.at);
    for (const event of [undefined, 'reject', 'open'] as const) {
      const matching = all.filter(({ seq }) => event === undefined || isReject(seq) === (event === 'reject'));
      const names = matching.map(({ log, seq }) => `${log} ${seq}`);
      for (const count of [0, 1, 2, 5, 17, matching.length, 100]) {
        expect(await last(dirs, count, event), `${event} ${count}`).to.deep.equal(
          count === 0 ? [] : names.slice(-count),
        );
      }
    }
    expect(failed).to.deep.equal([]);
  });

  it('goes on with new records of each log, without one that is cut off', async () => {
    const open = (name: string, segmentBytes: number) =>
      AuditLog.open({ dir: join(root, name), origin: `shop/${name}`, segmentBytes });
    // The second one begins new segments meanwhile.
    const logs = [await open('a', 65_536), await open('b', 4_096)];
    const stop = new AbortController();
    const dirs = ['a', 'b', 'nowhere'].map((name) => ({ dir: join(root, name) }));
    const following = followLogs(dirs, compileFilter({ event: ['open'] }), { last: 99, signal: stop.signal, onFailed });
    const next = async () => {
      const { value } = await following.next();
      return `${dirs.indexOf(value.log)} ${value.found.record?.requestId}`;
    };
    const seen: string[] = [];
    const first = next();
    for (let index = 0; index < 12; index++) {
      await logs[index % 2]?.commit(input({ requestId: `r-${index}` }));
      seen.push(await (index === 0 ? first : next()));
    }
    expect(seen).to.deep.equal(Array.from({ length: 12 }, (_, index) => `${index % 2} r-${index}`));
    expect(failed).to.deep.equal([`${dirs[2]?.dir}: ${dirs[2]?.dir}: ENOENT`]);
    await logs[0]?.close();
    await logs[1]?.commit(input({ requestId: 'before' }));
    expect(await next()).to.equal('1 before');
    truncateSync(join(root, 'a', (await segments(join(root, 'a'))).at(-1) as string), 1);
    await logs[1]?.commit(input({ requestId: 'after' }));
    expect(await next()).to.equal('1 after');
    const end = following.next();
    await until(() => failed.length === 2);
    expect(failed[1]).to.contain('the log became shorter');
    stop.abort();
    expect((await end).done).to.equal(true);
    await logs[1]?.close();
  });
});
