/** Runs the compiled `sealwire` command as its users do: as a process. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { expect } from 'chai';

export const MAIN = 'dist/src/cli/main.js';

/** A process with what it printed so far. */
export interface Running {
  readonly child: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Exit code, or the signal's name. */
  readonly ended: Promise<number | string>;
}

/** What a finished process left. */
export interface Finished {
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** Options of {@link run}. */
export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** User and group that the program runs as; only root can choose. */
  readonly uid?: number;
  /** Given on stdin, which is then closed. Default: no stdin. */
  readonly input?: string | Buffer;
}

/** `SIGTERM` and the like must come to the process itself, as if nothing of npm were there. */
const { npm_lifecycle_event: _, ...inherited } = process.env;

/** The environment of commands under test. Services have no web gateway: one port is not enough for all of them. */
export const environment: NodeJS.ProcessEnv = { ...inherited, SEALWIRE_WEB_LISTEN: 'off' };

/** Starts a program. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Running {
  const { env = environment, cwd, input, uid } = options;
  const stdin = input === undefined ? 'ignore' : 'pipe';
  const child = spawn(command, args, {
    env,
    stdio: [stdin, 'pipe', 'pipe'],
    ...(cwd !== undefined && { cwd }),
    ...(uid !== undefined && { uid, gid: uid }),
  });
  let out = '';
  let err = '';
  child.stdout?.on('data', (chunk) => (out += chunk));
  child.stderr?.on('data', (chunk) => (err += chunk));
  // A program that does not read its input closes it.
  child.stdin?.on('error', () => {});
  child.stdin?.end(input);
  const ended = new Promise<number | string>((resolve) => {
    child.once('error', (error) => {
      err += error.message;
      resolve(127);
    });
    child.once('close', (code, signal) => resolve(code ?? signal ?? ''));
  });
  return { child, stdout: () => out, stderr: () => err, ended };
}

/** Starts `sealwire`. */
export function sealwire(...args: string[]): Running {
  return run(process.execPath, [MAIN, ...args]);
}

/** Runs a program to its end. */
export async function finish(command: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const running = run(command, args, options);
  const code = await running.ended;
  return { code, stdout: running.stdout(), stderr: running.stderr() };
}

/** Runs `sealwire` to its end. */
export function finishSealwire(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  return finish(process.execPath, [MAIN, ...args], options);
}

/** The address from the one line on stdout of `sealwire serve`. */
export async function listening({ child, ended, stderr }: Running): Promise<string> {
  const line = new Promise<string>((resolve) => {
    createInterface({ input: child.stdout as NonNullable<typeof child.stdout> }).once('line', resolve);
  });
  const first = await Promise.race([line, ended.then(() => expect.fail(`ended before it listened: ${stderr()}`))]);
  expect(first).to.match(/^listening on 127\.0\.0\.1:\d+$/);
  return first.slice('listening on '.length);
}
