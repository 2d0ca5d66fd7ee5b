import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { expect } from 'chai';

/** How users install and compile it is in package/toolchains. */
describe('the package from outside', function () {
  // Also for the hooks: removing what npm installed takes long on a busy disk.
  this.timeout(180_000);
  let dir: string;
  let archive: string;
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'sealwire-outside-'));
    run('npm', ['pack', '--ignore-scripts', '--pack-destination', dir], resolve('.'));
    archive = join(dir, readdirSync(dir).find((name) => name.endsWith('.tgz')) as string);
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  function run(command: string, args: readonly string[], cwd = dir): string {
    const env = { ...process.env, npm_config_loglevel: 'error' };
    const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8', env });
    expect(status, `${command} ${args.join(' ')}\n${stdout}${stderr}`).to.equal(0);
    return stdout;
  }

  it('has what its docs send readers to', () => {
    const packed = run('tar', ['--list', '--file', archive]).split('\n');
    const log = ['kept/log.vkey', 'var/audit/checkpoint', 'alice.json'].map((name) => `examples/audit-log/${name}`);
    for (const path of ['deploy/alerts.yml', 'deploy/sealwire.service', 'docs/audit.md', ...log])
      expect(packed).to.include(`package/${path}`);
  });

  it('makes the first sealed call of the README, as it stands there', () => {
    // Beside the other project, not in it: npm would install there.
    const folder = mkdtempSync(join(tmpdir(), 'sealwire-first-call-'));
    after(() => rmSync(folder, { recursive: true, force: true }));
    const [, section = ''] = /^## A first sealed call\n(.*?)^## /ms.exec(readFileSync('README.md', 'utf8')) ?? [];
    const steps = [...section.matchAll(/(?:^`([^`\n]+)`\n\n)?^```(\w+)\n(.*?)^```$/gms)];
    expect(steps.map(([, name, kind]) => name ?? kind)).to.deep.equal([
      'sh',
      'proto/shop.proto',
      'buf.yaml',
      'shop.mjs',
      'sh',
      'text',
    ]);
    let printed = '';
    let promised = '';
    for (const [, name, kind, text = ''] of steps) {
      if (name !== undefined) {
        mkdirSync(dirname(join(folder, name)), { recursive: true });
        writeFileSync(join(folder, name), text);
      } else if (kind === 'text') {
        promised += text;
      } else {
        const output = run('bash', ['-ec', text.replace('npm install sealwire ', `npm install ${archive} `)], folder);
        if (!text.startsWith('npm install')) printed += output;
      }
    }
    expect(printed).to.equal(promised);
  });

  describe('when packed', () => {
    let paths: readonly string[];
    before(() => {
      const [packed] = JSON.parse(run('npm', ['pack', '--ignore-scripts', '--dry-run', '--json'], resolve('.'))) as {
        files: { path: string }[];
      }[];
      paths = packed?.files.map(({ path }) => path) ?? [];
    });

    it('contains neither our tests nor keys', () => {
      expect(paths).to.include.members([
        'proto/sealwire/v1/sealed.proto',
        'dist/src/index.d.ts',
        'LICENSE',
        'README.md',
      ]);
      const own = paths.filter((path) => !path.startsWith('examples/'));
      expect(own.filter((path) => /test|bench|^var|\.jwk|keys\.json/.test(path))).to.deep.equal([]);
    });

    it('has what its pages link to, but for the page of contributors', () => {
      const missing = paths
        .filter((path) => path.endsWith('.md'))
        .flatMap((page) => {
          const links = readFileSync(page, 'utf8').matchAll(/\]\((?!https?:|#)([^)#]+)/g);
          return [...links].map(([, link = '']) => join(dirname(page), link));
        })
        .filter((target) => !paths.some((path) => path === target || path.startsWith(`${target}/`)));
      expect(new Set(missing)).to.deep.equal(new Set(['CONTRIBUTING.md']));
    });
  });
});
