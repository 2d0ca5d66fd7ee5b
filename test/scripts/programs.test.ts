/** What threads and child processes run is what their sources say. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';

describe('src/gen/programs.ts', () => {
  it('is up to date; if not: npm run generate', async () => {
    const { printPrograms } = (await import(pathToFileURL(resolve('scripts/make-programs.mjs')).href)) as {
      printPrograms(): string;
    };
    expect(readFileSync('src/gen/programs.ts', 'utf8')).to.equal(printPrograms());
  });
});
