/** docs/browsers.md shows code that compiles, and figures that are kept. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { createPaymentsApp } from '../../src/payments/app.js';

const page = readFileSync('docs/browsers.md', 'utf8');

describe('docs/browsers.md', () => {
  it('shows code that compiles', function () {
    this.timeout(60_000);
    mkdirSync('.cache', { recursive: true });
    // Inside the project, where `sealwire` is the package itself.
    const folder = mkdtempSync(resolve('.cache/browsers-docs-'));
    const code = /```ts\n(.*?)^```$/ms.exec(page)?.[1] ?? '';
    writeFileSync(join(folder, 'page.ts'), code.replaceAll("'./gen/", "'../../dist/src/gen/"));
    const compilerOptions = { module: 'nodenext', target: 'es2022', lib: ['es2023', 'dom'], types: [], noEmit: true };
    const tsconfig = { compilerOptions: { ...compilerOptions, strict: true, skipLibCheck: true }, include: ['*.ts'] };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(tsconfig));
    const compiler = resolve('node_modules/typescript-7/bin/tsc');
    const { status, stdout } = spawnSync(process.execPath, [compiler, '-p', folder], { encoding: 'utf8' });
    rmSync(folder, { recursive: true });
    expect(status, stdout).to.equal(0);
  });

  it('tells how much the script of the checkout page has at most', () => {
    const size = gzipSync(readFileSync('dist/pages/checkout/checkout.js'), { level: 9 }).length;
    const [, most = ''] = /has less than (\d+) kB gzipped/.exec(page) ?? [];
    expect(size).to.be.within(30_000, Number(most) * 1_000);
    expect(Number(most)).to.equal(60);
  });

  it('tells where the example is', () => {
    const { web } = createPaymentsApp();
    expect(web).to.deep.equal({ pages: resolve('dist/pages/checkout'), listen: '127.0.0.1:8080', insight: true });
    for (const text of [page, readFileSync('README.md', 'utf8')]) expect(text).to.include(`http://${web?.listen}/`);
  });
});
