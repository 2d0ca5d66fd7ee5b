// Writes docs/api: one page for each entry point, from the docstrings. `--check` writes nothing and fails when a page is stale.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Application } from 'typedoc';
import { root } from './setup.mjs';

process.chdir(root);
const { exports } = JSON.parse(readFileSync('package.json', 'utf8'));
const entries = Object.entries(exports).flatMap(([path, { types } = {}]) =>
  types === undefined ? [] : [[`sealwire${path.slice(1)}`, types.replace('./dist/', './').replace('.d.ts', '.ts')]],
);
/** `sealwire/audit` is on the page audit.md, `sealwire` on sealwire.md. */
const pageOf = (name) => `${name.replace('sealwire/', '')}.md`;

const folder = mkdtempSync(join(tmpdir(), 'sealwire-api-'));
let stale = false;
try {
  for (const [name, source] of entries) {
    const text = await render(name, source);
    const path = join('docs/api', pageOf(name));
    const found = readdirSync('docs').includes('api') ? readIfThere(path) : undefined;
    if (found === text) continue;
    if (process.argv.includes('--check')) {
      console.error(`${path} is not up to date: run npm run docs`);
      stale = true;
    } else {
      writeFileSync(path, text);
    }
  }
} finally {
  rmSync(folder, { recursive: true });
}
if (stale) process.exit(1);

async function render(name, source) {
  const out = join(folder, name.replace('/', '-'));
  const app = await Application.bootstrapWithPlugins({
    plugin: ['typedoc-plugin-markdown'],
    name,
    entryPoints: [source],
    tsconfig: 'tsconfig.json',
    // The compiler proper has checked the sources; this is another version of it.
    skipErrorChecking: true,
    excludeInternal: true,
    excludePrivate: true,
    excludeExternals: true,
    disableSources: true,
    readme: 'none',
    logLevel: 'Warn',
    validation: { notExported: false, invalidLink: false, notDocumented: false },
    out,
    outputFileStrategy: 'modules',
    hidePageHeader: true,
    hideBreadcrumbs: true,
    parametersFormat: 'list',
    interfacePropertiesFormat: 'table',
    typeDeclarationFormat: 'table',
    classPropertiesFormat: 'table',
    useCodeBlocks: true,
    expandObjects: true,
    sanitizeComments: true,
    githubPages: false,
  });
  const project = await app.convert();
  if (project === undefined) throw new Error(`${source} could not be read`);
  await app.generateOutputs(project);
  const [page] = readdirSync(out).filter((file) => file.endsWith('.md'));
  return readFileSync(join(out, page), 'utf8');
}

function readIfThere(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
