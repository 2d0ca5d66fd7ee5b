/**
 * Runs the compiled tests and says briefly what happened: one line per file, every failure in full,
 * what was skipped, and `N passed, N failed, N skipped` last.
 *
 * Usage: node scripts/test.mjs [--soak] [--grep TEXT] [--without PATTERN] [PART-OF-A-FILE-NAME …]
 *
 * `--soak` runs the long fault and load runs (`*.soak.ts`), whose short forms are among the tests.
 */
import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import Mocha from 'mocha';
import { root } from './setup.mjs';

const { Base } = Mocha.reporters;
const { EVENT_SUITE_BEGIN, EVENT_TEST_PASS, EVENT_TEST_FAIL, EVENT_TEST_PENDING } = Mocha.Runner.constants;
const testRoot = join(root, 'dist/test');

function say(text) {
  process.stdout.write(`${text}\n`);
}

/** Prints a file's counts as soon as the next file begins. */
class BriefReporter extends Base {
  #file;
  #failed = [];
  #skipped = [];
  #passed = 0;

  constructor(runner, options) {
    super(runner, options);
    runner.on(EVENT_SUITE_BEGIN, ({ file }) => this.#begin(file));
    runner.on(EVENT_TEST_PASS, () => this.#passed++);
    runner.on(EVENT_TEST_PENDING, (test) => this.#skipped.push(test));
    // Hooks that fail come here as well.
    runner.on(EVENT_TEST_FAIL, (test, error) => {
      test.err = error;
      this.#failed.push(test);
    });
  }

  #begin(file) {
    if (file === undefined || file === this.#file?.path) return;
    this.#endFile();
    this.#file = { path: file, begun: Date.now(), ...this.#counts() };
  }

  #counts() {
    return { passed: this.#passed, failed: this.#failed.length, skipped: this.#skipped.length };
  }

  #endFile() {
    if (this.#file === undefined) return;
    const { path, begun, ...before } = this.#file;
    const counts = Object.entries(this.#counts()).map(([name, count]) => [name, count - before[name]]);
    const said = counts
      .filter(([name, count]) => name === 'passed' || count > 0)
      .map(([name, count]) => `${count} ${name}`);
    const isFailed = this.#failed.length > before.failed;
    say(`${isFailed ? '✗' : '✓'} ${relative(testRoot, path)}: ${said.join(', ')} (${Date.now() - begun} ms)`);
  }

  /** Called by mocha in place of its own end. */
  done(failures, end) {
    this.#endFile();
    for (const test of this.#skipped) say(`skipped: ${test.fullTitle()}`);
    if (this.#failed.length > 0) Base.list(this.#failed);
    const { passed, failed, skipped } = this.#counts();
    say(`${passed} passed, ${failed} failed, ${skipped} skipped`);
    end(failures);
  }
}

const { values, positionals } = parseArgs({
  options: { grep: { type: 'string' }, without: { type: 'string' }, soak: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const ending = values.soak ? '.soak.js' : '.test.js';
const timeout = values.soak ? 3_600_000 : 20_000;
const files = (await readdir(testRoot, { recursive: true }))
  .filter((file) => file.endsWith(ending))
  .filter((file) => values.without === undefined || !new RegExp(values.without).test(file))
  .filter((file) => positionals.length === 0 || positionals.some((part) => file.includes(part)))
  .sort();
if (files.length === 0) {
  say('no test file matches');
  process.exit(2);
}
process.chdir(root);
const mocha = new Mocha({ reporter: BriefReporter, timeout, ...(values.grep && { grep: values.grep }) });
for (const file of files) mocha.addFile(join(testRoot, file));
await mocha.loadFilesAsync();
mocha.run((failures) => process.exit(failures > 0 ? 1 : 0));
