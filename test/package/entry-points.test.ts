/** Each entry point exports what its signatures name, and the documents use what there is. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { type EntryPoint, listEntryPoints, readEntryPoints } from '../support/entry-points.js';

/** `import { a, type B as C } from 'sealwire/audit'`, on one line or several. */
const IMPORT = /import\s+(?:type\s+)?\{([^}]*)\}\s+from\s+['"](sealwire(?:\/[^'"]*)?)['"]/g;

/** Names that code in a Markdown page imports from the package, each with its entry point. */
function importsOf(page: string): [entry: string, name: string][] {
  return [...page.matchAll(/^```(?:js|ts)\n(.*?)^```$/gms)].flatMap(([, code = '']) =>
    [...code.matchAll(IMPORT)].flatMap(([, names = '', entry = '']) =>
      names
        .split(',')
        .map((name) =>
          name
            .trim()
            .replace(/^type /, '')
            .replace(/ as .*/, ''),
        )
        .filter((name) => name !== '')
        .map((name): [string, string] => [entry, name]),
    ),
  );
}

function listPages(): string[] {
  const docs = readdirSync('docs', { recursive: true, encoding: 'utf8' });
  return ['README.md', 'SECURITY.md', ...docs.filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)];
}

describe('the entry points', function () {
  this.timeout(60_000);
  let entries: EntryPoint[];
  before(() => {
    entries = readEntryPoints(listEntryPoints(), 'dist/src');
  });

  it('are those of the design', () => {
    expect(entries.map(({ name }) => name)).to.include.members([
      'sealwire',
      'sealwire/audit',
      'sealwire/host',
      'sealwire/pkcs11',
      'sealwire/runtime',
      'sealwire/web',
    ]);
  });

  it('export every type that a public signature names', () => {
    for (const { name, hidden } of entries) expect(hidden, name).to.deep.equal([]);
  });

  it('are imported by code, and export at run time what their types say', async () => {
    for (const { name, types, exports } of entries) {
      const module = (await import(pathToFileURL(types.replace(/\.d\.ts$/, '.js')).href)) as object;
      expect(Object.keys(module), name).not.to.be.empty;
      expect([...exports], name).to.include.members(Object.keys(module));
    }
  });

  it('have every name that the documents import', () => {
    let found = 0;
    for (const page of listPages()) {
      for (const [entry, name] of importsOf(readFileSync(page, 'utf8'))) {
        const exports = entries.find((each) => each.name === entry)?.exports ?? new Set();
        expect([...exports], `${page}: ${name} of ${entry}`).to.include(name);
        found++;
      }
    }
    expect(found).to.be.at.least(10);
  });
});

describe('the check of entry points', () => {
  let folder: string;
  before(() => {
    mkdirSync('.cache', { recursive: true });
    folder = mkdtempSync(resolve('.cache/entries-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  const hidden: readonly [what: string, code: string, names: readonly string[]][] = [
    ['a parameter', 'export declare function f(a: Hidden): void;', ['f: Hidden']],
    ['a base', 'export interface F extends Hidden {}', ['F: Hidden']],
    ['a type argument', 'export declare const f: readonly Map<string, Hidden>[];', ['f: Hidden']],
    ['an inline import', "export type F = import('./hidden.js').Hidden;", ['F: Hidden']],
    ['a type of a value', 'export type F = typeof hidden;', ['F: hidden']],
    ['nothing that is exported too', "export { Hidden } from './hidden.js';\nexport type F = Hidden;", []],
    ['nothing private', 'export declare class F { private constructor(a: Hidden); }', []],
    ['nothing of others', 'export declare function f(a: Buffer): Promise<void>;', []],
  ];
  for (const [what, code, names] of hidden) {
    it(`finds ${what}`, () => {
      writeFileSync(join(folder, 'hidden.d.ts'), 'export interface Hidden {}\nexport declare const hidden: number;\n');
      const entry = join(folder, 'entry.d.ts');
      writeFileSync(entry, `import { Hidden, hidden } from './hidden.js';\n${code}\n`);
      const [found] = readEntryPoints(new Map([['entry', entry]]), folder);
      expect(found?.hidden).to.deep.equal(names);
    });
  }
});
