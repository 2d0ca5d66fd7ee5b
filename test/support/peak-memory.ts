/** How much memory a command took at most, as Linux counts it. */
import { readFileSync } from 'node:fs';
import { sealwire } from './command.js';

const LOOK_MS = 50;

/** What a command did. */
export interface MeasuredRun {
  readonly code: number | string;
  readonly stdout: string;
  /** Largest resident set, MiB. */
  readonly peakMiB: number;
}

/** Runs `sealwire` to its end. */
export async function measureSealwire(...args: string[]): Promise<MeasuredRun> {
  const running = sealwire(...args);
  let peakMiB = 0;
  const timer = setInterval(() => {
    try {
      const [, kib] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${running.child.pid}/status`, 'utf8')) ?? [];
      peakMiB = Math.max(peakMiB, Number(kib ?? 0) / 1024);
    } catch {
      // It has just ended.
    }
  }, LOOK_MS);
  const code = await running.ended;
  clearInterval(timer);
  return { code, stdout: running.stdout(), peakMiB };
}

/** Commands that read all of a log, with what their output holds. */
export const READERS: readonly (readonly [readonly string[], RegExp])[] = [
  [['verify'], /\nverified\n$/],
  [['search', '--bound', 'order_id=o-999', '--format', 'jsonl'], /^[^\n]+\n$/],
  [['search', '--principal', 'nobody'], /^$/],
  [['stats'], /^\d+ records\n/],
  [['tail'], /\n/],
  [['show', '40000'], /^seq/],
  [['prove', 'inclusion', '40000'], /^c2sp/],
];
