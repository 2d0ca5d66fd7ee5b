/**
 * Runs the compiled tests and says briefly what happened: one line per file, every failure in full,
 * what was skipped, and `N passed, N failed, N skipped` last.
 *
 * Usage: node scripts/test.mjs [--soak] [--jobs N] [--grep TEXT] [--without PATTERN] [PART-OF-A-FILE-NAME …]
 *
 * `--jobs` is how many files run at a time, each in a process of its own; by default as many as there are processors.
 * `--soak` runs the long fault and load runs (`*.soak.ts`), whose short forms are among the tests.
 */
import { readdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import Mocha from 'mocha';
import { root } from './setup.mjs';

const { Base } = Mocha.reporters;
const { EVENT_TEST_PASS, EVENT_TEST_FAIL, EVENT_TEST_PENDING } = Mocha.Runner.constants;
const testRoot = join(root, 'dist/test');

function say(text) {
  process.stdout.write(`${text}\n`);
}

/** Prints a file's counts as soon as the next file begins. Files that run side by side report one after the other. */
class BriefReporter extends Base {
  #file;
  #failed = [];
  #skipped = [];
  #passed = 0;

  constructor(runner, options) {
    super(runner, options);
    runner.on(EVENT_TEST_PASS, (test) => this.#count(test, 'passed'));
    runner.on(EVENT_TEST_PENDING, (test) => {
      this.#count(test, 'skipped');
      this.#skipped.push(test);
    });
    // Hooks that fail come here as well.
    runner.on(EVENT_TEST_FAIL, (test, error) => {
      test.err = error;
      this.#count(test, 'failed');
      this.#failed.push(test);
    });
  }

  #count({ file, duration = 0 }, outcome) {
    if (file !== this.#file?.path) {
      this.#endFile();
      this.#file = { path: file, passed: 0, failed: 0, skipped: 0, ms: 0 };
    }
    this.#file[outcome]++;
    this.#file.ms += duration;
    if (outcome === 'passed') this.#passed++;
  }

  #endFile() {
    if (this.#file === undefined) return;
    const { path, ms, ...counts } = this.#file;
    const said = Object.entries(counts)
      .filter(([name, count]) => name === 'passed' || count > 0)
      .map(([name, count]) => `${count} ${name}`);
    say(`${counts.failed > 0 ? '✗' : '✓'} ${relative(testRoot, path)}: ${said.join(', ')} (${ms} ms)`);
  }

  /** Called by mocha in place of its own end. */
  done(failures, end) {
    this.#endFile();
    for (const test of this.#skipped) say(`skipped: ${test.fullTitle()}`);
    if (this.#failed.length > 0) Base.list(this.#failed);
    say(`${this.#passed} passed, ${this.#failed.length} failed, ${this.#skipped.length} skipped`);
    end(failures);
  }
}

const { values, positionals } = parseArgs({
  options: {
    grep: { type: 'string' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    soak: { type: 'boolean', default: false },
    without: { type: 'string' },
  },
  allowPositionals: true,
});
const ending = values.soak ? '.soak.js' : '.test.js';
const jobs = Number(values.jobs);
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
const mocha = new Mocha({ reporter: BriefReporter, timeout, jobs, ...(values.grep && { grep: values.grep }) });
for (const file of files) mocha.addFile(join(testRoot, file));
if (files.length > 1 && jobs > 1 && !values.soak) mocha.parallelMode(true);
else await mocha.loadFilesAsync();
mocha.run((failures) => process.exit(failures > 0 ? 1 : 0));
