/** docs/packages.md in practice: the packed package under npm, pnpm and yarn, and what each TypeScript says of it. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { expect } from 'chai';

const BUF_PLUGINS = ['protoc-gen-ts_proto', 'protoc-gen-sealwire'].map(
  (plugin) => `  - local: node_modules/.bin/${plugin}
    out: gen
    include_imports: true
    opt: [esModuleInterop=true, importSuffix=.js, env=node, outputServices=grpc-js]\n`,
);

const compilerOptions = {
  target: 'es2022',
  lib: ['es2023'],
  types: ['node'],
  module: 'nodenext',
  strict: true,
  skipLibCheck: false,
  rootDir: '.',
  outDir: 'out',
};

/** A user's project, whose types reach all entry points. */
const FILES: Readonly<Record<string, string>> = {
  'package.json': JSON.stringify({ name: 'outside', private: true, type: 'module' }),
  'buf.yaml': 'version: v2\nmodules: [{path: proto}, {path: node_modules/sealwire/proto}]\n',
  'buf.gen.yaml': `version: v2\ninputs: [{directory: proto}]\nplugins:\n${BUF_PLUGINS.join('')}`,
  'proto/notes/v1/notes.proto': `syntax = "proto3";
package notes.v1;
import "sealwire/v1/sealed.proto";
service NoteService { rpc Save(SaveRequest) returns (SaveResponse); }
message Note { string text = 1; }
message SaveRequest { string note = 1 [(sealwire.v1.sealed) = {type: "notes.v1.Note", required: true}]; }
message SaveResponse { int32 length = 1; }
`,
  'tsconfig.json': JSON.stringify({ compilerOptions, include: ['main.ts', 'gen'] }),
  'main.ts': `import { credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import { createOpenInterceptor, KeyDirectory, type KeyDirectoryOptions, KeyRing, staticKeySource } from 'sealwire';
import { AuditLog, type VerifyReport } from 'sealwire/audit';
import type { HostApp } from 'sealwire/host';
import type { Pkcs11Custody } from 'sealwire/pkcs11';
import { addSealedNoteService, SealedNoteService, SealedNoteServiceClient } from './gen/notes/v1/notes_sealed.js';

export type Named = [HostApp, Pkcs11Custody, VerifyReport];
const keys = await KeyRing.create('P-256');
const audit = await AuditLog.open({ dir: 'audit', origin: 'outside' });
const { interceptor } = createOpenInterceptor({ services: [SealedNoteService], keys, audit });
const server = new Server({ interceptors: [interceptor] });
addSealedNoteService(server, {
  save: ({ request }, callback) => callback(null, { length: request.note.text.length }),
});
const port = await new Promise<number>((resolve, reject) => {
  server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound)));
});
const address = '127.0.0.1:' + port;
const channel = credentials.createInsecure();
const client = new SealedNoteServiceClient(address, channel, { keys: staticKeySource(keys.current()) });
console.log('length', (await client.save({ note: { text: 'twelve chars' } })).length);
const options: KeyDirectoryOptions = { address, credentials: channel, roots: ['A'.repeat(43)], issuer: 'outside' };
const directory = new KeyDirectory(options);
directory.close();
client.close();
server.forceShutdown();
await audit.close();
`,
};

/** Another version of grpc-js beside the application's. */
const COPIES = `import { createRequire } from 'node:module';
import { credentials } from 'grpc-of-another';
import { KeyDirectory } from 'sealwire';
import { SealedNoteServiceClient } from './out/gen/notes/v1/notes_sealed.js';
const own = createRequire(import.meta.url);
const theirs = createRequire(own.resolve('sealwire/package.json'));
console.log(theirs.resolve('@grpc/grpc-js') === own.resolve('@grpc/grpc-js'));
const foreign = credentials.createInsecure();
for (const make of [
  () => new KeyDirectory({ address: 'localhost:1', credentials: foreign, roots: ['A'.repeat(43)], issuer: 'x' }),
  () => new SealedNoteServiceClient('localhost:1', foreign, { keys: { current: () => undefined } }),
]) try { make(); } catch (error) { console.log(error.code, /copy of @grpc\\/grpc-js/.test(error.message)); }
`;

const TYPESCRIPT = ['5.4', '5.9', '7'] as const;
const RESOLUTION = [
  ['nodenext', 'nodenext'],
  ['esnext', 'bundler'],
] as const;
/** Packages whose own declarations need a newer TypeScript than 5.4. */
const TOO_NEW = /^node_modules\/(?:\.pnpm\/[^/]+\/node_modules\/)?(?:@bufbuild\/protobuf|@grpc\/grpc-js)\//;

/**
 * @param managers of packages, each with an installation of its own
 * @param pairs versions of TypeScript with ways to resolve modules: all, or each of the newer versions once
 */
