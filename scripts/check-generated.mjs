// Fails when generated code differs from what the protos, the generator and our programs give.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { scripts, templates } from './generators.mjs';

const copy = mkdtempSync(join(tmpdir(), 'sealwire-generated-'));
try {
  for (const name of ['proto', 'test/protos', 'buf.yaml', 'buf.gen.yaml', 'package.json'])
    cpSync(name, join(copy, name), { recursive: true });
  for (const name of ['node_modules', 'dist']) symlinkSync(resolve(name), join(copy, name));
  const run = (command, args, cwd) => spawnSync(command, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] }).status;
  const buf = resolve('node_modules/@bufbuild/buf/bin/buf');
  for (const template of templates) {
    if (run(process.execPath, [buf, 'generate', '--template', template], copy) !== 0) process.exit(1);
  }
  for (const script of scripts) {
    if (run(process.execPath, [resolve('scripts', script)], copy) !== 0) process.exit(1);
  }
  for (const output of ['src/gen', 'test/gen']) {
    if (run('diff', ['-r', '--brief', output, join(copy, output)], '.') !== 0) {
      console.error(`${output} is not up to date: run npm run generate`);
      process.exitCode = 1;
    }
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
