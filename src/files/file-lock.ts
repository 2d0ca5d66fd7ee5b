/**
 * One writer at a time, across processes, PID namespaces and machines that share a file system: a lock file that names
 * its holder and that the holder touches every 2 seconds. A holder that is known to be gone is followed at once, any
 * other when its file was not touched for 10 seconds. Who was paused that long has lost the lock: ask {@link
 * FileLock.isHeld} before anything that others count on.
 */
import { randomBytes } from 'node:crypto';
import { constants, readFileSync, readlinkSync } from 'node:fs';
import { type FileHandle, link, open, rename, rm, stat, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openPatiently } from './descriptors.js';

/** Locks that this process holds. */
const held = new Set<string>();

const HEARTBEAT_MS = 2_000;
/** How often a lock of somebody who cannot be asked is looked at: for 10 s, whatever the clocks say. */
const LOOKS = 20;
const LOOK_MS = 500;
const MAX_LOCK_BYTES = 1_024;

/** A lock that is held. */
export interface FileLock {
  /** Its holder may still be running somewhere, paused or cut off, with the files open that the lock is for. */
  readonly isTakenOver: boolean;
  /** Whether it still is ours. */
  isHeld(): Promise<boolean>;
  release(): Promise<void>;
}

/** Options of {@link takeFileLock}. */
export interface FileLockOptions {
  /** Told, at most once, that it takes up to 10 s to find out whether the holder is still there. */
  readonly onWait?: (holder: string) => void;
  /** Ends that waiting: {@link takeFileLock} then throws an `AbortError`. */
  readonly signal?: AbortSignal | undefined;
}

/** A running process has the lock. The caller makes an error of its own of it. */
export class FileLockBusy extends Error {
  override readonly name = 'FileLockBusy';
  /** Who holds it, e.g. `process 17`. */
  readonly holder: string;

  constructor(holder = 'another process') {
    super(`${holder} holds the lock`);
    this.holder = holder;
  }
}

/** Who holds a lock, as its file says. */
interface Holder {
  /** Boot and PID namespace, within which the process number means something. */
  readonly place: string;
  readonly pid: number;
  /** When the process started, in ticks since boot; empty where the system does not tell. */
  readonly start: string;
  /** Device and inode of the folder: a copy of it has others, and so may the same folder by another mount. */
  readonly folder: string;
  /** Differs each time. */
  readonly token: string;
}

/** A lock file as it was found. */
interface Found {
  readonly text: string;
  /** Changes with each heartbeat. */
  readonly beat: bigint;
}

/**
 * @param path absolute path of the lock file, without symbolic links
 * @throws FileLockBusy when a running process holds it; the errors of the file system
 */
export async function takeFileLock(path: string, options: FileLockOptions = {}): Promise<FileLock> {
  if (held.has(path)) throw new FileLockBusy(`process ${process.pid}`);
  held.add(path);
  try {
    const own = await describeSelf(path);
    let isTakenOver = false;
    let file = await create(path, own);
    if (file === undefined) {
      isTakenOver = await removeStale(path, own, options);
      file = await create(path, own);
    }
    if (file === undefined) throw new FileLockBusy();
    return new HeldLock(path, file, format(own), isTakenOver);
  } catch (error) {
    held.delete(path);
    throw error;
  }
}

class HeldLock implements FileLock {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #text: string;
  readonly isTakenOver: boolean;
  readonly #heartbeat: NodeJS.Timeout;