export function describeToolchains(managers: readonly string[], pairs: 'all' | 'each once'): void {
  describe('a project that uses the package', function () {
    this.timeout(1_200_000);
    let root: string;
    let archive: string;
    before(() => {
      root = mkdtempSync(join(tmpdir(), 'sealwire-toolchains-'));
      finish('npm', ['pack', '--ignore-scripts', '--pack-destination', root], resolve('.'));
      archive = join(root, readdirSync(root).find((name) => name.endsWith('.tgz')) as string);
    });
    after(() => rmSync(root, { recursive: true, force: true }));

    function run(command: string, args: readonly string[], cwd: string) {
      const env = { ...process.env, npm_config_loglevel: 'error', npm_config_prefer_offline: 'true' };
      const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8', env });
      return { status, stdout, said: `${command} ${args.join(' ')}\n${stdout}${stderr}` };
    }

    function finish(command: string, args: readonly string[], cwd: string): string {
      const { status, stdout, said } = run(command, args, cwd);
      expect(status, said).to.equal(0);
      return stdout;
    }

    /** The page's commands for one manager, for our archive and three versions of TypeScript. */
    function readCommands(manager: string): string[][] {
      const blocks = [...readFileSync('docs/packages.md', 'utf8').matchAll(/^```sh\n(.*?)^```$/gms)];
      const block = blocks.map(([, text = '']) => text).find((text) => text.startsWith(`${manager} `)) ?? '';
      const compilers = TYPESCRIPT.map((version) => `typescript-${version}@npm:typescript@${version}`);
      const lines = block.trim().split('\n');
      expect(lines).to.have.length(2);
      return lines.map((line) =>
        line
          .split(' ')
          .slice(1)
          .flatMap((word) => (word === 'sealwire' ? [`file:${archive}`] : word === 'typescript' ? compilers : [word])),
      );
    }

    /** @returns how to run the manager; undefined when it cannot be had */
    function findManager(manager: string): readonly string[] | undefined {
      if (manager === 'npm') return ['npm'];
      const folder = join(root, 'managers');
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, 'package.json'), '{"private":true}');
      const wanted = manager === 'pnpm' ? 'pnpm@10' : 'yarn@1';
      if (run('npm', ['install', '--no-audit', '--no-fund', wanted], folder).status !== 0) return undefined;
      return manager === 'pnpm'
        ? [process.execPath, join(folder, 'node_modules/pnpm/bin/pnpm.cjs'), `--store-dir=${join(root, 'store')}`]
        : [process.execPath, join(folder, 'node_modules/yarn/bin/yarn.js'), `--cache-folder=${join(root, 'cache')}`];
    }

    function compile(dir: string, version: string, args: readonly string[]) {
      return run(process.execPath, [`node_modules/typescript-${version}/bin/tsc`, ...args], dir);
    }

    for (const manager of managers) {
      describe(`installed by ${manager}`, () => {
        let dir: string;
        before(function () {
          const [command, ...first] = findManager(manager) ?? [];
          if (command === undefined) {
            process.stderr.write(`${manager} cannot be installed: npm install ${manager}\n`);
            this.skip();
          }
          dir = join(root, manager);
          for (const [name, text] of Object.entries(FILES)) {
            mkdirSync(dirname(join(dir, name)), { recursive: true });
            writeFileSync(join(dir, name), text);
          }
          for (const args of readCommands(manager)) finish(command, [...first, ...args], dir);
          finish(process.execPath, ['node_modules/@bufbuild/buf/bin/buf', 'generate'], dir);
        });

        // The oldest takes long: the long form has it.
        for (const [index, version] of TYPESCRIPT.entries()) {
          if (pairs === 'each once' && version === '5.4') continue;
          for (const [module, resolution] of pairs === 'all'
            ? RESOLUTION
            : RESOLUTION.slice(index % 2, (index % 2) + 1)) {
            it(`compiles with TypeScript ${version} and ${resolution}`, () => {
              const args = ['--noEmit', '--module', module, '--moduleResolution', resolution];
              const { status, stdout, said } = compile(dir, version, args);
              if (version !== '5.4') expect(status, said).to.equal(0);
              const faults = stdout.split('\n').filter((line) => line.includes('error TS') && !TOO_NEW.test(line));
              expect(faults).to.deep.equal([]);
            });
          }
        }

        it('runs', () => {
          expect(compile(dir, '7', []).status).to.equal(0);
          expect(finish(process.execPath, ['out/main.js'], dir)).to.equal('length 12\n');
        });

        if (manager !== 'npm') return;

        it('is loaded by CommonJS, and TypeScript says what the page says', () => {
          mkdirSync(join(dir, 'common'));
          writeFileSync(join(dir, 'common/package.json'), '{"type":"commonjs"}');
          writeFileSync(
            join(dir, 'common/a.ts'),
            "import { KeyRing } from 'sealwire';\nconsole.log(typeof KeyRing);\n",
          );
          const config = {
            extends: '../tsconfig.json',
            compilerOptions: { rootDir: '.', outDir: 'out' },
            include: ['a.ts'],
          };
          writeFileSync(join(dir, 'common/tsconfig.json'), JSON.stringify(config));
          expect(compile(dir, '7', ['-p', 'common', '--module', 'node16', '--noEmit']).stdout).to.include('TS1479');
          expect(compile(dir, '5.9', ['-p', 'common']).stdout).to.equal('');
          expect(finish(process.execPath, ['common/out/a.js'], dir)).to.equal('function\n');
        });

        it('refuses credentials of another copy of grpc-js by name, and works with another version of it', () => {
          const install = ['install', '--no-audit', '--no-fund', '--force'];
          finish('npm', [...install, 'grpc-of-another@npm:@grpc/grpc-js@1.13.4'], dir);
          writeFileSync(join(dir, 'copies.mjs'), COPIES);
          const refused = 'OPTIONS_INVALID true\n';
          expect(finish(process.execPath, ['copies.mjs'], dir)).to.equal(`true\n${refused}${refused}`);
          // Older than what the peer range allows, and newer than the server interceptors that Sealwire needs.
          finish('npm', [...install, '@grpc/grpc-js@1.14.0'], dir);
          expect(finish(process.execPath, ['out/main.js'], dir)).to.equal('length 12\n');
        });
      });
    }
  });
}
