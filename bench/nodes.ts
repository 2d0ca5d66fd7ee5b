/** The speed of tokens on several lines of Node, each in a process of its own, one after the other. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { TokenResults } from './tokens.js';

const run = promisify(execFile);
const MAIN = fileURLToPath(import.meta.resolve('./main.js'));
const FIND = 'scripts/other-node.mjs';

/** What one Node gave. */
export interface NodeResult {
  readonly node: string;
  readonly openssl: string;
  readonly tokens: TokenResults;
}

/** @param lines such as `24`; installed if they are missing. @returns one result for each, and first this Node's */
export async function benchNodes(lines: readonly string[]): Promise<NodeResult[]> {
  const results: NodeResult[] = [];
  for (const binary of [process.execPath, ...(await Promise.all(lines.map(findBinary)))]) {
    const { stdout } = await run(binary, [MAIN, '--tokens']);
    results.push(JSON.parse(stdout) as NodeResult);
  }
  return results;
}

async function findBinary(line: string): Promise<string> {
  return (await run(process.execPath, [FIND, line])).stdout.trim();
}
