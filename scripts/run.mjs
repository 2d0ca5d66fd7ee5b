/**
 * The entry of `npm start`, `npm test` and the other npm scripts: installs and compiles what is
 * missing, then runs. Plain Node, so that it works in a fresh clone.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { followNpm } from './follow-npm.mjs';
import { scripts, templates } from './generators.mjs';
import { root, run, say, setUp } from './setup.mjs';

/** A terminal that closes sends SIGHUP. */
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'];
const [task = '', ...args] = process.argv.slice(2);
const node = (script, ...rest) => run(process.execPath, [join(root, script), ...rest, ...args], { stdio: 'inherit' });

const tasks = {
  start,
  test: () => node('scripts/test.mjs'),
  soak: () => node('scripts/test.mjs', '--soak'),
  demo: () => node('scripts/demo.mjs'),
  bench: () => node('dist/bench/main.js'),
  build: async () => 0,
  generate,
};

if (!Object.hasOwn(tasks, task)) {
  say(`usage: node scripts/run.mjs ${Object.keys(tasks).join('|')} [ARGUMENTS]`);
  process.exit(2);
}
process.chdir(root);
let stopped = false;
followNpm(() => {
  if (stopped) return;
  stopped = true;
  process.kill(process.pid, 'SIGTERM');
});
for (const signal of SIGNALS) process.once(signal, onSignalDuringSetUp);
const failed = await setUp({ tolerateErrors: task === 'generate' });
for (const signal of SIGNALS) process.off(signal, onSignalDuringSetUp);
if (failed !== 0 || stopped) process.exit(failed || 143);
const code = await tasks[task]();
if (code !== undefined) process.exit(code);

function onSignalDuringSetUp() {
  stopped = true;
}

/**
 * The service runs in this very process: signals, exit code and stdout are its own, and there is no
 * second process to be left behind.
 */
async function start() {
  // Whoever asked npm to stop has perhaps told us too; a second signal would end us without draining.
  for (const signal of SIGNALS) process.once(signal, onSignalOfService);
  const main = join(root, 'dist/src/cli/main.js');
  process.argv = [process.execPath, main, 'serve', ...args];
  await import(pathToFileURL(main).href);
}

function onSignalOfService(signal) {
  stopped = true;
  // While the service's code is loaded nobody else listens, and the signal must not be lost.
  if (process.listenerCount(signal) === 0) process.exit(0);
}

async function generate() {
  const buf = join(root, 'node_modules/@bufbuild/buf/bin/buf');
  for (const template of templates) {
    const code = await run(process.execPath, [buf, 'generate', '--template', template], { stdio: 'inherit' });
    if (code !== 0) return code;
  }
  for (const script of scripts) {
    const code = await run(process.execPath, [join(root, 'scripts', script)], { stdio: 'inherit' });
    if (code !== 0) return code;
  }
  return setUp();
}
