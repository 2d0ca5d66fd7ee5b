/** All of docs/bundlers.md, and what it says of HSMs in single executables. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { buildSync } from 'esbuild';
import { describeBundlers } from '../support/bundlers.js';

describeBundlers();

describe('a single executable', () => {
  it('starts no HSM session, which would be itself again', function () {
    this.timeout(120_000);
    const dir = mkdtempSync(join(tmpdir(), 'sealwire-executable-'));
    try {
      const program = `import { Pkcs11Custody } from './dist/src/keys/pkcs11/index.js';
        const custody = new Pkcs11Custody({ modulePath: '/nonexistent.so', readPin: async () => '' });
        try { custody.add('kid', 'pkcs11:object=a'); } catch ({ code, message }) { console.log(code, message); }`;
      const stdin = { contents: program, resolveDir: resolve('.') };
      const outfile = join(dir, 'main.cjs');
      buildSync({ stdin, bundle: true, platform: 'node', format: 'cjs', logLevel: 'error', outfile });
      writeFileSync(join(dir, 'sea.json'), JSON.stringify({ main: 'main.cjs', output: 'blob' }));
      const run = (command: string, ...args: string[]) =>
        execFileSync(command, args, { cwd: dir, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
      run(process.execPath, '--experimental-sea-config', 'sea.json');
      copyFileSync(process.execPath, join(dir, 'app'));
      const fuse = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';
      run('npx', '--yes', 'postject@1.0.0-alpha.6', 'app', 'NODE_SEA_BLOB', 'blob', '--sentinel-fuse', fuse);
      expect(run(join(dir, 'app'))).to.match(/^OPTIONS_INVALID PKCS#11 needs Node: /);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
