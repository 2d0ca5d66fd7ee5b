/** One writer at a time: a lock file that names its process, taken over when that process is gone. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { link, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises';

/** Locks that this process holds: its own pid in a file proves nothing, for in a container every start is pid 1. */
const held = new Set<string>();

/** A lock that is held. */
export interface FileLock {
  /** Whether it still is: two processes that clear away the same abandoned lock may take it from a third. */
  isHeld(): Promise<boolean>;
  release(): Promise<void>;
}

/** A running process has the lock. The caller makes an error of its own of it. */
export class FileLockBusy extends Error {
  override readonly name = 'FileLockBusy';
  /** Who holds it, e.g. `process 17`. */
  readonly holder: string;

  constructor(pid?: number) {
    const holder = pid === undefined ? 'another process' : `process ${pid}`;
    super(`${holder} holds the lock`);
    this.holder = holder;
  }
}

/**
 * @param path absolute path of the lock file, without symbolic links
 * @throws FileLockBusy when a running process holds it; the errors of the file system
 */
export async function takeFileLock(path: string): Promise<FileLock> {
  if (held.has(path)) throw new FileLockBusy(process.pid);
  held.add(path);
  try {
    if (!(await create(path))) {
      await removeStale(path);
      if (!(await create(path))) throw new FileLockBusy();
    }
  } catch (error) {
    held.delete(path);
    throw error;
  }
  const isHeld = async () => (await readFile(path, 'utf8').catch(() => '')) === ownText();
  return {
    isHeld,
    async release() {
      // What was taken from us is another's by now.
      if (await isHeld()) await rm(path, { force: true });
      held.delete(path);
    },
  };
}

/** Written elsewhere and linked: nobody may find a lock that does not name its process yet, for it looks abandoned. */
async function create(path: string): Promise<boolean> {
  const written = besides(path);
  await writeFile(written, ownText(), { flag: 'wx', mode: 0o600 });
  try {
    await link(written, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(written, { force: true });
  }
}

function ownText(): string {
  return `${process.pid} ${startOf(process.pid)}\n`;
}

function besides(path: string): string {
  return `${path}.${randomBytes(6).toString('hex')}`;
}

async function removeStale(path: string): Promise<void> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  // Released meanwhile: whatever is there next is somebody's.
  if (text === undefined) return;
  refuseIfRunning(text);
  // Moved away before it is deleted: if another process took the lock meanwhile, it gets it back.
  const moved = besides(path);
  await rename(path, moved).catch(() => {});
  const found = await readFile(moved, 'utf8').catch(() => text);
  if (found !== text) await link(moved, path).catch(() => {});
  await unlink(moved).catch(() => {});
  if (found !== text) throw new FileLockBusy();
}

function refuseIfRunning(text: string): void {
  const [pidText = '', start = ''] = text.trim().split(' ', 2);
  const pid = Number(pidText);
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return;
  const now = startOf(pid);
  // Another start time: the number was given to another process since.
  if (isRunning(pid) && (start === '' || now === '' || start === now)) throw new FileLockBusy(pid);
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
