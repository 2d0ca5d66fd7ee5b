/** Tables in docs/ say what the code does, and links and paths in all pages lead somewhere. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { z } from 'zod';
import { explanations } from '../../src/cli/debug/explanations.js';
import { keySetExplanations } from '../../src/cli/debug/key-set-explanations.js';
import { localExplanations } from '../../src/cli/debug/local-explanations.js';
import { stepExplanations } from '../../src/cli/debug/step-explanations.js';
import { KEY_SET_CODES, type Reason, reasonByStep, type StepCode } from '../../src/errors.js';
import { ENVIRONMENT } from '../../src/host/config.js';
import { CALLER_VARIABLES } from '../../src/host/process/caller-variables.js';
import { statusByReason } from '../../src/schema/error-status.js';
import { paymentsSchema } from '../support/payments-host.js';

interface JsonSchema {
  readonly type?: string;
  readonly default?: unknown;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
}

/** The rows of the table whose header begins with this column, as cells without code marks. */
async function readTable(path: string, column: string): Promise<string[][]> {
  const lines = (await readFile(path, 'utf8')).split('\n');
  const start = lines.findIndex((line) => line.startsWith(`| ${column} |`));
  expect(start, `the table of ${column} in ${path}`).to.be.at.least(0);
  const rows = lines.slice(start + 2);
  return rows
    .slice(
      0,
      rows.findIndex((line) => !line.startsWith('|')),
    )
    .map((line) => line.slice(1, -1).split('|'))
    .map((cells) => cells.map((cell) => cell.trim().replaceAll('`', '')));
}

/** As {@link readTable} gives cells. */
const plain = (text = '') => text.replaceAll('`', '');

/** Options by dotted name. */
function listOptions(schema: JsonSchema, prefix = ''): [string, JsonSchema][] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, option]) => [
    [`${prefix}${name}`, option],
    ...listOptions(option, `${prefix}${name}.`),
  ]);
}

