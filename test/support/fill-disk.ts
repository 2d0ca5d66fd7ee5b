/** Fills the disk under the real service's log, and makes room again, while calls go on. */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeHealthClient, untilHealth } from './health.js';
import { findUnrecorded, PaymentsLoad, readRecords } from './payments-load.js';
import { scrape, sum } from './prometheus.js';
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
const SERVICE = 'payments.v1.PaymentService';

/** Leaves the calling test or suite pending, with the reason, where no file system can be mounted. */
export function requireMount(context: Mocha.Context): void {
  if (process.platform === 'linux' && process.getuid?.() === 0) return;
  const runnable = context.test ?? context.currentTest;
  if (runnable) runnable.title += ' (needs root on Linux, to mount a tmpfs)';
  context.skip();
}

/** Fills the disk while nobody calls. @returns what health was, and the events of the log */
export async function fillUnderHealth(): Promise<{ readonly health: readonly string[]; readonly events: string[] }> {
  return withFullableDisk(async (dir, filler) => {
    const service = await startServiceProcess({ dir, config: { logLevel: 'error' } });
    const health = makeHealthClient(service.address);
    const load = new PaymentsLoad(service.client, 'order');
    const seen = [await untilHealth(health, SERVICE, 'SERVING')];
    fill(filler);
    // Nobody called yet.
    seen.push(await untilHealth(health, SERVICE, 'NOT_SERVING'));
    load.start(1, true);
    await load.until(({ failures }) => failures.length > 0);
    await load.stop();
    seen.push(await untilHealth(health, SERVICE, 'NOT_SERVING'));
    rmSync(filler);
    // Nobody calls: the service must find out by itself.
    seen.push(await untilHealth(health, SERVICE, 'SERVING'));
    health.close();
    await stopServiceProcess(service);
    return { health: seen, events: readRecords(dir).map(({ event }) => event) };
  });
}

/** What became of a copy whose disk was full. */
export interface CopyResult {
  readonly failures: readonly string[];
  /** Lines of the log, up to the last that the copy has. */
  readonly lines: readonly string[];
  readonly copied: readonly string[];
  /** Counted by the service, while the disk was full and afterwards. */
  readonly lost: readonly { readonly failed: number; readonly dropped: number }[];
  readonly logged: string;
}

/** Fills the disk of a file that gets copies of the records, for longer than these can wait, and makes room again. */
export async function fillUnderCopy(): Promise<CopyResult> {
  return withFullableDisk(async (dir, filler) => {
    const filename = join(dir, 'copy', 'audit.log');
    const service = await startServiceProcess({
      dir,
      config: { audit: { transports: [{ transport: 'file', options: { filename } }] } },
    });
    const readLost = async () => {
      const [, metrics = ''] = /metrics on http:\/\/(\S+)\/metrics/.exec(service.running.stderr()) ?? [];
      const { samples } = await scrape(metrics);
      const count = (why: string) => sum(samples, 'sealwire_audit_fan_out_lost_total', `why="${why}"`);
      return { failed: count('failed'), dropped: count('dropped') };
    };
    const load = new PaymentsLoad(service.client, 'order');
    load.start(16);
    await load.until(({ acknowledged }) => acknowledged.length >= 50);
    fill(filler);
    await load.until(({ acknowledged }) => acknowledged.length >= 1_400);
    const lost = [await readLost()];
    rmSync(filler);
    // Some of the latest are copied: nothing is left in the queue that would push others out.
    await load.until(({ acknowledged }) => {
      if (acknowledged.length % 50 > 0) return false;
      const text = readFileSync(filename, 'utf8');
      return acknowledged.slice(-200).some((order) => text.includes(`"${order}"`));
    });
    await load.stop();
    lost.push(await readLost());
    await stopServiceProcess(service);
    const copied = readFileSync(filename, 'utf8').split('\n').slice(0, -1);
    const lines = readRecords(dir).map((record) => JSON.stringify(record));
    const end = lines.indexOf(copied.at(-1) as string) + 1;
    const logged = service.running.stderr();
    return { failures: load.failures, lines: lines.slice(0, end), copied, lost, logged };
  }, 'copy');
}

/** @param cycles how often the disk is filled and freed */
export async function fillRepeatedly(cycles: number): Promise<FillResult> {
  return withFullableDisk(async (dir, filler) => {
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
      fill(filler);
      const failed = load.failures.length;
      await load.until((seen) => seen.failures.length >= failed + 100);
      rmSync(filler);
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
  });
}

/** @param use gets the service's folder, and the file that fills the disk of its audit log, or of `copy` beside it */
async function withFullableDisk<T>(
  use: (dir: string, filler: string) => Promise<T>,
  folder: 'audit' | 'copy' = 'audit',
): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'sealwire-full-'));
  const disk = join(dir, folder);
  await mkdir(disk, { mode: 0o700 });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE},mode=0700`, 'tmpfs', disk]);
  try {
    return await use(dir, join(disk, 'filler'));
  } finally {
    execFileSync('umount', ['-l', disk]);
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
