/** Kills the real service under load, again and again, on one folder. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findUnrecorded, PaymentsLoad, readRecords } from './payments-load.js';
import { startServiceProcess, verifyServiceLog } from './service-process.js';

/** What was left in the end. */
export interface KillResult {
  readonly acknowledged: number;
  readonly unrecorded: readonly string[];
  /** Sequence numbers that are not the place of their line. */
  readonly misnumbered: number;
  /** What `verify` found, after any of the restarts. */
  readonly findings: readonly string[];
  /** Records that tell of a repair. */
  readonly recoveries: number;
}

/** Small segments and many checkpoints, so that kills hit those too. */
const AUDIT = { segmentBytes: 200_000, checkpointRecords: 40, checkpointMs: 50 };

/** @param kills how often; between 0 and 150 calls are acknowledged before each */
export async function killRepeatedly(kills: number): Promise<KillResult> {
  const dir = await mkdtemp(join(tmpdir(), 'sealwire-kill-'));
  const acknowledged: string[] = [];
  const findings: string[] = [];
  try {
    for (let kill = 0; kill <= kills; kill++) {
      const service = await startServiceProcess({ dir, config: { audit: AUDIT, logLevel: 'error' } });
      findings.push(...verifyServiceLog(dir).findings.map((finding) => JSON.stringify(finding)));
      const load = new PaymentsLoad(service.client, `order-${kill}`);
      load.start(32, true);
      const enough = (kill * 37) % 151;
      await load.until((seen) => seen.acknowledged.length >= enough || seen.failures.length > 0);
      service.running.child.kill('SIGKILL');
      await service.running.ended;
      await load.stop();
      service.client.close();
      acknowledged.push(...load.acknowledged);
    }
    const records = readRecords(dir);
    return {
      acknowledged: acknowledged.length,
      unrecorded: findUnrecorded(records, acknowledged),
      misnumbered: records.filter(({ seq }, index) => seq !== index).length,
      findings,
      recoveries: records.filter(({ event }) => event === 'recover').length,
    };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