describe('the documents', () => {
  it('list every reason with its code and text, in the words of sealwire explain, and no other', async () => {
    const expected = Object.entries(statusByReason).map(([reason, { code, text }]) => {
      const { meaning, remedy } = explanations[reason as Reason];
      return [reason, status[code], text, meaning, remedy].map(plain);
    });
    expect(await readTable('docs/errors.md', 'reason')).to.deep.equal(expected);
  });

  it('list every step with its reason, in the words of sealwire explain, and no other', async () => {
    const expected = Object.entries(reasonByStep).map(([step, reason]) => {
      const { meaning, remedy } = stepExplanations[step as StepCode];
      return [step, reason, meaning, remedy].map(plain);
    });
    expect(await readTable('docs/errors.md', 'step')).to.deep.equal(expected);
  });

  it('list every code of a local failure, in the words of sealwire explain, and no other', async () => {
    const local = Object.entries(localExplanations).map(([code, { meaning, remedy }]) => [code, meaning, remedy]);
    expect(await readTable('docs/errors.md', 'code')).to.deep.equal(local.map((cells) => cells.map(plain)));
    const ofSets = Object.entries(keySetExplanations).map(([code, { meaning }]) => [code, plain(meaning)]);
    expect(await readTable('docs/key-sets.md', 'code')).to.deep.equal(ofSets);
    expect(Object.keys(keySetExplanations)).to.deep.equal([...KEY_SET_CODES]);
  });

  it('list every option with default, meaning and variable, and no other', async () => {
    const rows = (await readTable('docs/configuration.md', 'option')).map(([name, fallback, meaning, , variable]) => [
      name,
      fallback,
      meaning,
      variable,
    ]);
    const variables = new Map<string, string>(Object.entries(ENVIRONMENT).map(([name, option]) => [option, name]));
    const options = listOptions(z.toJSONSchema(paymentsSchema, { io: 'input' }) as JsonSchema);
    const expected = options.map(([name, option]) => {
      const hasDefault = option.type !== 'object' && option.default !== undefined;
      return [name, hasDefault ? JSON.stringify(option.default) : '', option.description, variables.get(name) ?? ''];
    });
    expect(rows).to.deep.equal(expected);
  });

  it('list every variable of commands that call a service', async () => {
    const rows = await readTable('docs/debugging.md', 'variable');
    expect(rows.map(([variable]) => variable)).to.deep.equal(Object.values(CALLER_VARIABLES));
  });

  it('use an order id on one page only: a service takes each order once', async () => {
    const pages = new Map<string, string>();
    for (const page of await listPages()) {
      const blocks = (await readFile(page, 'utf8')).match(/^```.*?^```/gms) ?? [];
      const ids = blocks.join('').matchAll(/order_?id\\?["']?(?: =|:) ?\\?["']([\w-]+)/gi);
      for (const [, id = ''] of ids) {
        expect(pages.get(id) ?? page, id).to.equal(page);
        pages.set(id, page);
      }
    }
    expect([...pages.keys()]).to.include.members(['debug-1', 'debug-', 'keys-1', 'plans-1']);
  });

  it('show a configuration file that is accepted', async () => {
    const text = /```json\n([^`]+)```/.exec(await readFile('docs/configuration.md', 'utf8'))?.[1] ?? '';
    expect(paymentsSchema.safeParse(JSON.parse(text)).success).to.equal(true);
  });

  it('link to files and headings that are there', async () => {
    for (const page of await listPages()) {
      const links = [...(await readFile(page, 'utf8')).matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)/g)];
      for (const [, link = '', heading] of links) {
        const target = link === '' ? page : join(page, '..', link);
        expect(await isThere(target), `${page} links to ${link}`).to.equal(true);
        if (heading !== undefined) expect(await readAnchors(target), `${page} links to ${link}`).to.include(heading);
      }
    }
  });

  it('name files of the project that are there', async () => {
    const missing: string[] = [];
    for (const page of await listPages()) {
      const paths = (await readFile(page, 'utf8')).matchAll(/`((?:src|test|scripts|docs|examples)\/[\w./-]+\.\w+)`/g);
      for (const [, path = ''] of paths) if (!(await isThere(path))) missing.push(`${page}: ${path}`);
    }
    expect(missing).to.deep.equal([]);
  });

  it('set each variable before a command uses it', async () => {
    const unset: string[] = [];
    for (const page of await listPages()) {
      const set = new Set(['PWD']);
      for (const [, script = ''] of (await readFile(page, 'utf8')).matchAll(/^```(?:sh|console)\n(.*?)^```$/gms)) {
        for (const line of script.split('\n')) {
          for (const [, name = ''] of line.matchAll(/\bfor (\w+) in /g)) set.add(name);
          for (const [, name = ''] of line.matchAll(/\$\{?([A-Za-z_]\w*)(?!\w*:-)/g)) {
            if (!set.has(name)) unset.push(`${page}: ${name}`);
          }
          for (const [, name = ''] of line.matchAll(/(?:^\$? *|export )([A-Za-z_]\w*)=/g)) set.add(name);
        }
      }
    }
    expect(unset).to.deep.equal([]);
  });

  it('show no server whose ring would miss a rotation', async () => {
    const servers: string[] = [];
    for (const page of await listPages()) {
      for (const [, code = ''] of (await readFile(page, 'utf8')).matchAll(/^```(?:ts|js)\n(.*?)^```$/gms)) {
        if (!code.includes('new Server(') || !code.includes('KeyRing.load(')) continue;
        servers.push(page);
        expect(code, page).to.include('new RingFollower(');
      }
    }
    expect(servers).to.include('docs/generator.md');
  });

  it('wrap prose at 120 columns', async () => {
    const long: string[] = [];
    for (const page of await listPages()) {
      const text = (await readFile(page, 'utf8')).replace(/^```.*?^```/gms, '');
      for (const line of text.split('\n'))
        if (line.length > 120 && !line.startsWith('|')) long.push(`${page}: ${line}`);
    }
    expect(long).to.deep.equal([]);
  });

  it('index every decision', async () => {
    const [index = '', ...topics] = (await readFile('docs/decisions.md', 'utf8')).split(/^## /m);
    const titles = topics.join('').matchAll(/^### (.+)$/gm);
    const listed = index.replaceAll(/\s+/g, ' ');
    expect([...titles].map(([, title = '']) => title).filter((title) => !listed.includes(title))).to.deep.equal([]);
  });

  it('are all on the map', async () => {
    const map = await readFile('docs/README.md', 'utf8');
    const pages = (await readdir('docs')).filter((name) => name.endsWith('.md') && name !== 'README.md');
    expect(pages.filter((name) => !map.includes(`](${name})`))).to.deep.equal([]);
  });

  it('wrap comments in code at 120 columns', async () => {
    const folders = ['src', 'test', 'bench', 'scripts'];
    const names = (await Promise.all(folders.map(async (folder) => listCode(folder)))).flat();
    const long = await Promise.all(
      names.map(async (name) =>
        (await readFile(name, 'utf8'))
          .split('\n')
          .flatMap((line, index) => (line.length > 120 && COMMENT.test(line) ? [`${name}:${index + 1}`] : [])),
      ),
    );
    expect(names.length).to.be.greaterThan(300);
    expect(long.flat()).to.deep.equal([]);
  });
});

async function listPages(): Promise<string[]> {
  const docs = (await readdir('docs')).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`);
  return ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', ...docs];
}

function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** The anchors of a page's headings, by GitHub's rule. */
async function readAnchors(path: string): Promise<string[]> {
  const headings = (await readFile(path, 'utf8')).match(/^#+ .*$/gm) ?? [];
  return headings.map((heading) =>
    heading
      .replace(/^#+ /, '')
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

/** A line that is a comment and more than one long word, such as an address. */
const COMMENT = /^\s*(?:\/\*\*|\*|\/\/) \S+ /;

/** Sources written by hand. */
async function listCode(folder: string): Promise<string[]> {
  const names = (await readdir(folder, { recursive: true })).map((name) => join(folder, name));
  return names.filter((name) => /\.(?:ts|mjs)$/.test(name) && !/(?:^|\/)(?:gen|golden|fixtures)\//.test(name));
}
