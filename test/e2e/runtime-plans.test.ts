import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { describeConformance } from '../support/conformance.js';
import { descriptorSet } from '../support/descriptor-set.js';
import { generatedSource, loadedSource, loaderSettings } from '../support/sources.js';

describeConformance('generated code', generatedSource);

for (const [name, options] of Object.entries(loaderSettings)) {
  describeConformance(`proto-loader with ${name}`, () => loadedSource(name, options));
}

const texts = () => loadedSource('texts', loaderSettings['names kept and texts']!);
const defaults = () => loadedSource('its defaults', loaderSettings['its defaults']!);
describeConformance('a generated client with a loaded server', generatedSource, texts);
describeConformance('a loaded client with a generated server', defaults, generatedSource);

describe('docs/run-time-plans.md', () => {
  it('shows a program that prints what the page says', async () => {
    const page = await readFile('docs/run-time-plans.md', 'utf8');
    const [, program = '', output = ''] = /```js\n(.+?)\n```\n\n```text\n(.+?)```/s.exec(page) ?? [];
    // Inside the project, where `sealwire` is the package itself.
    const folder = await mkdtemp(join('dist', 'run-time-plans-'));
    try {
      await writeFile(join(folder, 'payments.binpb'), descriptorSet());
      await writeFile(join(folder, 'example.mjs'), program.replace('payments.binpb', `${folder}/payments.binpb`));
      const { stdout } = await promisify(execFile)(process.execPath, [join(folder, 'example.mjs')]);
      expect(stdout).to.equal(output);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
