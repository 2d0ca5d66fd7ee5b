import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';

/** Runs the check on a made-up `src` folder. */
async function check(files: Readonly<Record<string, string>>): Promise<{ code: number; problems: string[] }> {
  const source = await mkdtemp(join(tmpdir(), 'sealwire-imports-'));
  try {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(source, path)), { recursive: true });
      await writeFile(join(source, path), text);
    }
    return await new Promise((resolve) => {
      execFile(process.execPath, ['scripts/check-imports.mjs', source], (error, _stdout, stderr) => {
        resolve({ code: Number(error?.code ?? 0), problems: stderr.split('\n').filter((line) => line !== '') });
      });
    });
  } finally {
    await rm(source, { recursive: true });
  }
}

describe('check-imports', () => {
  it('accepts the project itself', async () => {
    const result = await new Promise((resolve) => {
      execFile(process.execPath, ['scripts/check-imports.mjs', 'src'], (error, _stdout, stderr) => {
        resolve({ code: Number(error?.code ?? 0), stderr });
      });
    });
    expect(result).to.deep.equal({ code: 0, stderr: '' });
  });

  const violations: readonly [name: string, path: string, text: string][] = [
    ['an import against the direction', 'jwe/a.ts', "import { x } from '../keys/b.js';"],
    ['a type import against the direction', 'keys/a.ts', "import type { X } from '../schema/b.js';"],
    ['a re-export against the direction', 'schema/a.ts', "export { x } from '../server/b.js';"],
    ['a dynamic import against the direction', 'host/a.ts', "await import('../cli/b.js');"],
    ['client importing server', 'client/a.ts', "import { x } from '../server/b.js';"],
    ['server importing audit', 'server/a.ts', "import type { AuditLog } from '../audit/index.js';"],
    ['audit importing more of jwe than the header', 'audit/read/a.ts', "import { x } from '../../jwe/token.js';"],
    ['the writer of a log importing its readers', 'audit/write/a.ts', "import { x } from '../read/verify-log.js';"],
    ['readers of a log importing its writer', 'audit/read/a.ts', "import { x } from '../write/b.js';"],
    ['schema importing jwe, as a type', 'schema/a.ts', "import type { X } from '../jwe/session.js';"],
    ['profile importing schema', 'profile/a.ts', "import { x } from '../schema/b.js';"],
    ['jwe importing schema', 'jwe/a.ts', "import { x } from '../schema/b.js';"],
    ['schema importing the forms of proto-loader', 'schema/a.ts', "import { x } from '../loader/b.js';"],
    ['the browser client importing jwe', 'web/a.ts', "import { x } from '../jwe/b.js';"],
    ['a module of Node in schema', 'schema/a.ts', "import { hash } from 'node:crypto';"],
    ['a module of Node without its scheme in schema', 'schema/a/b.ts', "import { inspect } from 'util';"],
    ['a module of Node in profile, as a type', 'profile/a.ts', "import type { KeyObject } from 'node:crypto';"],
    ['a module of Node in the browser client', 'web/a.ts', "await import('node:fs');"],
    ['generated code for Node in the browser client', 'web/a.ts', "import { X } from '../gen/sealwire/v1/keys.js';"],
    ['keys of the browser client importing its calls', 'web/keys/a.ts', "import { x } from '../client.js';"],
    ['crypto of the browser client importing schema', 'web/crypto/a.ts', "import { x } from '../../schema/b.js';"],
    ['Buffer in a wing of the browser client', 'web/crypto/a.ts', "const bytes = Buffer.from('x');"],
    ['a transport of Connect in the browser client', 'web/a.ts', "import { x } from '@connectrpc/connect-web';"],
    ['Buffer in schema', 'schema/a.ts', "const bytes = Buffer.from('x');"],
    ['Buffer in profile, as a type', 'profile/a.ts', 'export type X = Map<string, Buffer>;'],
    ['process in schema', 'schema/a.ts', "process.emitWarning('x');"],
    ['proto-loader outside loader', 'schema/a.ts', "import type { Long } from '@grpc/proto-loader';"],
    ['codegen importing keys', 'codegen/a.ts', "import { x } from '../keys/b.js';"],
    ['errors importing anything', 'errors.ts', "import { x } from './jwe/b.js';"],
    ['generated services below the apps', 'server/a.ts', "import { x } from '../gen/p/v1/p_sealed.js';"],
    ['a generated service in the host', 'host/a.ts', "import { x } from '../gen/p/v1/p_sealed.js';"],
    ['the host importing an app', 'host/a.ts', "import type { X } from '../payments/app.js';"],
    ['the host importing the barrel', 'host/a.ts', "import { KeyRing } from '../index.js';"],
    ['an app importing keys', 'payments/app.ts', "import { KeyRing } from '../keys/ring.js';"],
    ['crypto in the payments handlers', 'payments/payments.ts', "import { randomUUID } from 'node:crypto';"],
    ['crypto without its scheme', 'payments/payments-import.ts', "import * as crypto from 'crypto';"],
    ['jwe in an app', 'payments/payments.ts', "import type { X } from '../jwe/token.js';"],
    ['the barrel in an app', 'payments/payments.ts', "import { KeyRing } from '../index.js';"],
    ['the runtime of generated code in a part', 'client/a.ts', "import { SealedClient } from '../runtime.js';"],
    ['audit in the root', 'index.ts', "export { AuditLog } from './audit/index.js';"],
    ['node-jose outside keys', 'jwe/a.ts', "import jose from 'node-jose';"],
    ['winston outside audit and host', 'server/a.ts', "import { createLogger } from 'winston';"],
    ['grpc-js in schema, as a type', 'schema/a.ts', "import type { Metadata } from '@grpc/grpc-js';"],
    ['protobuf in jwe, by a subpath', 'jwe/a.ts', "import { x } from '@bufbuild/protobuf/wire';"],
  ];
  for (const [name, path, text] of violations) {
    it(`refuses ${name}`, async () => {
      const { code, problems } = await check({ [path]: text });
      expect(code).to.equal(1);
      expect(problems).to.have.length(1);
      expect(problems[0]).to.match(new RegExp(`^${path}: `));
    });
  }

  it('refuses more than 20 files in one folder, wings not counted', async () => {
    const name = (index: number) => `jwe/f${index}.ts`;
    const most = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [name(index), '']));
    expect((await check({ ...most, 'jwe/wing/a.ts': '' })).problems).to.deep.equal([]);
    const { code, problems } = await check({ ...most, [name(20)]: '' });
    expect(code).to.equal(1);
    expect(problems).to.deep.equal(['jwe: 21 files; at most 20 in one folder']);
  });

  it('refuses files that import each other in a circle', async () => {
    const { code, problems } = await check({
      'jwe/a.ts': "import { b } from './b.js';",
      'jwe/b.ts': "import type { C } from './c.js';",
      'jwe/c.ts': "import { a } from './a.js';",
    });
    expect(code).to.equal(1);
    expect(problems).to.deep.equal(['cycle: jwe/a.ts → jwe/b.ts → jwe/c.ts → jwe/a.ts']);
  });

  it('accepts what the layout allows', async () => {
    const { code } = await check({
      'audit/write/a.ts': "import { peekHeader } from '../../jwe/header.js';\nimport winston from 'winston';",
      'schema/a.ts':
        "// Buffer, process.exit\n/* Buffer */ import { x } from '../profile/b.js';\nimport { y } from '../errors.js';",
      'loader/a.ts': "import { createRequire } from 'node:module';\nimport { x } from '../schema/a.js';",
      'host/b.ts': "import { x } from '../audit/write/a.js';",
      'payments/payments.ts':
        "import { tokenOf } from '../schema/opened.js';\nimport { y } from '../gen/p/v1/p_sealed.js';",
      'host/host.ts': "import { randomUUID } from 'node:crypto';\nimport { x } from '../keys/b.js';",
      'cli/c.ts': "import { x } from '../host/b.js';\nimport { Command } from 'commander';",
    });
    expect(code).to.equal(0);
  });
});
