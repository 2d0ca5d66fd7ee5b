/** Every command of docs/debugging.md, run as it stands there against a service, with its printed output compared. */
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { finish, MAIN } from '../support/command.js';
import { type DebugService, startDebugService } from '../support/debug-service.js';
import { requirePython, requireTool, toolEnvironment } from '../support/tools.js';

interface Step {
  readonly script: string;
  readonly expected: string;
}

/** Blocks of ```sh, each with the ```text that follows it before the next one, if any. */
function readSteps(markdown: string): Step[] {
  const blocks = [...markdown.matchAll(/```(sh|text)\n([\s\S]*?)```/g)].map(([, kind, text = '']) => ({ kind, text }));
  return blocks.flatMap(({ kind, text }, index) => {
    const next = blocks[index + 1];
    return kind === 'sh' ? [{ script: text, expected: next?.kind === 'text' ? next.text : '' }] : [];
  });
}

/** What the test itself provides: a running service, and the tools. */
const SET_UP = 'npm start\ngo install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest\n';

describe('docs/debugging.md', function () {
  this.timeout(180_000);
  let service: DebugService;
  let dir: string;
  let markdown: string;
  before(async function () {
    for (const tool of ['grpcurl', 'jq', 'jose', 'openssl'] as const) requireTool(this, tool);
    requirePython(this, 'jwcrypto');
    markdown = await readFile('docs/debugging.md', 'utf8');
    service = await startDebugService();
    dir = await mkdtemp(join(tmpdir(), 'sealwire-docs-'));
    await symlink(service.dir, join(dir, 'var'));
    const python = /```python\n([\s\S]*?)```/.exec(markdown)?.[1] ?? '';
    await writeFile(join(dir, 'seal.py'), python);
    await writeFile(join(dir, 'sealwire'), `#!/bin/sh\nexec ${process.execPath} ${resolve(MAIN)} "$@"\n`, {
      mode: 0o755,
    });
  });
  after(async () => {
    await service?.stop();
    if (dir !== undefined) await rm(dir, { recursive: true });
  });

  it('shows commands that do what it says', async () => {
    const [first, ...steps] = readSteps(markdown);
    expect(first?.script).to.equal(SET_UP);
    expect(steps.length).to.be.greaterThan(7);
    const path = `${dir}:${resolve('node_modules/.bin')}:${toolEnvironment['PATH']}`;
    for (const { script, expected } of steps) {
      const text = script
        .replaceAll('127.0.0.1:50051', service.address)
        // The service is somewhere else, also for commands that rely on the default address.
        .replace(/(sealwire (?:request|call|seal) \S+)/g, `$1 --address ${service.address}`);
      const env = { ...toolEnvironment, PATH: path };
      const { stdout, stderr } = await finish('bash', ['-ec', text], { cwd: dir, env });
      const literal = expected.split('…').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
      expect(stdout.replace(/ +$/gm, ''), `${script}\n${stderr}`).to.match(new RegExp(`^${literal.join('[^"\\n]*')}$`));
    }
  });

  it('gets from nothing to a sealed call in five commands', () => {
    const opening = (markdown.split('## Sealed replies')[0] ?? '').match(/```sh\n[\s\S]*?```/g) ?? [];
    const commands = opening.join('\n').match(/^(?:npm|go|grpcurl|cat|sealwire) /gm) ?? [];
    expect(commands).to.have.length(5);
  });
});
