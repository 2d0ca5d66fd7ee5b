/** docs/bundlers.md in practice: its files are written, and its commands run, against the packed package. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, delimiter, dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { expect } from 'chai';

/** What a section does, in its order. */
type Step = { readonly file: string; readonly text: string } | Command;

interface Command {
  readonly command: string;
  /** What it prints. */
  readonly output: string | undefined;
}

/** Sections whose files all others use. */
const BASE = ['The example', 'tsconfig.json'];

function readSections(): Map<string, readonly Step[]> {
  const [, ...sections] = readFileSync('docs/bundlers.md', 'utf8').split(/^## /m);
  return new Map(sections.map((section) => [section.slice(0, section.indexOf('\n')), readSteps(section)]));
}

function readSteps(section: string): Step[] {
  return [...section.matchAll(/^```(\w+)\n(.*?)^```$/gms)].flatMap(([, language, text = '']): Step[] => {
    if (language === 'sh') {
      const lines = text.trim().split('\n');
      return lines.map((line) => {
        const [command = '', output] = line.split(/ +# /);
        return { command, output };
      });
    }
    const file = /^\/\/ (\S+)\n/.exec(text)?.[1];
    expect(file, text).not.to.equal(undefined);
    // JSON has no comments.
    return [{ file: file as string, text: text.slice(text.indexOf('\n') + 1) }];
  });
}

function firstBlock(page: string, language: string): string {
  return new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'ms').exec(readFileSync(page, 'utf8'))?.[1] ?? '';
}

/**
 * @param only the sections to run, with this project's own packages around the packed one; by default all of them, each
 *   with the packages that it says
 */
export function describeBundlers(only?: readonly string[]): void {
  describe('docs/bundlers.md', function () {
    this.timeout(1_200_000);
    const sections = readSections();
    const isInstalled = only === undefined;
    let dir: string;
    let empty: string;

    before(() => {
      mkdirSync('.cache', { recursive: true });
      dir = isInstalled ? mkdtempSync(join(tmpdir(), 'sealwire-bundlers-')) : mkdtempSync(resolve('.cache/bundlers-'));
      empty = mkdtempSync(join(tmpdir(), 'sealwire-bundle-'));
      write('package.json', '{ "name": "outside", "private": true }');
      const packed = run('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', dir], resolve('.'));
      const archive = join(dir, packed.trim().split('\n').at(-1) ?? '');
      if (isInstalled) {
        const lines = firstBlock('docs/packages.md', 'sh').trim().split('\n');
        for (const line of lines) shell(line.replace(' sealwire ', ` file:${archive} `));
      } else {
        mkdirSync(join(dir, 'node_modules/sealwire'), { recursive: true });
        run('tar', ['-xzf', archive, '-C', 'node_modules/sealwire', '--strip-components=1'], dir);
      }
      write('proto/shop.proto', firstBlock('README.md', 'proto'));
      write('buf.yaml', firstBlock('README.md', 'yaml'));
      const template = firstBlock('docs/generator.md', 'yaml');
      const around = template
        .replace('node_modules/.bin/protoc-gen-sealwire', '[node, node_modules/sealwire/dist/src/codegen/main.js]')
        .replace('node_modules/.bin', resolve('node_modules/.bin'));
      write('buf.gen.yaml', isInstalled ? template : around);
      shell('npx buf generate');
      for (const section of BASE) writeFiles(section);
    });
    after(() => {
      for (const folder of [dir, empty]) rmSync(folder, { recursive: true, force: true });
    });

    function write(file: string, text: string): void {
      mkdirSync(dirname(join(dir, file)), { recursive: true });
      writeFileSync(join(dir, file), text);
    }

    function writeFiles(section: string): string[] {
      const files = (sections.get(section) ?? []).flatMap((step) => ('file' in step ? [step] : []));
      for (const { file, text } of files) write(file, text);
      return files.map(({ file }) => file);
    }

    function run(command: string, args: readonly string[], cwd: string): string {
      const bins = [join(dir, 'node_modules/.bin'), resolve('node_modules/.bin'), dirname(process.execPath)];
      const PATH = [...bins, process.env['PATH']].join(delimiter);
      const env = { ...process.env, PATH, npm_config_loglevel: 'error', npm_config_prefer_offline: 'true' };
      const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8', env });
      expect(status, `${args.at(-1)}\n${stdout}${stderr}`).to.equal(0);
      return stdout;
    }

    function shell(line: string, cwd = dir): string {
      if (line.startsWith('npm install ')) {
        return isInstalled ? run('sh', ['-c', `${line} --no-audit --no-fund`], cwd) : '';
      }
      // npx would look for nothing above the folder.
      const command = line.replace(/^npx (?!-)/, '');
      const compiler = resolve('node_modules/typescript-7/bin/tsc');
      return run('sh', ['-c', isInstalled ? command : command.replace(/^tsc\b/, `node ${compiler}`)], cwd);
    }

    /** Bundles run where there is nothing but themselves. */
    function isBundle(command: string): string | undefined {
      return /^(?:node )?(out\/shop\S*)$/.exec(command)?.[1];
    }

    async function follow({ command, output }: Command): Promise<void> {
      if (command.includes('--listen')) {
        await startAndStop(command);
        return;
      }
      const bundle = isBundle(command);
      if (bundle !== undefined) copyFileSync(join(dir, bundle), join(empty, basename(bundle)));
      const stdout = bundle === undefined ? shell(command) : shell(command.replace('out/', './'), empty);
      if (output !== undefined) expect(stdout.trim(), command).to.equal(output);
    }

    async function startAndStop(command: string): Promise<void> {
      const [name = '', ...args] = command.split(' ');
      const child = spawn(name, args, { cwd: dir, stdio: ['ignore', 'pipe', 'ignore'] });
      const exited = once(child, 'exit');
      const [line] = (await Promise.race([once(createInterface(child.stdout), 'line'), exited])) as [unknown];
      expect(line).to.match(/^listening on 127\.0\.0\.1:\d+$/);
      child.kill('SIGTERM');
      expect(await exited).to.deep.equal([0, null]);
    }

    it('has a step in each section', () => {
      expect([...sections].filter(([, steps]) => steps.length === 0).map(([name]) => name)).to.deep.equal([
        'When a thread cannot start',
      ]);
      expect(sections.size).to.be.at.least(10);
    });

    for (const [name, steps] of sections) {
      const commands = steps.filter((step) => 'command' in step);
      if (commands.length === 0 || only?.includes(name) === false) continue;
      it(`works as it says of ${name}`, async () => {
        const files = writeFiles(name);
        try {
          for (const step of commands) await follow(step);
        } finally {
          if (!BASE.includes(name)) for (const file of files) rmSync(join(dir, file));
        }
      });
    }
  });
}
