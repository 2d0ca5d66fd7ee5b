/** The commands of docs/operations.md, in their order, in one folder, beside a service that takes calls meanwhile. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { finish, MAIN } from '../support/command.js';
import { PaymentsLoad } from '../support/payments-load.js';
import {
  type ServiceProcess,
  startServiceProcess,
  stopServiceProcess,
  verifyServiceLog,
} from '../support/service-process.js';
import { requireTool, toolEnvironment } from '../support/tools.js';

describe('docs/operations.md', function () {
  this.timeout(120_000);
  let folder: string;
  const services: ServiceProcess[] = [];
  before(async function () {
    requireTool(this, 'grpcurl');
    folder = await mkdtemp(join(tmpdir(), 'sealwire-operations-'));
    await mkdir(join(folder, 'var'), { mode: 0o700 });
    const wrapper = `#!/bin/sh\nexec '${process.execPath}' '${resolve(MAIN)}' "$@"\n`;
    await writeFile(join(folder, 'sealwire'), wrapper, { mode: 0o755 });
  });
  after(async () => {
    for (const { running } of services) running.child.kill('SIGKILL');
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  async function shell(script: string): Promise<string> {
    const env = { ...toolEnvironment, PATH: `${folder}:${toolEnvironment['PATH']}` };
    const { code, stdout, stderr } = await finish('bash', ['-euo', 'pipefail', '-c', script], { cwd: folder, env });
    expect(code, `${script}\n${stdout}${stderr}`).to.equal(0);
    return stdout;
  }

  async function start(name: string): Promise<ServiceProcess> {
    // Segments and checkpoints are short-lived, so that some end while the log is copied.
    const config = { audit: { segmentBytes: 20_000, checkpointMs: 20 }, logLevel: 'warn' } as const;
    const service = await startServiceProcess({ dir: join(folder, name), config });
    services.push(service);
    return service;
  }

  it('has commands that run; a copy made under load verifies and serves, and two instances follow one ring', async () => {
    const page = await readFile('docs/operations.md', 'utf8');
    const blocks = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, script = '']) => script);
    const service = await start('var');
    const load = new PaymentsLoad(service.client, 'order');
    load.start(4);
    await load.until(({ acknowledged }) => acknowledged.length >= 100);
    const said: string[] = [];
    for (const block of blocks) said.push(await shell(block.replaceAll('127.0.0.1:50051', service.address)));
    await load.stop();
    expect(said).to.have.length(5);
    expect(said[0]).to.contain('"status": "SERVING"');
    for (const verified of [1, 2, 3]) expect(said[verified]).to.match(/^verified$/m);

    // The copy is tried beside the original.
    const restored = await start('backup');
    const second = await start('second');
    const again = new PaymentsLoad(restored.client, 'again');
    again.start(1);
    await again.until(({ acknowledged, failures }) => acknowledged.length + failures.length >= 3);
    await again.stop();
    expect([...load.failures, ...again.failures]).to.deep.equal([]);

    const root = (await shell('sealwire keys root show')).trim();
    const [, kid = ''] = /^key (\S+) /.exec(await shell('sealwire keys rotate --now')) ?? [];
    expect(kid).not.to.equal('');
    for (const [{ address }, dir] of [
      [service, 'var'],
      [second, 'second'],
    ] as const) {
      await shell(`until grep -q '"${kid}"' ${dir}/keys/public.jwks.json; do sleep 0.2; done`);
      await shell(`sealwire keys verify --address ${address} --root ${root}`);
    }
    for (const stopped of services) expect(await stopServiceProcess(stopped)).to.equal(0);
    for (const name of ['var', 'backup', 'second'])
      expect(verifyServiceLog(join(folder, name)).findings, name).to.deep.equal([]);
  });
});
