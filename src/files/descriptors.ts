/** What to do when the process has no descriptors left: connections may have taken them, and will give them back. */
import { setTimeout as sleep } from 'node:timers/promises';

const RETRY_MS = 100;

/** Whether opening failed for want of a descriptor: nothing is known of the file then, and nothing is lost. */
export function isOutOfDescriptors(error: unknown): boolean {
  const { code } = (error ?? {}) as NodeJS.ErrnoException;
  return code === 'EMFILE' || code === 'ENFILE';
}

/**
 * Opens something, when there is a descriptor for it.
 *
 * @throws the system's other errors
 */
export async function openPatiently<T>(open: () => T | Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await open();
    } catch (error) {
      if (!isOutOfDescriptors(error)) throw error;
    }
    await sleep(RETRY_MS, undefined, { ref: false });
  }
}
