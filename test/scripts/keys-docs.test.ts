/** The commands of docs/keys.md, in their order, in one folder, with a service that follows. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { expect } from 'chai';
import { loadPublicKeys } from '../../src/keys/public-keys.js';
import { KeyRing } from '../../src/keys/ring.js';
import { withDates } from '../../src/keys/ring-file.js';
import { RingStore } from '../../src/keys/ring-store.js';
import { environment, MAIN } from '../support/command.js';
import { validRequest } from '../support/harness.js';
import { readRecords } from '../support/payments-load.js';
import { startServiceProcess, stopServiceProcess } from '../support/service-process.js';
import { createSoftToken } from '../support/softhsm.js';
import { requireTool } from '../support/tools.js';

/** Has a folder of its own. */
const HSM_SECTION = /^## Keys in an HSM\n[\s\S]*?(?=^## )/m;

function blocksOf(page: string): string[] {
  return [...page.matchAll(/```sh\n([^`]+)```/g)].map(([, script = '']) => script);
}

describe('docs/keys.md', function () {
  this.timeout(120_000);
  let folder: string;
  let dir: string;

  before(async function () {
    requireTool(this, 'jq');
    requireTool(this, 'openssl');
    folder = await mkdtemp(join(tmpdir(), 'sealwire-keys-docs-'));
    dir = join(folder, 'var');
    const command = join(folder, 'sealwire');
    writeFileSync(command, `#!/bin/sh\nexec ${process.execPath} ${resolve(MAIN)} "$@"\n`);
    chmodSync(command, 0o755);
  });
  after(async () => {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  function shell(script: string, own: NodeJS.ProcessEnv = {}, cwd = folder): string {
    const env = { ...environment, PATH: `${folder}${delimiter}${process.env['PATH']}`, ...own };
    const { status, stdout, stderr } = spawnSync('bash', ['-euo', 'pipefail', '-c', script], {
      cwd,
      env,
      encoding: 'utf8',
    });
    const told = stderr.replaceAll(/^(?:writing|using|read|sealwire: note:) .*\n/gm, '');
    expect([status, told], script).to.deep.equal([0, '']);
    return stdout;
  }

  async function letPass(days: number): Promise<void> {
    const store = new RingStore({ path: join(dir, 'keys/ring.json'), publicPath: join(dir, 'keys/public.jwks.json') });
    await store.update((keys) =>
      keys.map((key) => {
        const earlier = Object.entries(key.dates).map(([name, date]) => [name, date - days * 86_400]);
        return withDates(key, Object.fromEntries(earlier));
      }),
    );
  }

  it('has commands that run, in its order, beside a service that follows', async () => {
    const page = readFileSync('docs/keys.md', 'utf8').replace(HSM_SECTION, '');
    const [before = '', after = '', ...more] = page.split('<!-- 9 days pass -->');
    expect([after.length > 0, more]).to.deep.equal([true, []]);
    const [init = '', ...rest] = blocksOf(before);
    expect(shell(init)).to.match(/^key [\w-]{43} \(P-521\) is active\n/);
    const service = await startServiceProcess({ dir, config: { logLevel: 'error' } });
    const practised = shell(rest.join('\n'));
    for (const said of [' stored ', 'is retired: refused', 'is removed']) expect(practised).to.contain(said);
    expect(existsSync(join(folder, 'practice'))).to.equal(false);
    await letPass(9);
    // Variables that one block sets are used in the next.
    const text = shell(blocksOf(after).join('\n'));
    for (const said of [
      'no copy of the ring has it',
      'Whoever copied the folder',
      'is retired: refused from now on',
      'is removed',
      'is encrypted',
      'is plain',
      'is stored',
    ]) {
      expect(text).to.contain(said);
    }
    expect(await loadPublicKeys(join(folder, 'public.jwks.json'))).to.have.length(1);
    const ring = await KeyRing.load(join(dir, 'keys/ring.json'));
    // The active key of compromise day and the one that waited, then those that were imported.
    const states = ring.describe().map(({ state }) => state);
    expect(states).to.deep.equal(['retired', 'retired', 'opening', 'active', 'stored']);
    expect(await stopServiceProcess(service)).to.equal(0);
    expect(service.running.stderr()).to.contain('KEY_FILE_ENCRYPTED');
    const events = readRecords(dir).map(({ event }) => event);
    expect(events).to.include('rotate');
    expect(events).to.include('retire');
  });

  it('has commands for a token that run, and after which the service serves with both kinds of keys', async function () {
    const token = await createSoftToken(this);
    try {
      const env = { SOFTHSM2_CONF: process.env['SOFTHSM2_CONF'], MODULE: token.modulePath };
      const [section = ''] = HSM_SECTION.exec(readFileSync('docs/keys.md', 'utf8')) ?? [];
      const text = shell(blocksOf(section).join('\n'), env, token.dir);
      const rows = text.split('\n').filter((line) => /\b(?:pkcs11|file)\b/.test(line) && !line.includes('pkcs11:'));
      expect(rows.map((row) => /\b(?:pkcs11|file)\b/.exec(row)?.[0])).to.deep.equal([
        'pkcs11',
        'pkcs11',
        'file',
        'pkcs11',
      ]);
      const config = { logLevel: 'warn', hsm: { pinFile: join(token.dir, 'pin') } } as const;
      const service = await startServiceProcess({ dir: join(token.dir, 'var'), env, config });
      await service.client.authorize(validRequest);
      expect(await stopServiceProcess(service)).to.equal(0);
      expect(service.running.stderr()).to.equal('');
    } finally {
      await token.remove();
    }
  });
});
