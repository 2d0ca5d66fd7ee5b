/**
 * deploy/alerts.yml: Prometheus takes the rules, each of them fires, and docs/operations.md says of each what to do.
 */
import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { finish } from '../support/command.js';
import { requireTool, toolEnvironment } from '../support/tools.js';

const CASES = 'test/scripts/alerts.promtest.yml';

async function readAlerts(): Promise<string[]> {
  const rules = await readFile('deploy/alerts.yml', 'utf8');
  return [...rules.matchAll(/^ +- alert: (\w+)$/gm)].map(([, name = '']) => name);
}

describe('deploy/alerts.yml', () => {
  it('has rules that Prometheus takes, each of which fires when it should and not before', async function () {
    requireTool(this, 'promtool');
    for (const [command, file] of [
      ['check', 'deploy/alerts.yml'],
      ['test', CASES],
    ] as const) {
      const { code, stdout, stderr } = await finish('promtool', [command, 'rules', file], { env: toolEnvironment });
      expect(code, `${stdout}${stderr}`).to.equal(0);
    }
    const cases = await readFile(CASES, 'utf8');
    for (const alert of await readAlerts()) expect(cases).to.match(new RegExp(`"${alert}",alertstate="firing"`));
  });

  it('has the alerts of docs/operations.md, in this order, and no other', async () => {
    const page = await readFile('docs/operations.md', 'utf8');
    const listed = [...page.matchAll(/^\| `(Sealwire\w+)` \| \S.+ \| \S.+ \|$/gm)].map(([, name]) => name);
    expect(listed).to.deep.equal(await readAlerts());
  });
});
