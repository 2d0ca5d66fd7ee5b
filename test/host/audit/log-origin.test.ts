import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { expect } from 'chai';
import { AuditLog } from '../../../src/audit/write/audit-log.js';
import { servicePaths } from '../../../src/files/service-paths.js';
import { chooseOrigin } from '../../../src/host/audit/log-origin.js';
import { openAuditLog } from '../../../src/host/audit/open-audit-log.js';
import { loadConfig } from '../../../src/host/config.js';
import { createApplicationLogger } from '../../../src/host/log/logger.js';
import { expectCode } from '../../audit/helpers.js';

describe('the origin of a service’s log', () => {
  let dir: string;
  let said: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sealwire-origin-'));
    said = '';
  });
  afterEach(() => rm(dir, { recursive: true }));

  /** Starts and stops as the service `payments`. @returns the origin, which the key and all records have */
  async function run(instance?: string, name = 'payments'): Promise<string> {
    const stream = new Writable({
      write(chunk, _encoding, done) {
        said += String(chunk);
        done();
      },
    });
    const log = await openAuditLog({
      config: loadConfig({ name }, { config: { instance }, environment: {} }),
      dir,
      logger: createApplicationLogger('warn', stream),
      onWritable: () => {},
    });
    await log.close();
    const { audit } = servicePaths(dir);
    const lines = (await readFile(join(audit, `${'0'.repeat(20)}.jsonl`), 'utf8')).trimEnd().split('\n');
    for (const line of lines) expect(JSON.parse(line)).to.include({ origin: log.origin });
    expect((await readFile(join(audit, 'log.vkey'), 'utf8')).split('+')[0]).to.equal(log.origin);
    return log.origin;
  }

  it('is the service’s name and the host’s, if no instance is configured', async () => {
    expect(await run()).to.equal(`payments/${hostname()}`);
    expect(said).to.equal('');
  });

  it('has the configured instance, and keeps it without the option, whatever the host is called', async () => {
    expect(await run('eu-1')).to.equal('payments/eu-1');
    expect(await run('eu-1')).to.equal('payments/eu-1');
    expect(await run()).to.equal('payments/eu-1');
  });

  it('stays when the host is renamed', () => {
    const origin = chooseOrigin('payments', undefined, 'pod-7f')();
    expect(chooseOrigin('payments', undefined, 'pod-9a')(origin)).to.equal('payments/pod-7f');
  });

  it('cannot change: neither the instance nor the name', async () => {
    await run('a');
    const other = await expectCode(run('b'), 'AUDIT_FILE_INVALID');
    expect(other.message).to.contain('signs the log of payments/a, not of payments/b: a log keeps its origin');
    const renamed = await expectCode(run('a', 'pay'), 'AUDIT_FILE_INVALID');
    expect(renamed.message).to.contain('signs the log of payments/a, not of pay/a');
  });

  it('has no instance in a log that was made before; with one configured, the service warns', async () => {
    const { audit, log: keyFile } = servicePaths(dir);
    await (await AuditLog.open({ dir: audit, keyFile, origin: 'payments' })).close();
    expect(await run()).to.equal('payments');
    expect(said).to.equal('');
    expect(await run('a')).to.equal('payments');
    expect(said).to.contain('the audit log began without an instance and keeps its origin');
  });

  it('is refused with what to do when the host’s name cannot be an instance', () => {
    for (const host of ['', '(none)', 'Zoë', 'a/b', 'a+b', 'a b', 'a\n']) {
      const choose = chooseOrigin('payments', undefined, host);
      expect(choose, host)
        .to.throw(/^instance: must have .* set one$/)
        .with.property('code', 'OPTIONS_INVALID');
      expect(choose('payments/kept')).to.equal('payments/kept');
    }
  });
});
