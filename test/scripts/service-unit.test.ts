/** deploy/sealwire.service: systemd takes it, and its times and exit codes are those of the service. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { loadConfig } from '../../src/host/config.js';
import { HOST_FLAGS } from '../../src/host/process/flags.js';

describe('deploy/sealwire.service', () => {
  const unit = readFileSync('deploy/sealwire.service', 'utf8');
  const setting = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1] ?? '';

  it('is a unit that systemd takes, where there is one', function () {
    const dir = mkdtempSync(join(tmpdir(), 'sealwire-unit-'));
    const path = join(dir, 'sealwire.service');
    // The command is not installed here.
    writeFileSync(path, unit.replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`));
    const { error, stdout, stderr } = spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8' });
    rmSync(dir, { recursive: true });
    if (error) this.skip();
    expect(`${stdout}${stderr}`).to.equal('');
  });

  it('has flags that the service takes, waits for it, and tries no wrong use again', () => {
    const flags = Object.values(HOST_FLAGS).map(([flag]) => flag.split(' ')[0]);
    const [, command, ...args] = setting('ExecStart').split(' ');
    expect(command).to.equal('serve');
    for (const arg of args.filter((each) => each.startsWith('--'))) expect(flags).to.include(arg);
    const { drainMs, audit } = loadConfig({ name: 'payments' }, { environment: {} });
    expect(Number(setting('TimeoutStopSec')) * 1_000).to.be.greaterThan(drainMs + audit.deadlineMs + 2_000);
    expect([setting('Restart'), setting('RestartPreventExitStatus')]).to.deep.equal(['always', '2']);
  });
});
