/** One writer per log folder: a lock file that names its process, taken over when that process is gone. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { link, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { SealwireError } from '../errors.js';

/** Locks that this process holds: its own pid in a file proves nothing, for in a container every start is pid 1. */
const held = new Set<string>();

/** A lock that is held. */
export interface WriterLock {
  release(): Promise<void>;
}

/**
 * @param path absolute path of the lock file, without symbolic links
 * @throws SealwireError `AUDIT_FILE_INVALID` when a running process holds it
 */
export async function takeLock(path: string): Promise<WriterLock> {
  if (held.has(path)) throw busy(path, process.pid);
  held.add(path);
  try {
    if (!(await create(path))) {
      await removeStale(path);
      if (!(await create(path))) throw busy(path);
    }
  } catch (error) {
    held.delete(path);
    throw error;
  }
  return {
    async release() {
      await rm(path, { force: true });
      held.delete(path);
    },
  };
}

async function create(path: string): Promise<boolean> {
  try {
    await writeFile(path, `${process.pid} ${startOf(process.pid)}\n`, { flag: 'wx', mode: 0o600 });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function removeStale(path: string): Promise<void> {
  const text = await readFile(path, 'utf8').catch(() => '');
  refuseIfRunning(path, text);
  // Moved away before it is deleted: if another process took the lock meanwhile, it gets it back.
  const moved = `${path}.${randomBytes(6).toString('hex')}`;
  await rename(path, moved).catch(() => {});
  const found = await readFile(moved, 'utf8').catch(() => text);
  if (found !== text) await link(moved, path).catch(() => {});
  await unlink(moved).catch(() => {});
  if (found !== text) throw busy(path);
}

function refuseIfRunning(path: string, text: string): void {
  const [pidText = '', start = ''] = text.trim().split(' ', 2);
  const pid = Number(pidText);
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return;
  const now = startOf(pid);
  // Another start time: the number was given to another process since.
  if (isRunning(pid) && (start === '' || now === '' || start === now)) throw busy(path, pid);
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** The boot and the moment a process started, or '' where the system does not tell. */
function startOf(pid: number): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Field 22 (proc(5)); the name in field 2 may hold spaces.
    return `${boot}/${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''}`;
  } catch {
    return '';
  }
}

function busy(path: string, pid?: number): SealwireError {
  const who = pid === undefined ? 'another process' : `process ${pid}`;
  return new SealwireError('AUDIT_FILE_INVALID', `${path}: ${who} writes this log`);
}
