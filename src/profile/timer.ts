/** Timers of clients. Where there are processes, an idle client's timer does not keep one alive. */

export type CancelTimer = () => void;

/** Calls once, later, unless it is cancelled. */
export function startTimer(ms: number, callback: () => void): CancelTimer {
  const timer = setTimeout(callback, ms);
  // Browsers have numbers here.
  (timer as { unref?: () => void }).unref?.();
  return () => clearTimeout(timer);
}
