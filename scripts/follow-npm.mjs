/** Ends this process with the npm that started it. Plain Node, no packages. */
import { readFileSync } from 'node:fs';

const POLL_MS = 200;

/**
 * npm answers SIGTERM with 143 and leaves its child behind, and a killed npm tells nobody. So the
 * parent is watched, and behind a shell the shell's parent too. Does nothing when npm did not start us.
 *
 * @param stop called once, when npm has gone
 */
export function followNpm(stop) {
  if (process.env['npm_lifecycle_event'] === undefined) return;
  const parent = process.ppid;
  const grandparent = isShell(parent) ? parentOf(parent) : undefined;
  const timer = setInterval(() => {
    const isShellOrphaned = grandparent !== undefined && parentOf(parent) !== grandparent;
    if (process.ppid === parent && !isShellOrphaned) return;
    clearInterval(timer);
    stop();
  }, POLL_MS);
  timer.unref();
}

/** The fields of /proc/PID/stat after the command's name, which may itself hold spaces and brackets. */
function readStat(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const end = text.lastIndexOf(')');
    return { name: text.slice(text.indexOf('(') + 1, end), fields: text.slice(end + 2).split(' ') };
  } catch {
    return undefined;
  }
}

function isShell(pid) {
  return /^(ba|da|z|k|a)?sh$/.test(readStat(pid)?.name ?? '');
}

function parentOf(pid) {
  const parent = readStat(pid)?.fields[1];
  return parent === undefined ? undefined : Number(parent);
}
