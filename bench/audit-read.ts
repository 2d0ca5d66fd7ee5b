/** Verifying and searching an audit log, as processes, against `grep` and `jq` over the same file. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeSampleLog } from '../test/support/sample-log.js';
import { type Summary, summarize } from './stats.js';

const RECORDS = 100_000;
const ROUNDS = 3;
const MAIN = 'dist/src/cli/main.js';

/** What was measured. */
export interface AuditReadResults {
  readonly records: number;
  readonly bytesPerRecord: number;
  /** Records per second by what was run; processes with their start and end. */
  readonly recordsPerSecond: Readonly<Record<string, Summary>>;
}

/** Runs everything over one log, in turns. */
export async function benchAuditRead(): Promise<AuditReadResults> {
  const root = await mkdtemp(join(tmpdir(), 'sealwire-bench-'));
  try {
    const dir = join(root, 'audit');
    const { bytes, lines } = writeSampleLog(dir, RECORDS);
    const audit = (...args: string[]) => [process.execPath, MAIN, 'audit', ...args, '--dir', dir];
    const commands: Record<string, readonly string[]> = {
      'sealwire audit verify': audit('verify'),
      'sealwire audit search, one order': audit('search', '--bound', 'order_id=o-77777', '--format', 'jsonl'),
      'sealwire audit search, 1 of 7 principals': audit('search', '--principal', 'shop-3', '--format', 'jsonl'),
      'sealwire audit stats': audit('stats'),
      'grep, one order': ['grep', '-F', '"o-77777"', lines],
    };
    if (spawnSync('jq', ['--version']).status === 0) {
      commands['jq, one order'] = ['jq', '-c', 'select(any(.fields[].bound[]; .[1] == "o-77777"))', lines];
      commands['jq, 1 of 7 principals'] = ['jq', '-c', 'select(.principal == "shop-3")', lines];
    }
    const rates = new Map<string, number[]>();
    for (let round = 0; round < ROUNDS; round++) {
      for (const [name, command] of Object.entries(commands)) {
        const seconds = await timeOf(command);
        rates.set(name, [...(rates.get(name) ?? []), RECORDS / seconds]);
      }
    }
    const recordsPerSecond = Object.fromEntries([...rates].map(([name, values]) => [name, summarize(values)]));
    return { records: RECORDS, bytesPerRecord: bytes / RECORDS, recordsPerSecond };
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** Seconds from start to exit, its output read and dropped. */
async function timeOf([command = '', ...args]: readonly string[]): Promise<number> {
  const startedAt = performance.now();
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  child.stdout.resume();
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}`);
  return (performance.now() - startedAt) / 1000;
}
