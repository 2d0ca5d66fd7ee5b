/** Takes the files of a token away from the real service while clients call it, and brings them back. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { errorDetails } from '../../src/client/client.js';
import { SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import { SealingSessions } from '../../src/jwe/sender.js';
import { fileKeySource } from '../../src/keys/key-source.js';
import { validRequest } from './harness.js';
import { makeHealthClient, untilHealth } from './health.js';
import { PaymentsLoad } from './payments-load.js';
import { startServiceProcess, stopServiceProcess } from './service-process.js';
import { type SoftToken, tokenConfig, writeTokenRing } from './softhsm.js';

/** What was seen. */
export interface TokenFaultsResult {
  /** What calls with a fresh agreement ended with while the token was away. */
  readonly freshReasons: readonly string[];
  /** Calls that went well while it was away, and statuses of those that did not, ever: their agreement was cached. */
  readonly cachedCalls: number;
  readonly cachedFailures: readonly string[];
  /** From bringing the files back to the first call with a fresh agreement, ms. */
  readonly slowestRecoveryMs: number;
  /** What such calls ended with meanwhile. */
  readonly recoveryReasons: readonly string[];
  /** What health was while the token was away, and after, in each round. */
  readonly healths: readonly string[];
  /** Exit code of the one process that served all the time. */
  readonly exitCode: number | string;
}

const CALLS_AWAY = 25;

/** @param rounds how often the token goes */
export async function breakTokenUnderLoad(token: SoftToken, rounds: number): Promise<TokenFaultsResult> {
  const dir = await mkdtemp(join(tmpdir(), 'sealwire-hsm-faults-'));
  const { kid } = await writeTokenRing(dir, token, { object: 'faults' });
  const rate = { perSecond: 1_000_000, burst: 1_000_000 };
  const env = { SOFTHSM2_CONF: process.env['SOFTHSM2_CONF'] };
  const config = { logLevel: 'warn', rate, ...(await tokenConfig(token)) } as const;
  const service = await startServiceProcess({ dir, env, config });
  const fresh = new FreshClient(service.address, dir, kid);
  // Its one agreement outlives the test: the service's cache has it from the first call on.
  const load = new PaymentsLoad(service.client, 'cached');
  const freshReasons = new Set<string>();
  const recoveryReasons = new Set<string>();
  const health = makeHealthClient(service.address);
  const healths: string[] = [];
  let cachedCalls = 0;
  let slowestRecoveryMs = 0;
  try {
    load.start(2);
    await load.until(({ acknowledged, failures }) => acknowledged.length > 5 || failures.length > 0);
    for (let round = 0; round < rounds; round++) {
      await fresh.callUntil('OK');
      await token.takeAway();
      // Both sessions have to notice.
      const before = load.acknowledged.length;
      for (let call = 0; call < 10; call++) freshReasons.add(await fresh.call());
      await load.until(
        ({ acknowledged, failures }) => acknowledged.length >= before + CALLS_AWAY || failures.length > 0,
      );
      freshReasons.add(await fresh.call());
      healths.push(await untilHealth(health, '', 'NOT_SERVING'));
      cachedCalls += load.acknowledged.length - before;
      await token.bringBack();
      const begun = performance.now();
      for (const reason of await fresh.callUntil('OK')) recoveryReasons.add(reason);
      healths.push(await untilHealth(health, '', 'SERVING'));
      slowestRecoveryMs = Math.max(slowestRecoveryMs, performance.now() - begun);
    }
    await load.stop();
    fresh.close();
    health.close();
    const exitCode = await stopServiceProcess(service);
    return {
      freshReasons: [...freshReasons],
      cachedCalls,
      cachedFailures: load.failures,
      slowestRecoveryMs: Math.round(slowestRecoveryMs),
      recoveryReasons: [...recoveryReasons],
      healths,
      exitCode,
    };
  } finally {
    service.running.child.kill('SIGKILL');
    await rm(dir, { recursive: true, force: true });
  }
}

/** Makes a new agreement for every call. */
class FreshClient {
  readonly #sessions = new SealingSessions();
  readonly #client: SealedPaymentServiceClient;
  readonly #kid: string;
  #sent = 0;

  constructor(address: string, dir: string, kid: string) {
    const keys = fileKeySource(join(dir, 'keys/public.jwks.json'));
    this.#client = new SealedPaymentServiceClient(address, credentials.createInsecure(), {
      keys,
      sessions: this.#sessions,
    });
    this.#kid = kid;
  }

  /** @returns `OK` or the reason of the failure */
  async call(): Promise<string> {
    this.#sessions.invalidate(this.#kid);
    try {
      await this.#client.authorize({ ...validRequest, orderId: `fresh-${this.#sent++}` });
      return 'OK';
    } catch (error) {
      return errorDetails(error)?.reason ?? (error as Error).message;
    }
  }

  /** @returns what calls ended with before */
  async callUntil(wanted: string): Promise<string[]> {
    const reasons: string[] = [];
    for (;;) {
      const reason = await this.call();
      if (reason === wanted) return reasons;
      reasons.push(reason);
    }
  }

  close(): void {
    this.#client.close();
    void this.#sessions.close();
  }
}
