/**
 * What attackers and honest callers of a flood run are: modules that export `work`, each run in a process of its own
 * (floods-process.ts). A new kind of attack is a module `floods-NAME.ts` and its name in a call of `runFlood`.
 */
import { credentials, InterceptingCall, type Interceptor, status } from '@grpc/grpc-js';
import { SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import { SealingSessions } from '../../src/jwe/sender.js';
import { fileKeySource } from '../../src/keys/key-source.js';

/** The service under attack. It believes the header `x-sealwire-caller`, so that one machine can be many callers. */
export interface FloodTarget {
  readonly address: string;
  /** JWK Set with its public keys. */
  readonly publicKeys: string;
}

/**
 * Says `report.begin()` when it is prepared, calls until `stop` is aborted, and reports. What it throws ends the run.
 */
export type FloodWork = (target: FloodTarget, stop: AbortSignal, report: FloodReport) => Promise<void>;

/** What a process saw since it was last asked. */
export interface FloodFigures {
  /** By name: `OK`, names of statuses, whatever the work counts. */
  readonly counts: Readonly<Record<string, number>>;
  /** Of the calls that were timed, in ms; 0 without any. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly cpuMs: number;
}

/** Where work tells what happened. */
export class FloodReport {
  #counts: Record<string, number> = {};
  #times: number[] = [];
  #cpu = process.cpuUsage();

  /** @param begin told when the work is prepared and calls begin */
  constructor(readonly begin: () => void) {}

  count(name: string, by = 1): void {
    this.#counts[name] = (this.#counts[name] ?? 0) + by;
  }

  /** Times and counts one call, by its status. Its failure is not thrown. */
  async time(call: () => Promise<unknown>): Promise<void> {
    const startedAt = performance.now();
    try {
      await call();
      this.#times.push(performance.now() - startedAt);
      this.count('OK');
    } catch (error) {
      this.count(status[(error as { code: status }).code] ?? String(error));
    }
  }

  /** @returns the figures so far, and begins anew */
  take(): FloodFigures {
    const times = this.#times.sort((a, b) => a - b);
    const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
    const { user, system } = process.cpuUsage(this.#cpu);
    const figures = {
      counts: this.#counts,
      p50: at(0.5),
      p99: at(0.99),
      max: at(1),
      cpuMs: (user + system) / 1_000,
    };
    this.#counts = {};
    this.#times = [];
    this.#cpu = process.cpuUsage();
    return figures;
  }
}

let share = Number.POSITIVE_INFINITY;
let since = { at: 0, cpu: process.cpuUsage() };

/** From now on {@link afford} holds this process to that many cores. */
export function limitCpu(cores: number): void {
  share = cores;
  since = { at: performance.now(), cpu: process.cpuUsage() };
}

/** Waits while this process has used more CPU time than its share: attackers get as much as honest callers. */
export async function afford(): Promise<void> {
  for (;;) {
    const { user, system } = process.cpuUsage(since.cpu);
    const earlyMs = (user + system) / 1_000 / share - (performance.now() - since.at);
    if (earlyMs <= 0) return;
    await new Promise((resolve) => setTimeout(resolve, Math.ceil(earlyMs)));
  }
}

/**
 * Begins `perSecond` calls in each second until told to stop, whatever became of those before, but no more than `most`
 * at once. On a machine that cannot keep up, what is a second late is left out.
 */
export async function pace(perSecond: number, stop: AbortSignal, call: () => Promise<void>, most = 16): Promise<void> {
  let begun = performance.now();
  const running = new Set<Promise<void>>();
  for (let n = 0; !stop.aborted; n++) {
    const waitMs = begun + (n * 1_000) / perSecond - performance.now();
    if (waitMs < -1_000) begun -= waitMs;
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    if (running.size >= most) await Promise.race(running);
    await afford();
    const one: Promise<void> = call().finally(() => running.delete(one));
    running.add(one);
  }
  await Promise.all(running);
}

/** Names the caller as a trusted proxy would. */
export function nameCaller(name: () => string): Interceptor {
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start: (metadata, listener, next) => {
        metadata.set('x-sealwire-caller', name());
        next(metadata, listener);
      },
    });
}

/** A client of that name, with agreements of its own: its first call begins a session. */
export function createNamedClient({ address, publicKeys }: FloodTarget, name: string): SealedPaymentServiceClient {
  return new SealedPaymentServiceClient(address, credentials.createInsecure(), {
    keys: fileKeySource(publicKeys),
    sessions: new SealingSessions(),
    interceptors: [nameCaller(() => name)],
  });
}
