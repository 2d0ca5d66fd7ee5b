import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { expect } from 'chai';

/** A user's project: another proto and service, set up as docs/generator.md says. */
const files: Record<string, string> = {
  'package.json': JSON.stringify({ name: 'outside', private: true, type: 'module' }),
  'buf.yaml': 'version: v2\nmodules:\n  - path: proto\n  - path: node_modules/sealwire/proto\n',
  'buf.gen.yaml': `version: v2
inputs:
  - directory: proto
plugins:
  - local: [node, node_modules/ts-proto/protoc-gen-ts_proto]
    out: gen
    include_imports: true
    opt: [esModuleInterop=true, importSuffix=.js, env=node, outputServices=grpc-js]
  - local: node_modules/.bin/protoc-gen-sealwire
    out: gen
    opt: [esModuleInterop=true, importSuffix=.js, env=node, outputServices=grpc-js]
`,
  'proto/notes/v1/notes.proto': `syntax = "proto3";
package notes.v1;
import "sealwire/v1/sealed.proto";
service NoteService {
  rpc Save(SaveRequest) returns (SaveResponse);
}
message Note { string text = 1; }
message SaveRequest {
  string title = 1;
  string note = 2 [(sealwire.v1.sealed) = {type: "notes.v1.Note", required: true, bind: ["title"]}];
}
message SaveResponse { int32 length = 1; }
`,
  'tsconfig.json': JSON.stringify({
    compilerOptions: {
      target: 'es2023',
      module: 'nodenext',
      strict: true,
      skipLibCheck: true,
      types: ['node'],
      rootDir: '.',
      outDir: 'out',
    },
    include: ['main.ts', 'gen'],
  }),
  'main.ts': `import { mkdtempSync } from 'node:fs';
import { credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import { createOpenInterceptor, KeyRing, staticKeySource } from 'sealwire';
import { AuditLog } from 'sealwire/audit';
import { addSealedNoteService, SealedNoteService, SealedNoteServiceClient } from './gen/notes/v1/notes_sealed.js';

const keys = await KeyRing.create();
const audit = await AuditLog.open({ dir: mkdtempSync('audit-'), origin: 'outside' });
const { interceptor } = createOpenInterceptor({ services: [SealedNoteService], keys, audit });
const server = new Server({ interceptors: [interceptor] });
addSealedNoteService(server, {
  save(call, callback) {
    callback(null, { length: call.request.note.text.length });
  },
});
const port = await new Promise<number>((resolve, reject) => {
  server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound)));
});
const client = new SealedNoteServiceClient('127.0.0.1:' + port, credentials.createInsecure(), {
  keys: staticKeySource(keys.current()),
});
const answer = await client.save({ title: 'a', note: { text: 'twelve chars' } });
console.log('length', answer.length);
client.close();
server.forceShutdown();
await audit.close();
`,
};

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
    for (const path of ['deploy/alerts.yml', 'docs/audit.md', ...log]) expect(packed).to.include(`package/${path}`);
  });

  it('installs, generates, compiles, calls and opens', () => {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(dir, name, '..'), { recursive: true });
      writeFileSync(join(dir, name), text);
    }
    const packages = ['@grpc/grpc-js', 'ts-proto', '@bufbuild/buf', 'typescript', '@types/node@20'];
    run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', archive, ...packages]);
    run('node', ['node_modules/@bufbuild/buf/bin/buf', 'generate']);
    run('node', ['node_modules/typescript/bin/tsc']);
    expect(run('node', ['out/main.js'])).to.equal('length 12\n');
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
