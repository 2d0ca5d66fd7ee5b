/** Every command in docs/audit.md runs here, on the log that comes with the package, and prints what the guide says. */
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { environment, finish, MAIN } from '../support/command.js';
import { requireTool } from '../support/tools.js';

interface Step {
  readonly command: string;
  readonly output: string;
}

/** Commands begin with `$ `; what follows is printed. */
function readSteps(text: string): Step[] {
  const steps: { command: string; output: string }[] = [];
  for (const [, block = ''] of text.matchAll(/^```console\n(.*?)^```$/gms)) {
    for (const line of block.split('\n').slice(0, -1)) {
      const last = steps.at(-1);
      if (line.startsWith('$ ')) steps.push({ command: line.slice(2), output: '' });
      else if (last?.command.endsWith('\\')) last.command += `\n${line}`;
      else if (last !== undefined) last.output += `${line}\n`;
    }
  }
  return steps;
}

describe('the guide for reviewers', () => {
  let root = '';
  before(async function () {
    requireTool(this, 'jq');
    root = await mkdtemp(join(tmpdir(), 'sealwire-guide-'));
    await mkdir(join(root, 'node_modules'));
    await symlink(resolve('.'), join(root, 'node_modules/sealwire'));
    const wrapper = `#!/bin/sh\nexec '${process.execPath}' '${resolve(MAIN)}' "$@"\n`;
    await writeFile(join(root, 'sealwire'), wrapper, { mode: 0o755 });
  });
  after(async () => {
    if (root !== '') await rm(root, { recursive: true, force: true });
  });

  it('answers ten questions by commands that print what it says', async function () {
    this.timeout(120_000);
    const text = await readFile('docs/audit.md', 'utf8');
    expect(text.match(/^### \d+\. .*\?$/gm)).to.have.length(10);
    const kinds = (await readFile('src/audit/read/findings.ts', 'utf8')).matchAll(/^ {2}\| '([\w-]+)'/gm);
    for (const [, kind] of kinds) expect(text).to.include(`\`${kind}\``);
    const [, copy = ''] = /^```sh\n(.*?)^```$/ms.exec(text) ?? [];
    const run = async (script: string, cwd: string) => {
      const env = { ...environment, PATH: `${root}:${process.env['PATH']}` };
      return (await finish('bash', ['-c', `exec 2>&1\n${script}`], { cwd, env })).stdout;
    };
    expect(await run(copy, root)).to.equal('');
    const steps = readSteps(text);
    expect(steps.length).to.be.greaterThan(14);
    for (const { command, output } of steps) {
      expect(await run(command, join(root, 'review')), command).to.equal(output);
    }
  });
});
