/**
 * Writes docs/api: one page for each entry point, from the docstrings. `--check` writes nothing and fails when a page
 * is stale. An entry's file names itself: `@module sealwire/audit` goes to audit.md.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Application } from 'typedoc';
import { root } from './setup.mjs';

const PAGES = 'docs/api';
const NOTE = '<!-- Made from the docstrings by `npm run docs`. -->\n\n';

process.chdir(root);
const pages = await renderPages();
const present = new Set(readdirSync('docs').includes('api') ? readdirSync(PAGES) : []);
const stale = [...pages].filter(
  ([name, text]) => !present.has(name) || readFileSync(join(PAGES, name), 'utf8') !== text,
);
const left = [...present].filter((name) => !pages.has(name));
if (process.argv.includes('--check')) {
  for (const name of [...stale.map(([each]) => each), ...left])
    console.error(`${PAGES}/${name} is not up to date: run npm run docs`);
  if (stale.length + left.length > 0) process.exit(1);
} else {
  mkdirSync(PAGES, { recursive: true });
  for (const [name, text] of stale) writeFileSync(join(PAGES, name), text);
  for (const name of left) rmSync(join(PAGES, name));
}

/** @returns texts by file name */
async function renderPages() {
  const { exports } = JSON.parse(readFileSync('package.json', 'utf8'));
  const types = Object.values(exports).flatMap((target) => target.types ?? []);
  const out = mkdtempSync(join(tmpdir(), 'sealwire-api-'));
  try {
    const app = await Application.bootstrapWithPlugins({
      plugin: ['typedoc-plugin-markdown'],
      entryPoints: types.map((path) => path.replace('./dist/', './').replace('.d.ts', '.ts')),
      tsconfig: 'tsconfig.json',
      // tsc has checked the sources, in another version.
      skipErrorChecking: true,
      excludeInternal: true,
      excludePrivate: true,
      excludeExternals: true,
      disableSources: true,
      readme: 'none',
      logLevel: 'Warn',
      validation: { notExported: false, invalidLink: false, notDocumented: false },
      outputFileStrategy: 'modules',
      flattenOutputFiles: true,
      hidePageHeader: true,
      hideBreadcrumbs: true,
      parametersFormat: 'table',
      interfacePropertiesFormat: 'table',
      typeDeclarationFormat: 'table',
      classPropertiesFormat: 'table',
      useCodeBlocks: true,
      expandObjects: true,
    });
    const project = await app.convert();
    if (project === undefined) throw new Error('the sources could not be read');
    await app.outputs.writeOutput({ name: 'markdown', path: out }, project);
    const files = readdirSync(out).filter((name) => name !== 'README.md');
    return new Map(files.map((name) => [rename(name), tidy(readFileSync(join(out, name), 'utf8'))]));
  } finally {
    rmSync(out, { recursive: true });
  }
}

function rename(file) {
  return file.replace(/^sealwire[.-](?!md$)/, '');
}

function tidy(text) {
  return NOTE + text.replaceAll(/\]\(sealwire[.-](?!md)([a-z0-9.-]+\.md)/g, ']($1');
}
