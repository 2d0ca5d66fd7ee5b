/** The client in docs/key-sets.md runs as it stands there, and the page names real commands. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { environment, finish } from '../support/command.js';
import { startHarness } from '../support/harness.js';

describe('docs/key-sets.md', () => {
  it('shows a client that works with the root pinned, and refuses another root', async () => {
    const [, program = ''] = /```js\n([\s\S]*?)```/.exec(await readFile('docs/key-sets.md', 'utf8')) ?? [];
    expect(program).to.include('new KeyDirectory');
    const harness = await startHarness();
    // Inside the project, where `sealwire` is the package itself.
    const folder = await mkdtemp(join('dist', 'key-sets-'));
    try {
      const { address, root } = harness.service;
      const text = program.replaceAll("'./dist/", "'../").replaceAll('localhost:50051', address);
      await writeFile(join(folder, 'client.mjs'), text);
      const run = (pin: string) =>
        finish(process.execPath, ['client.mjs'], { cwd: folder, env: { ...environment, ROOT: pin } });
      expect(await run(root)).to.deep.equal({ code: 0, stdout: 'authorized\n', stderr: '' });
      const refused = await run('A'.repeat(43));
      expect(refused.code).to.equal(1);
      expect(refused.stderr).to.include('KEY_SET_ROOT_UNKNOWN');
    } finally {
      await rm(folder, { recursive: true });
      await harness.stop();
    }
  });
});
