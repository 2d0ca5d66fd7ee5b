/**
 * Preloaded into a process (`node --import`): counts what it changes on disk, and kills it with SIGKILL before the
 * operation number `KILL_AT`, or with `KILL_MODE=half` when half of that operation's bytes are written. Without
 * `KILL_AT` it writes the operations' names to the file `KILL_LOG`.
 */
import { appendFileSync, writeSync } from 'node:fs';
import fs, { type FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const { KILL_AT, KILL_MODE, KILL_LOG } = process.env;
const at = Number(KILL_AT ?? 0);
let count = 0;

type Operation = (...args: never[]) => unknown;

function die(): never {
  process.kill(process.pid, 'SIGKILL');
  // Nothing may happen while the signal is on its way.
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000);
}

/** @param writeHalf writes half of what the operation would */
function reach(name: string, writeHalf?: () => void): void {
  count++;
  if (KILL_LOG !== undefined) appendFileSync(KILL_LOG, `${name}${writeHalf === undefined ? '' : ' (data)'}\n`);
  if (count !== at) return;
  if (KILL_MODE === 'half') writeHalf?.();
  die();
}

function wrap<K extends string>(
  holder: Record<K, Operation>,
  name: K,
  label: string,
  half?: (args: unknown[], self: unknown) => () => void,
): void {
  const original = holder[name];
  holder[name] = function (this: unknown, ...args: never[]) {
    reach(label, half?.(args, this));
    return original.apply(this, args);
  };
}

const functions = fs as unknown as Record<string, Operation>;
const self = await fs.open(process.execPath, 'r');
const handles = Object.getPrototypeOf(self) as Record<string, Operation>;
await self.close();

for (const name of ['mkdir', 'link', 'rename', 'rm', 'unlink']) wrap(functions, name, name);
wrap(functions, 'writeFile', 'writeFile', ([path, text]) => () => {
  // What a process that dies while it writes leaves: a file with its first bytes.
  const content = String(text);
  appendFileSync(String(path), content.slice(0, content.length / 2), { flag: 'wx' });
});
wrap(handles, 'writeFile', 'handle.writeFile', ([text], handle) => () => {
  const content = String(text);
  writeSync((handle as FileHandle).fd, content.slice(0, content.length / 2));
});
wrap(handles, 'sync', 'handle.sync');
const { open } = functions as { open: Operation };
functions['open'] = function (this: unknown, ...args: never[]) {
  if (/[wa+]/.test(String(args[1] ?? 'r'))) reach('open');
  return open.apply(this, args);
};
syncBuiltinESMExports();
