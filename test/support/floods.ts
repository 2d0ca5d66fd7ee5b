/** Honest callers of a real service, first alone and then under attack, all in processes of their own. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HostConfigInput } from '../../src/host/config.js';
import { startWork } from './floods-process.js';
import type { FloodFigures, FloodTarget } from './floods-work.js';
import { startServiceProcess, stopServiceProcess, verifyServiceLog } from './service-process.js';

/** Options of {@link runFlood}. */
export interface FloodOptions {
  /** Names of attack modules, `floods-NAME.ts`; each is a process. */
  readonly attacks: readonly string[];
  /** How long each of the two phases is measured. */
  readonly seconds: number;
  readonly config?: HostConfigInput;
  /** Prepares the service's folder before it starts. @returns more configuration */
  readonly prepare?: (dir: string) => Promise<HostConfigInput>;
}

/** The honest callers of one phase. */
export interface HonestFigures {
  readonly warm: FloodFigures;
  readonly newSessions: FloodFigures;
  /** Calls that did not end well. */
  readonly refused: number;
  /** The service's memory at the end of the phase, and its CPU time in it. */
  readonly rssMiB: number;
  readonly serviceCpuMs: number;
}

/** What was seen. */
export interface FloodRun {
  readonly alone: HonestFigures;
  readonly attacked: HonestFigures;
  /** By name of the attack. */
  readonly attacks: Readonly<Record<string, FloodFigures>>;
  readonly findings: readonly unknown[];
  readonly exitCode: unknown;
}

/** Before a phase counts: connections, first sessions, compilers; a short run settles for as long as it measures. */
const SETTLE_SECONDS = 3;

/** Each phase is measured in parts, and the middle one counts: one pause of the machine decides nothing. */
const PARTS = 5;

/** Measures the honest callers alone and under attack, in one run. */
export async function runFlood(options: FloodOptions): Promise<FloodRun> {
  const { attacks, seconds, config, prepare } = options;
  const dir = mkdtempSync(join(tmpdir(), 'sealwire-flood-'));
  const prepared = await prepare?.(dir);
  const base: HostConfigInput = { logLevel: 'error', trustedProxies: ['127.0.0.1'] };
  const service = await startServiceProcess({ dir, config: { ...base, ...config, ...prepared } });
  const target: FloodTarget = { address: service.address, publicKeys: join(dir, 'keys/public.jwks.json') };
  const pid = service.running.child.pid as number;
  try {
    const [warm, newSessions] = await Promise.all([startWork('warm', target), startWork('new-sessions', target)]);
    const measure = async (): Promise<HonestFigures> => {
      await sleep(Math.min(SETTLE_SECONDS, seconds) * 1_000);
      await Promise.all([warm.take(), newSessions.take()]);
      const cpuBefore = readCpuMs(pid);
      const parts: (readonly [FloodFigures, FloodFigures])[] = [];
      for (let n = 0; n < PARTS; n++) {
        await sleep((seconds * 1_000) / PARTS);
        parts.push(await Promise.all([warm.take(), newSessions.take()]));
      }
      const [warmFigures, newFigures] = [middle(parts.map(([of]) => of)), middle(parts.map(([, of]) => of))];
      return {
        warm: warmFigures,
        newSessions: newFigures,
        refused: failures(warmFigures) + failures(newFigures),
        rssMiB: readRssMiB(pid),
        serviceCpuMs: readCpuMs(pid) - cpuBefore,
      };
    };
    const alone = await measure();
    const cores = (alone.warm.cpuMs + alone.newSessions.cpuMs) / (seconds * 1_000) / attacks.length;
    const attackers = await Promise.all(attacks.map((name) => startWork(name, target, cores)));
    const attacked = await measure();
    const figures: Record<string, FloodFigures> = {};
    for (const [index, attacker] of attackers.entries()) figures[attacks[index] as string] = await attacker.take();
    await Promise.all([...attackers, warm, newSessions].map((each) => each.stop()));
    const exitCode = await stopServiceProcess(service);
    return { alone, attacked, attacks: figures, findings: verifyServiceLog(dir).findings, exitCode };
  } finally {
    service.running.child.kill('SIGKILL');
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Lines of figures for people: times are medians of parts, `max` is the longest of all. */
export function describeFlood({ alone, attacked, attacks }: FloodRun): string {
  const ms = (value: number) => value.toFixed(1);
  const honest = (name: string, { warm, newSessions, refused, rssMiB, serviceCpuMs }: HonestFigures) =>
    `${name}: warm p50 ${ms(warm.p50)} p99 ${ms(warm.p99)} max ${ms(warm.max)} ms of ${warm.counts['OK'] ?? 0}, ` +
    `new sessions p50 ${ms(newSessions.p50)} p99 ${ms(newSessions.p99)} max ${ms(newSessions.max)} ms of ` +
    `${newSessions.counts['OK'] ?? 0}, refused ${refused}, ` +
    `service ${rssMiB.toFixed(0)} MiB, CPU ${ms(serviceCpuMs)} ms, theirs ${ms(warm.cpuMs + newSessions.cpuMs)} ms`;
  const rest = Object.entries(attacks).map(
    ([name, { counts, cpuMs }]) => `${name}: ${JSON.stringify(counts)}, CPU ${ms(cpuMs)} ms`,
  );
  return [honest('alone', alone), honest('attacked', attacked), ...rest].join('\n');
}

/** The sums of the counts and CPU times of parts, and the medians of their times. */
function middle(parts: readonly FloodFigures[]): FloodFigures {
  const counts: Record<string, number> = {};
  for (const part of parts) {
    for (const [name, count] of Object.entries(part.counts)) counts[name] = (counts[name] ?? 0) + count;
  }
  const median = (of: 'p50' | 'p99') => parts.map((part) => part[of]).sort((a, b) => a - b)[parts.length >> 1] ?? 0;
  return {
    counts,
    p50: median('p50'),
    p99: median('p99'),
    max: Math.max(...parts.map(({ max }) => max)),
    cpuMs: parts.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
  };
}

function failures({ counts }: FloodFigures): number {
  return Object.entries(counts).reduce((sum, [name, count]) => (name === 'OK' ? sum : sum + count), 0);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** 0 where there is no /proc. */
function readRssMiB(pid: number): number {
  const [, kB = '0'] = /^VmRSS:\s+(\d+) kB$/m.exec(readProc(pid, 'status')) ?? [];
  return Number(kB) / 1_024;
}

/** In ticks of 10 ms, as Linux tells it. */
function readCpuMs(pid: number): number {
  const fields = readProc(pid, 'stat')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * 10;
}

function readProc(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return '';
  }
}
