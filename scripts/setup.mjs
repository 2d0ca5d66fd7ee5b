/** Brings a clone into a state in which things run: packages installed, sources compiled. Plain Node, no packages. */
import { spawn } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The project's folder. */
export const root = fileURLToPath(new URL('..', import.meta.url));

const SOURCES = ['src', 'test', 'bench'];
const BINARIES = ['dist/src/cli/main.js', 'dist/src/codegen/main.js'];
const STAMP = join(root, 'dist/.built');
const LOCK = join(root, '.cache/setup.lock');

/** Progress goes to stderr: stdout belongs to the program that is run. */
export function say(text) {
  process.stderr.write(`${text}\n`);
}

/**
 * Runs a program to its end, its stdout sent to our stderr unless `stdio` says otherwise.
 *
 * @returns its exit code; 128 + n for signal n as shells do
 */
export function run(command, args, { stdio = ['ignore', 2, 2], env = process.env, cwd = root } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio, env, cwd });
    const forward = (signal) => child.kill(signal);
    process.on('SIGTERM', forward).on('SIGINT', forward);
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      process.off('SIGTERM', forward).off('SIGINT', forward);
      resolve(code ?? (signal === 'SIGINT' ? 130 : 143));
    });
  });
}

/** Installs with `npm ci` if needed, then compiles if needed; one process at a time. @returns exit code */
export async function setUp({ tolerateErrors = false } = {}) {
  const unlock = await lock();
  try {
    if (!(await isInstalled())) {
      say('installing packages (npm ci)');
      const npm = process.env['npm_execpath']?.endsWith('.js')
        ? [process.execPath, process.env['npm_execpath']]
        : ['npm'];
      const [command, ...args] = [...npm, 'ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
      const code = await run(command, args);
      if (code !== 0) return code;
    }
    return await build(tolerateErrors);
  } finally {
    await unlock();
  }
}

/** Whether what is installed is what the lock file says. npm keeps its own record in a hidden lock file. */
async function isInstalled() {
  const [wanted, found] = await Promise.all([
    readFile(join(root, 'package-lock.json'), 'utf8').then(JSON.parse),
    readFile(join(root, 'node_modules/.package-lock.json'), 'utf8').then(JSON.parse, () => undefined),
  ]);
  if (found === undefined) return false;
  return Object.entries(wanted.packages).every(([path, { version, optional }]) => {
    if (path === '') return true;
    const installed = found.packages[path];
    return installed === undefined ? optional === true : installed.version === version;
  });
}

async function build(tolerateErrors) {
  const builtAt = await modifiedAt(STAMP);
  const sources = (await Promise.all(SOURCES.map((folder) => listFiles(join(root, folder))))).flat();
  const page = await listFiles(join(root, 'examples/browser-checkout'));
  const inputs = [...sources, ...page, join(root, 'tsconfig.json'), join(root, 'package-lock.json')];
  const times = await Promise.all(inputs.map(modifiedAt));
  const isFresh = times.every((time) => time < builtAt) && (await countSources()) === sources.length;
  if (isFresh) return 0;
  say('compiling');
  const startedAt = new Date();
  const compiler = join(root, 'node_modules/typescript-7/bin/tsc');
  let code = await run(process.execPath, [compiler, '-p', 'tsconfig.json']);
  await removeStale();
  // The page is made of what was just compiled.
  if (code === 0) code = await run(process.execPath, [compiler, '-p', 'examples/browser-checkout']);
  if (code === 0) code = await run(process.execPath, [join(root, 'scripts/build-checkout.mjs')]);
  for (const binary of BINARIES) await chmod(join(root, binary), 0o755).catch(() => {});
  if (code !== 0) {
    await rm(STAMP, { force: true });
    return tolerateErrors ? 0 : code;
  }
  await writeFile(STAMP, `${sources.length}\n`);
  await utimes(STAMP, startedAt, startedAt);
  return 0;
}

/** How many sources the last build had: a deleted file is a change too. */
async function countSources() {
  return Number(await readFile(STAMP, 'utf8').catch(() => '-1'));
}

/** tsc leaves the output of deleted sources behind, and a stale test would still run. */
async function removeStale() {
  for (const folder of SOURCES) {
    for (const file of await listFiles(join(root, 'dist', folder))) {
      const output = /\.(js|d\.ts|js\.map)$/;
      const source = join(root, file.slice(join(root, 'dist').length)).replace(output, '.ts');
      if (output.test(file) && (await modifiedAt(source)) === -1) await rm(file);
    }
  }
}

async function listFiles(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** ms since 1970; -1 when there is no such file. */
async function modifiedAt(path) {
  return stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => -1,
  );
}

/** `npm start` and `npm run demo` may be started at the same moment in a fresh clone. */
async function lock() {
  await mkdir(join(root, '.cache'), { recursive: true });
  for (let waited = 0; ; waited++) {
    try {
      await writeFile(LOCK, String(process.pid), { flag: 'wx' });
      return () => rm(LOCK, { force: true });
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (!isAlive(Number(await readFile(LOCK, 'utf8').catch(() => '')))) {
      await rm(LOCK, { force: true });
      continue;
    }
    if (waited === 0) say('waiting for another process that installs or compiles');
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

function isAlive(pid) {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
