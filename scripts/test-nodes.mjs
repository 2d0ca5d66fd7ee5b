/**
 * Runs tests on other lines of Node than the one that runs this: the fast part and e2e, on 22, 24 and 26.
 *
 * Usage: node scripts/test-nodes.mjs [--node LINE]… [--all] [--install] [PART-OF-A-FILE-NAME …]
 *
 * `--all` runs the whole suite on each line; `--install` only installs the lines.
 */
import { spawn } from 'node:child_process';
import { delimiter, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { findNode } from './other-node.mjs';
import { root, say, setUp } from './setup.mjs';

const LINES = ['22', '24', '26'];
/**
 * What takes longest and depends least on the line of Node: compilers, other programs, long runs, and the command line,
 * whose parts have tests of their own.
 */
const SLOW_FOLDERS = 'audit cli codegen files host/audit keys/pkcs11 package payments profile scripts'.split(' ');
const SLOW_E2E = (
  'audit browser curl debugging floods held hostile-schema hsm other-libraries own-service package process replay ' +
  'reviewer rotation security-table streams two-writers verify'
).split(' ');
const SLOW_FILES = (
  'web/in-page web/size keys/encryption server/replay/memory host/certificates host/live-keys host/signed-key-set ' +
  'sender-memory'
).split(' ');
/** Whole calls in every form: on the newest line only, as what breaks on one between breaks there. */
const ON_NEWEST = '^e2e/(?:matrix|hostile-keys|runtime-plans|swap|leak|presence)';
const SLOW = `^(?:${SLOW_FOLDERS.join('|')})/|^e2e/.*(?:${SLOW_E2E.join('|')})|${SLOW_FILES.join('|')}`;

const { values, positionals } = parseArgs({
  options: {
    node: { type: 'string', multiple: true, default: LINES },
    all: { type: 'boolean', default: false },
    install: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});
if (values.install) {
  await Promise.all(values.node.map(findNode));
  process.exit();
}
const failed = await setUp();
if (failed !== 0) process.exit(failed);

const totals = { passed: 0, failed: 0, skipped: 0 };
for (const line of values.node) {
  const binary = await findNode(line);
  const counts = await test(line, binary);
  for (const name of Object.keys(totals)) totals[name] += counts[name];
}
say(`Node ${values.node.join(', ')}: ${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exit(totals.failed > 0 ? 1 : 0);

/** @returns the counts of the runner's last line; a run without one counts as a failure */
async function test(line, binary) {
  const parts =
    positionals.length > 0 || values.all
      ? positionals
      : ['--without', line === LINES.at(-1) ? SLOW : `${SLOW}|${ON_NEWEST}`];
  const env = { ...process.env, PATH: `${dirname(binary)}${delimiter}${process.env['PATH']}` };
  say(`== Node ${line}`);
  const child = spawn(binary, [join(root, 'scripts/test.mjs'), ...parts], {
    cwd: root,
    env,
    stdio: ['ignore', 'pipe', 2],
  });
  let last = '';
  child.stdout.on('data', (chunk) => {
    process.stderr.write(chunk);
    last = (last + chunk).slice(-2_000);
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  const [, passed, broken, skipped] = /(\d+) passed, (\d+) failed, (\d+) skipped\s*$/.exec(last) ?? [];
  if (passed === undefined) return { passed: 0, failed: 1, skipped: 0 };
  return { passed: Number(passed), failed: Math.max(Number(broken), code === 0 ? 0 : 1), skipped: Number(skipped) };
}
