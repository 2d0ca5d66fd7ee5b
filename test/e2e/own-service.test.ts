/**
 * The example of a service of one's own, as its reader would build it: from the packed package, in a folder of its own.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { environment, finish, listening, run } from '../support/command.js';

const EXAMPLE = resolve('examples/own-service');
const SOURCE = /\.(ts|proto)$/;

function sources(): string[] {
  return (readdirSync(EXAMPLE, { recursive: true }) as string[])
    .filter((name) => SOURCE.test(name) && !/^(node_modules|gen|out)\b/.test(name))
    .map((name) => readFileSync(join(EXAMPLE, name), 'utf8'));
}

describe('examples/own-service', () => {
  let dir: string;
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'sealwire-own-'));
  });
  after(function () {
    // Some 10,000 files.
    this.timeout(120_000);
    rmSync(dir, { recursive: true, force: true });
  });

  async function npm(args: readonly string[], cwd = dir): Promise<string> {
    const { code, stdout, stderr } = await finish('npm', args, {
      cwd,
      env: { ...environment, npm_config_loglevel: 'error' },
    });
    expect(code, `npm ${args.join(' ')}\n${stdout}${stderr}`).to.equal(0);
    return stdout;
  }

  it('is written by hand in less than 120 lines, proto and tests included', () => {
    expect(sources().join('').split('\n').length - 1).to.be.within(50, 119);
  });

  it('is what docs/own-service.md shows', () => {
    const page = readFileSync('docs/own-service.md', 'utf8');
    const blocks = [...page.matchAll(/```(?:ts|proto)\n([^`]+)```/g)].map(([, text = '']) => text.trim());
    expect(blocks).to.have.length.above(2);
    for (const block of blocks) {
      // Parts of a file are shown without their indentation.
      const plain = (text: string) => text.replace(/^\s+/gm, '');
      expect(
        sources().some((source) => plain(source).includes(plain(block))),
        block,
      ).to.equal(true);
    }
  });

  it('installs, generates, compiles under strict, passes its test, runs and stops', async function () {
    this.timeout(300_000);
    for (const name of readdirSync(EXAMPLE).filter((each) => !/^(node_modules|gen|out|var)$/.test(each))) {
      cpSync(join(EXAMPLE, name), join(dir, name), { recursive: true });
    }
    await npm(['pack', '--ignore-scripts', '--pack-destination', dir], resolve('.'));
    const archive = readdirSync(dir).find((name) => name.endsWith('.tgz')) as string;
    await npm(['install', '--prefer-offline', '--no-audit', '--no-fund', `./${archive}`]);
    await npm(['run', 'generate']);
    await npm(['exec', '--offline', '--', 'tsc', ...COMPILER_FLAGS]);
    expect(await npm(['test'])).to.match(/^# pass 2$/m);
    const service = run(process.execPath, ['out/src/main.js', '--listen', '127.0.0.1:0', '--dir', 'var'], { cwd: dir });
    await listening(service);
    service.child.kill('SIGTERM');
    expect(await service.ended, service.stderr()).to.equal(0);
    const wrong = run(process.execPath, ['out/src/main.js', '--lisen', 'x'], { cwd: dir });
    expect([await wrong.ended, wrong.stderr().split(':')[0]]).to.deep.equal([2, 'clinic-booking']);
  });
});

/** The package's own declarations name one of a package that has none. */
const COMPILER_FLAGS = ['--skipLibCheck'];
