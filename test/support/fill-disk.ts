/** Fills the disk under the real service's log, and makes room again, while calls go on. */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findUnrecorded, PaymentsLoad, readRecords } from './payments-load.js';
import { startServiceProcess, stopServiceProcess, verifyServiceLog } from './service-process.js';

/** What became of the calls. */
export interface FillResult {
  readonly acknowledged: number;
  /** Calls that failed, by status. */
  readonly failures: readonly string[];
  readonly unrecorded: readonly string[];
  readonly findings: readonly unknown[];
  readonly exitCode: number | string;
}

const SIZE = '16m';

/** Leaves the calling test or suite pending, with the reason, where no file system can be mounted. */
export function requireMount(context: Mocha.Context): void {
  if (process.platform === 'linux' && process.getuid?.() === 0) return;
  const runnable = context.test ?? context.currentTest;
  if (runnable) runnable.title += ' (needs root on Linux, to mount a tmpfs)';
  context.skip();
}

/** @param cycles how often the disk is filled and freed */
export async function fillRepeatedly(cycles: number): Promise<FillResult> {
  const dir = await mkdtemp(join(tmpdir(), 'sealwire-full-'));
  const audit = join(dir, 'audit');
  await mkdir(audit, { mode: 0o700 });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE},mode=0700`, 'tmpfs', audit]);
  try {
    const config = {
      audit: { segmentBytes: 100_000, checkpointRecords: 30, checkpointMs: 50 },
      logLevel: 'error',
    } as const;
    const service = await startServiceProcess({ dir, config });
    const load = new PaymentsLoad(service.client, 'order');
    load.start(8);
    for (let cycle = 0; cycle < cycles; cycle++) {
      const before = { acknowledged: load.acknowledged.length };
      await load.until((seen) => seen.acknowledged.length >= before.acknowledged + 60);
      fill(join(audit, 'filler'));
      const failed = load.failures.length;
      await load.until((seen) => seen.failures.length >= failed + 100);
      rmSync(join(audit, 'filler'));
    }
    const { length } = load.acknowledged;
    await load.until((seen) => seen.acknowledged.length >= length + 60);
    await load.stop();
    const exitCode = await stopServiceProcess(service);
    return {
      acknowledged: load.acknowledged.length,
      failures: [...new Set(load.failures)],
      unrecorded: findUnrecorded(readRecords(dir), load.acknowledged),
      findings: verifyServiceLog(dir).findings,
      exitCode,
    };
  } finally {
    execFileSync('umount', ['-l', audit]);
    await rm(dir, { recursive: true, force: true });
  }
}

function fill(path: string): void {
  const fd = openSync(path, 'w');
  try {
    for (let size = 1_048_576; size >= 1; size = size >> 1) {
      try {
        for (;;) writeSync(fd, Buffer.alloc(size));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
    }
  } finally {
    closeSync(fd);
  }
}
