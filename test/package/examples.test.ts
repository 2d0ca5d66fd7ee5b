/** The examples of the API pages compile, each by itself, as strictly as can be. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect } from 'chai';

/** What a page says most about has an example. */
const MAIN = [
  'AuditLog',
  'KeyDirectory',
  'KeyRing',
  'Pkcs11Custody',
  'ReplayGuard',
  'RingFollower',
  'createCaller',
  'createOpenInterceptor',
  'createPlans',
  'createSealInterceptor',
  'SealedWebClient',
  'errorDetails',
  'fileKeySource',
  'readRecentTokens',
  'runHost',
  'startHost',
  'staticKeySource',
  'tokenOf',
  'verifyLog',
];

/** Examples by the class or function that they belong to. */
function readExamples(): Map<string, string> {
  const examples = new Map<string, string>();
  for (const page of readdirSync('docs/api')) {
    const text = readFileSync(join('docs/api', page), 'utf8');
    for (const [, name = '', section = ''] of text.matchAll(/^### (\w+).*?\n(.*?)(?=^##{1,2} |$(?![\s\S]))/gms)) {
      const code = /^#+ Example\n\n```ts\n(.*?)^```$/ms.exec(section)?.[1];
      if (code !== undefined) examples.set(name, code);
    }
  }
  return examples;
}

describe('the examples of the API pages', () => {
  let folder: string;
  before(() => {
    mkdirSync('.cache', { recursive: true });
    // Inside the project, where `sealwire` is the package itself.
    folder = mkdtempSync(resolve('.cache/api-examples-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  it('are there for each main class and function', () => {
    expect([...readExamples().keys()]).to.include.members(MAIN);
  });

  it('compile', function () {
    this.timeout(120_000);
    for (const [name, code] of readExamples()) {
      const program = code.replaceAll("'./gen/", "'../../dist/src/gen/");
      writeFileSync(join(folder, `${name}.ts`), `${program}export {};\n`);
    }
    // Connect's declarations name types of browsers.
    const lib = ['es2023', 'dom'];
    const compilerOptions = { module: 'nodenext', target: 'es2023', lib, types: ['node'], noEmit: true };
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ compilerOptions: { ...compilerOptions, strict: true }, include: ['*.ts'] }),
    );
    const { status, stdout } = spawnSync(
      process.execPath,
      [resolve('node_modules/typescript-7/bin/tsc'), '-p', folder],
      {
        encoding: 'utf8',
      },
    );
    expect(status, stdout).to.equal(0);
  });
});
