/** The process of one session with a token: how it begins, and how it ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { pkcs11Process } from '../../gen/programs.js';

/** How long a process may take to end. */
const LAST_WORDS_MS = 1_000;

/**
 * Lets a process end after what its module is doing. Some modules write to the token at each log-in; a process that is
 * killed meanwhile can leave the token unreadable.
 */
export async function endInOrder(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  child.ref();
  const killing = setTimeout(() => child.kill('SIGKILL'), LAST_WORDS_MS);
  const ended = once(child, 'exit');
  if (child.connected) child.disconnect();
  await ended;
  clearTimeout(killing);
}

/** This process gets neither the secrets of our environment nor its flags (an inspector's port, preloaded modules). */
export function startProcess(): ChildProcess {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('SEALWIRE_'));
  // Lists of processes show the title. The program comes from stdin.
  const child = spawn(process.execPath, ['--title=sealwire-pkcs11', '-'], {
    env: Object.fromEntries(own),
    serialization: 'advanced',
    // What a module prints is untrusted.
    stdio: ['pipe', 'ignore', 'ignore', 'ipc'],
  });
  // A process that ends early is noticed by its end.
  child.stdin?.on('error', () => {}).end(pkcs11Process);
  return child;
}
