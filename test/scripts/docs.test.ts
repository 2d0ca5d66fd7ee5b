/** Tables in docs/ and the example in README.md say what the code does. */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { z } from 'zod';
import { explanations } from '../../src/cli/calls/explanations.js';
import { KEY_SET_CODES, reasonByStep } from '../../src/errors.js';
import { ENVIRONMENT } from '../../src/host/config.js';
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

/** Options by dotted name. */
function listOptions(schema: JsonSchema, prefix = ''): [string, JsonSchema][] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, option]) => [
    [`${prefix}${name}`, option],
    ...listOptions(option, `${prefix}${name}.`),
  ]);
}

describe('the documents', () => {
  it('list every reason with its code and text, and no other', async () => {
    const rows = (await readTable('docs/errors.md', 'reason')).map((cells) => cells.slice(0, 3));
    const expected = Object.entries(statusByReason).map(([reason, { code, text }]) => [reason, status[code], text]);
    expect(rows).to.deep.equal(expected);
  });

  it('list every step with its reason, and no other', async () => {
    expect(await readTable('docs/errors.md', 'step')).to.deep.equal(Object.entries(reasonByStep));
  });

  it('explain every reason in the words of sealwire explain', async () => {
    const plain = (text: string) => text.replaceAll('`', '');
    const expected = Object.entries(explanations).map(([reason, { meaning, remedy }]) => [
      reason,
      plain(meaning),
      plain(remedy),
    ]);
    expect(await readTable('docs/debugging.md', 'reason')).to.deep.equal(expected);
  });

  it('list every refusal of a key set, and no other', async () => {
    const rows = await readTable('docs/key-sets.md', 'code');
    expect(rows.map(([code]) => code)).to.deep.equal([...KEY_SET_CODES]);
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

  it('show a configuration file that is accepted', async () => {
    const text = /```json\n([^`]+)```/.exec(await readFile('docs/configuration.md', 'utf8'))?.[1] ?? '';
    expect(paymentsSchema.safeParse(JSON.parse(text)).success).to.equal(true);
  });

  it('begin with an example that prints what the README says', async () => {
    const readme = await readFile('README.md', 'utf8');
    const [, program = '', output = ''] =
      /```js\n([^`]*(?:`[^`]+`[^`]*)*)```\n\n```text\n([^`]+)```/.exec(readme) ?? [];
    // Inside the project, where `sealwire` is the package itself.
    const folder = await mkdtemp(join('dist', 'readme-'));
    try {
      const file = join(folder, 'example.mjs');
      await writeFile(file, program.replaceAll("'./dist/", "'../"));
      const { stdout } = await promisify(execFile)(process.execPath, [file]);
      expect(stdout).to.equal(output);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('link to files that are there', async () => {
    const pages = (await readdir('docs')).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`);
    for (const path of ['README.md', 'SECURITY.md', ...pages]) {
      const links = [...(await readFile(path, 'utf8')).matchAll(/\]\((?!https?:)([^)#]+)\)/g)];
      for (const [, link = ''] of links) await readLinked(path, link);
    }
  });
});

async function readLinked(from: string, link: string): Promise<void> {
  const target = join(from, '..', link);
  const found = await stat(target).then(
    () => true,
    () => false,
  );
  expect(found, `${from} links to ${link}`).to.equal(true);
}
