/** Bundles the page of examples/browser-checkout, which the payments service serves, into dist/pages/checkout. */
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { root } from './setup.mjs';

const source = join(root, 'examples/browser-checkout');
const target = join(root, 'dist/pages/checkout');

await mkdir(target, { recursive: true });
await build({
  entryPoints: [join(source, 'src/checkout.ts'), join(source, 'checkout.css')],
  outdir: target,
  entryNames: '[name]',
  bundle: true,
  minify: true,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  // Runs under a policy that knows no eval, so a source map has no use here.
  sourcemap: false,
  legalComments: 'none',
  logLevel: 'warning',
});
for (const name of ['index.html', 'icon.svg']) await copyFile(join(source, name), join(target, name));
