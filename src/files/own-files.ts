/** Who may change a file or a folder that a service leans on, and whether it is a file at all. */
import type { Stats } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

type Owned = Pick<Stats, 'mode' | 'uid'>;

let served: number | undefined;

/**
 * Says that this command, if root runs it, is about the files of a service that runs as that user: it takes what that
 * user owns for its own. A service never says so.
 */
export function actFor(uid: number): void {
  if (process.getuid?.() === 0) served = uid;
}

/**
 * @returns why somebody else could change it, in words to follow its path; undefined when only this user, root and the
 *   user of {@link actFor} can
 */
export function findOthersRights({ mode, uid }: Owned): string | undefined {
  const own = process.getuid?.();
  if (own !== undefined && uid !== own && uid !== 0 && uid !== served)
    return `belongs to user ${uid}; it must belong to ${own === 0 ? '' : `user ${own} or `}root`;
  if ((mode & 0o022) === 0) return undefined;
  return `mode ${(mode & 0o777).toString(8).padStart(4, '0')} lets others change it; run chmod go-w`;
}

/**
 * Whether root gave the file to this process by a group, and to nobody else: Kubernetes gives secrets so to a container
 * that does not run as root, by a group of the pod's own (`fsGroup`).
 */
export function isGivenByRoot({ mode, uid, gid }: Pick<Stats, 'mode' | 'uid' | 'gid'>): boolean {
  // Root's own group has other members than this process.
  return (mode & 0o777) === 0o440 && uid === 0 && gid !== 0 && process.getgroups?.().includes(gid) === true;
}

/**
 * Looks at a folder before anything in it is opened: reading a pipe would wait for ever.
 *
 * @returns what is wrong with it, with its path; undefined when it can be used
 */
export async function findOddFolder(dir: string): Promise<string | undefined> {
  const rights = findOthersRights(await stat(dir));
  if (rights !== undefined) return `${dir}: ${rights}`;
  for (const name of await readdir(dir)) {
    // Links are followed: a mounted secret consists of them. One that leads nowhere is for whoever opens it.
    const found = await stat(join(dir, name)).catch(() => undefined);
    if (found !== undefined && !found.isFile() && !found.isDirectory()) return `${join(dir, name)}: is not a file`;
  }
  return undefined;
}
