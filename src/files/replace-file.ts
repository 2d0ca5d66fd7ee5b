/** The one way in which a file is replaced: a crash leaves the old one or the new one. */
import { link, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { openPatiently } from './descriptors.js';

/** A file that is being written. */
export interface NewFile {
  append(bytes: Uint8Array): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Options of {@link replaceFile}. */
export interface ReplaceOptions {
  /** Name of the unfinished file, in the same folder; a process that is killed leaves it there. */
  readonly temporary: string;
  /** Makes that file. */
  create(path: string): NewFile | Promise<NewFile>;
  /** Refuse to take the place of anything, with `EEXIST`. Default false. */
  readonly isNew?: boolean;
}

/** What a file gets to hold; a large one in parts. */
export type NewContent = string | Uint8Array | Iterable<Uint8Array>;

/**
 * Writes a file beside another one, syncs it, renames it over the other, and syncs the folder.
 *
 * @throws the system's errors; nothing unfinished is left then
 */
export async function replaceFile(path: string, content: NewContent, options: ReplaceOptions): Promise<void> {
  const { temporary, isNew = false } = options;
  try {
    const file = await openPatiently(() => options.create(temporary));
    try {
      const parts = typeof content === 'string' ? [Buffer.from(content)] : isBytes(content) ? [content] : content;
      for (const part of parts) await file.append(part);
      await file.sync();
    } finally {
      await file.close();
    }
    await (isNew ? link(temporary, path) : rename(temporary, path));
    if (isNew) await rm(temporary);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
  await syncFolder(dirname(path));
}

function isBytes(content: Exclude<NewContent, string>): content is Uint8Array {
  return ArrayBuffer.isView(content);
}

/** Makes names in a folder durable. */
export async function syncFolder(dir: string): Promise<void> {
  const folder = await openPatiently(() => open(dir, 'r'));
  try {
    await folder.sync().catch(rethrowSync);
  } finally {
    await folder.close();
  }
}

/** Removes the code: after a failed sync the system may have dropped the pages, so no retry is possible. */
export function rethrowSync(cause: unknown): never {
  throw new Error('sync failed', { cause });
}