  constructor(path: string, file: FileHandle, text: string, isTakenOver: boolean) {
    this.#path = path;
    this.#file = file;
    this.#text = text;
    this.isTakenOver = isTakenOver;
    // The open file, not what is at the path: that may be another's by now.
    this.#heartbeat = setInterval(() => {
      const now = new Date();
      file.utimes(now, now).catch(() => {});
    }, HEARTBEAT_MS);
    this.#heartbeat.unref();
  }

  async isHeld(): Promise<boolean> {
    return (await readLock(this.#path).catch(() => undefined))?.text === this.#text;
  }

  async release(): Promise<void> {
    clearInterval(this.#heartbeat);
    // What was taken from us is another's by now.
    if (await this.isHeld()) await rm(this.#path, { force: true });
    await this.#file.close();
    held.delete(this.#path);
  }
}

/** Written elsewhere and linked: nobody may find a lock that does not name its process yet, for it looks abandoned. */
async function create(path: string, own: Holder): Promise<FileHandle | undefined> {
  const written = besides(path);
  const file = await open(written, 'wx', 0o600);
  try {
    await file.writeFile(format(own));
    await link(written, path);
    return file;
  } catch (error) {
    await file.close();
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined;
    throw error;
  } finally {
    await rm(written, { force: true });
  }
}

function format({ place, pid, start, folder, token }: Holder): string {
  return `${JSON.stringify({ place, pid, start, folder, token })}\n`;
}

function parse(text: string): Partial<Holder> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}

function besides(path: string): string {
  return `${path}.${randomBytes(6).toString('hex')}`;
}

/** @returns undefined when there is none. A pipe or a device is never waited for. */
async function readLock(path: string): Promise<Found | undefined> {
  const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW } = constants;
  // Without a descriptor nobody can tell whose it is: that is not to have lost it.
  const file = await openPatiently(() => open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW)).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    },
  );
  if (file === undefined) return undefined;
  try {
    const found = await file.stat({ bigint: true });
    if (!found.isFile()) throw Object.assign(new Error(`${path} is not a file`), { code: 'the lock is not a file' });
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_LOCK_BYTES), 0, MAX_LOCK_BYTES, 0);
    return { text: buffer.toString('utf8', 0, bytesRead), beat: found.mtimeNs };
  } finally {
    await file.close();
  }
}

/** @returns whether the holder may still be running */
async function removeStale(path: string, own: Holder, { onWait, signal }: FileLockOptions): Promise<boolean> {
  const found = await readLock(path);
  // Released meanwhile: whatever is there next is somebody's.
  if (found === undefined) return false;
  const holder = parse(found.text);
  const isGone = isKnownGone(holder, own);
  if (!isGone) {
    const place =
      holder.place === own.place
        ? 'of another mount or the original of this folder'
        : 'of another container, machine or boot';
    const name = `process ${holder.pid ?? 'unknown'} ${place}`;
    onWait?.(name);
    for (let look = 0; look < LOOKS; look++) {
      await sleep(LOOK_MS, undefined, { signal });
      const now = await readLock(path);
      if (now === undefined) return false;
      if (now.text !== found.text || now.beat !== found.beat) throw new FileLockBusy(name);
    }
  }
  await moveAway(path, found.text);
  return !isGone;
}

/** Moved away before it is deleted: if another process took the lock meanwhile, it gets it back. */
async function moveAway(path: string, text: string): Promise<void> {
  const moved = besides(path);
  await rename(path, moved).catch(() => {});
  const found = (await readLock(moved).catch(() => undefined))?.text ?? text;
  if (found !== text) await link(moved, path).catch(() => {});
  await unlink(moved).catch(() => {});
  if (found !== text) throw new FileLockBusy();
}

/**
 * @returns false when nobody here can tell
 * @throws FileLockBusy when it is running
 */
function isKnownGone({ place, pid, start, folder }: Partial<Holder>, own: Holder): boolean {
  if (place !== own.place || !Number.isInteger(pid) || (pid as number) <= 0) return false;
  // In a container each start may be process 1.
  if (pid === own.pid && start !== own.start) return true;
  if (!isRunning(pid as number, start ?? '')) return true;
  // The lock came with a copy of its folder, or the holder sees the folder by another mount: its heartbeat tells.
  if (folder !== own.folder) return false;
  throw new FileLockBusy(`process ${pid}`);
}

function isRunning(pid: number, start: string): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const { state, start: now } = readProcess(String(pid));
  // A zombie has ended; another start time: the number was given to another process since.
  return state !== 'Z' && state !== 'X' && (start === '' || now === '' || start === now);
}

async function describeSelf(path: string): Promise<Holder> {
  const { dev, ino } = await stat(dirname(path), { bigint: true });
  const { start } = readProcess('self');
  return {
    place: findPlace(),
    pid: process.pid,
    start,
    folder: `${dev}:${ino}`,
    token: randomBytes(16).toString('hex'),
  };
}

/** The boot and the PID namespace, as `BOOT NAMESPACE`; the host's name where the system does not tell. */
function findPlace(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return `${hostname()} host`;
  }
}

/** State and start time of a process (proc(5), fields 3 and 22); empty where the system does not tell. */
function readProcess(name: string): { readonly state: string; readonly start: string } {
  try {
    // Another namespace's /proc knows our processes by other numbers.
    if (readlinkSync('/proc/self') !== String(process.pid)) return { state: '', start: '' };
    const text = readFileSync(`/proc/${name}/stat`, 'utf8');
    // The name in field 2 may hold spaces.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] ?? '', start: fields[19] ?? '' };
  } catch {
    return { state: '', start: '' };
  }
}
