/** Runs the work of a flood run in processes of their own, and asks them what they saw. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type FloodFigures, FloodReport, type FloodTarget, type FloodWork, limitCpu } from './floods-work.js';

type Order = 'take' | 'stop';

/** Work in its process. */
export interface WorkProcess {
  /** @returns what it saw since it began, or was last asked */
  take(): Promise<FloodFigures>;
  /** Lets its calls end. @returns the exit code */
  stop(): Promise<unknown>;
}

/**
 * @param name of the module `floods-NAME.ts` beside this one
 * @param cores how much CPU time it may use. Default: all it finds
 */
export async function startWork(name: string, target: FloodTarget, cores?: number): Promise<WorkProcess> {
  const child: ChildProcess = fork(fileURLToPath(import.meta.url), [name, JSON.stringify(target), String(cores ?? '')]);
  const exited = once(child, 'exit');
  const hear = async () => {
    const [message] = (await Promise.race([once(child, 'message'), exited])) as [FloodFigures | 'ready' | number];
    if (typeof message === 'number' || message === null) throw new Error(`floods-${name} ended with ${message}`);
    return message;
  };
  const tell = (order: Order) => child.send(order);
  await hear();
  return {
    take: async () => {
      tell('take');
      return (await hear()) as FloodFigures;
    },
    stop: async () => {
      tell('stop');
      return (await exited)[0] as unknown;
    },
  };
}

/** The process's end of {@link startWork}. */
async function runWork(name: string, target: FloodTarget, cores: string): Promise<void> {
  const { work } = (await import(`./floods-${name}.js`)) as { work: FloodWork };
  const stop = new AbortController();
  const tell = (message: FloodFigures | 'ready') => process.send?.(message);
  const report = new FloodReport(() => {
    if (cores !== '') limitCpu(Number(cores));
    tell('ready');
  });
  process.on('message', (order: Order) => {
    if (order === 'take') tell(report.take());
    else stop.abort();
  });
  // Nobody outlives the run.
  process.once('disconnect', () => process.exit(1));
  await work(target, stop.signal, report);
  process.exit(0);
}

const [, script, work, target, cores = ''] = process.argv;
if (script === fileURLToPath(import.meta.url) && work !== undefined && target !== undefined) {
  await runWork(work, JSON.parse(target) as FloodTarget, cores);
}
