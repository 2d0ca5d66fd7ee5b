/** Clocks and entries for the tests of the replay guard. */
import { createHash } from 'node:crypto';
import type { GuardedToken } from '../../../src/server/replay/replay-guard.js';
import type { ReplayEntry } from '../../../src/server/replay/replay-store.js';

/** The time at which tests begin, ms since 1970. */
export const START_MS = 1_700_000_000_000;

/** A wall clock that can be set and a monotonic one that cannot. */
export class TestClock {
  wallMs = START_MS;
  monotonicMs = 5_000;
  readonly now = () => this.wallMs;
  readonly monotonic = () => this.monotonicMs;

  /** Time goes by. */
  pass(ms: number): void {
    this.wallMs += ms;
    this.monotonicMs += ms;
  }

  /** Somebody sets the wall clock. */
  set(ms: number): void {
    this.wallMs += ms;
  }
}

export function digest(id: string | number): Buffer {
  return createHash('sha256').update(String(id)).digest();
}

/** An entry that expires at a time. */
export function until(id: string | number, expiresAtMs: number): ReplayEntry {
  return { digest: digest(id), expiresAtMs };
}

/** An entry that lives for a time. */
export function lasting(id: string | number, lifeMs: number): ReplayEntry {
  return { digest: digest(id), lifeMs };
}

/** A token sealed at a time, or without `iat`. */
export function tokenOf(text: string, sealedAtMs = START_MS): GuardedToken {
  return { token: text, header: { iat: Math.floor(sealedAtMs / 1_000) } };
}

export function tokenWithoutIat(text: string): GuardedToken {
  return { token: text, header: {} };
}
