/**
 * Other lines of Node than the one that runs this. The binaries come from the npm packages `node-PLATFORM-ARCH` and are
 * kept in `.cache/nodes`.
 *
 * Usage: node scripts/other-node.mjs LINE: prints the path of a binary of that line
 */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root, run, say } from './setup.mjs';

/** @returns the path of a binary of that line, installed if it is missing; ends the process when it cannot be */
export async function findNode(line) {
  const name = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;
  const folder = join(root, '.cache/nodes', line);
  const binary = join(folder, 'node_modules', name, 'bin/node');
  if (existsSync(binary)) return binary;
  say(`installing Node ${line}`);
  mkdirSync(folder, { recursive: true });
  const flags = ['--prefix', folder, '--no-save', '--no-audit', '--no-fund', '--loglevel=error'];
  const code = await run('npm', ['install', ...flags, `${name}@${line}`], { cwd: folder });
  if (code === 0 && existsSync(binary)) return binary;
  say(`Node ${line} could not be installed: npm package ${name}`);
  process.exit(3);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) console.log(await findNode(process.argv[2]));
