/** How much a page loads. */
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { buildSync } from 'esbuild';

describe('the script of a page', () => {
  it('has at most 18 kB of sealwire/web, gzipped, beside Connect and protobuf-es', () => {
    const { outputFiles } = buildSync({
      entryPoints: ['dist/src/web/index.js'],
      bundle: true,
      minify: true,
      format: 'esm',
      platform: 'browser',
      target: 'es2022',
      charset: 'utf8',
      external: ['@bufbuild/*', '@connectrpc/*'],
      write: false,
    });
    const size = gzipSync(outputFiles[0]!.contents, { level: 9 }).length;
    expect(size).to.be.within(10_000, 18_000);
  });
});
