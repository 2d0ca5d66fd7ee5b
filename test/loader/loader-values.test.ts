import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { buildSync } from 'esbuild';

describe('scalarToLoader in a bundle of CommonJS', () => {
  it("gives proto-loader's own Long, of the package beside the program", () => {
    const dir = mkdtempSync(join(tmpdir(), 'sealwire-long-'));
    try {
      const contents = `import { Long } from '@grpc/proto-loader';
        import { scalarToLoader } from './dist/src/loader/loader-values.js';
        const value = scalarToLoader(3, -5n, { longs: 'long' });
        console.log(value.constructor === Long, String(value));`;
      const outfile = join(dir, 'main.cjs');
      const external = ['@grpc/proto-loader'];
      const stdin = { contents, resolveDir: resolve('.') };
      buildSync({ stdin, bundle: true, platform: 'node', format: 'cjs', logLevel: 'error', external, outfile });
      mkdirSync(join(dir, 'node_modules/@grpc'), { recursive: true });
      symlinkSync(resolve('node_modules/@grpc/proto-loader'), join(dir, 'node_modules/@grpc/proto-loader'));
      expect(execFileSync(process.execPath, [outfile], { encoding: 'utf8' })).to.equal('true -5\n');
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
