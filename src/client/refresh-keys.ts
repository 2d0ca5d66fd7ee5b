/** Looking for newer keys after a service refused one. */
import type { KeySource } from '../keys/key-source.js';
import { listenForAbort } from './call-options.js';

/** Ms that a key source may take when the call has no earlier deadline. */
const MAX_WAIT_MS = 30_000;

/**
 * Refreshes the keys of some recipients. The call that needs them waits no longer than it may.
 *
 * @param keys a source that can be refreshed
 * @param recipients names; '' is the service itself
 * @param until the call's deadline (a point in time or ms since 1970) and signal
 * @returns whether there may be a new key; false when the source failed, or the call's time is over
 */
export async function refreshKeys(
  keys: KeySource,
  recipients: readonly string[],
  until: { readonly signal?: AbortSignal; readonly deadline?: Date | number },
): Promise<boolean> {
  const { signal, deadline = Number.POSITIVE_INFINITY } = until;
  const waitMs = Math.min(Number(deadline) - Date.now(), MAX_WAIT_MS);
  if (signal?.aborted || waitMs <= 0) return false;
  let unlisten = () => {};
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<boolean>((resolve) => {
    const giveUp = () => resolve(false);
    timer = setTimeout(giveUp, waitMs);
    if (signal) unlisten = listenForAbort(signal, giveUp);
  });
  try {
    // The service's own error says more than that of the key source, so the latter is dropped.
    const refreshed = recipients.map(async (recipient) => keys.refresh?.(recipient));
    const any = Promise.allSettled(refreshed).then((all) => all.some(({ status }) => status === 'fulfilled'));
    return await Promise.race([any, over]);
  } finally {
    clearTimeout(timer);
    unlisten();
  }
}
