/** How a directory of signed key sets fetches and keeps them: options, their limits, and what a cache is told. */
import { SealwireError } from '../../errors.js';
import { isCanonicalBase64url } from '../base64url.js';
import { checkRange } from '../check-range.js';
import type { KeySetChecks, UsedSet } from './verify-key-set.js';
import { isSeenSet, type SeenSet } from './version.js';

/** Why a set could not be fetched or was refused. */
export interface KeySetProblem {
  /** Name of the recipient. */
  readonly recipient: string;
  readonly error: SealwireError;
  /** When it will be tried again, in ms. */
  readonly retryMs: number;
  /** Seconds since 1970 until which the set at hand is used; undefined when there is none: sealing fails. */
  readonly goodUntil: number | undefined;
}

/** What is remembered of one recipient. */
export interface RememberedSet extends SeenSet {
  /** The newest set, as it came; verified anew before it is used. */
  readonly text: string;
}

/** Whether what a memory holds can be one of its sets. */
export function isRemembered(value: unknown): value is RememberedSet {
  return isSeenSet(value) && typeof (value as Partial<RememberedSet>).text === 'string';
}

/** Keeps the newest set of each recipient. */
export interface KeySetMemory {
  /** @throws SealwireError when it cannot be read: an unreadable memory must not pass for an empty one */
  recall(issuer: string): Promise<RememberedSet | undefined>;
  /** Never replaces a higher version. @throws SealwireError */
  remember(issuer: string, set: RememberedSet): Promise<void>;
}

/** For directories without a memory: each run begins anew. */
export const noMemory: KeySetMemory = { recall: async () => undefined, remember: async () => {} };

/** Options that every key directory has. */
export interface KeySetOptions {
  /** RFC 7638 thumbprints of the signing roots to trust: one, or two while the root changes; 1 to 4. */
  readonly roots: readonly string[];
  /** The service's name (`name` in its configuration): whose set is meant by recipient ''. */
  readonly issuer: string;
  /** How long to wait for the key service, in ms. Default 5,000; 100 to 60,000. */
  readonly deadlineMs?: number;
  /**
   * Shortest use of a set before the next is fetched, whatever the service says, in ms. Default 10,000; 100 to
   * 3,600,000.
   */
  readonly minAgeMs?: number;
  /**
   * Longest use of a set before the next is fetched, whatever the service says, in ms. Default 21,600,000 (6 h); 1,000
   * to 86,400,000.
   */
  readonly maxAgeMs?: number;
  /** First wait after a failed fetch, doubled with each failure, with jitter, in ms. Default 1,000; 10 to 60,000. */
  readonly retryMs?: number;
  /** Longest wait after failed fetches, in ms. Default 60,000; 10 to 3,600,000. */
  readonly maxRetryMs?: number;
  /**
   * Told when a set could not be fetched or was refused. Default: a warning of the process or on the page's console,
   * once an hour per code.
   */
  readonly onProblem?: (problem: KeySetProblem) => void;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
  /** Monotonic clock in ms. Default `performance.now`. */
  readonly monotonicNow?: () => number;
  /** Random number from 0 to 1, for jitter. Default `Math.random`. */
  readonly random?: () => number;
}

/** What the sets of a directory share. */
export interface CacheSettings<K> extends Required<Omit<KeySetOptions, 'issuer'>> {
  readonly memory: KeySetMemory;
  /** Verifies a text from anybody. @throws SealwireError with one of `KEY_SET_CODES` */
  readonly verify: (text: string, checks: KeySetChecks) => Promise<UsedSet<K>>;
}

const RANGES = {
  deadlineMs: [100, 60_000],
  minAgeMs: [100, 3_600_000],
  maxAgeMs: [1_000, 86_400_000],
  retryMs: [10, 60_000],
  maxRetryMs: [10, 3_600_000],
} as const;
const MAX_ROOTS = 4;
/** 32 bytes. */
const THUMBPRINT_CHARS = 43;

/**
 * Fills in defaults and checks ranges.
 *
 * @param warn shows a problem where nobody listens to them
 * @throws SealwireError `OPTIONS_INVALID`
 */
export function resolveCacheSettings<K>(
  options: KeySetOptions,
  platform: Pick<CacheSettings<K>, 'memory' | 'verify'> & { readonly warn: (text: string) => void },
): CacheSettings<K> {
  const { roots, issuer } = options;
  if (issuer === '') throw new SealwireError('OPTIONS_INVALID', 'issuer must be the name of the service');
  checkRange('the number of roots', roots.length, [1, MAX_ROOTS]);
  if (!roots.every((root) => root.length === THUMBPRINT_CHARS && isCanonicalBase64url(root)))
    throw new SealwireError('OPTIONS_INVALID', 'a root must be a thumbprint of 43 characters');
  const settings: CacheSettings<K> = {
    roots: [...roots],
    memory: platform.memory,
    verify: platform.verify,
    deadlineMs: options.deadlineMs ?? 5_000,
    minAgeMs: options.minAgeMs ?? 10_000,
    maxAgeMs: options.maxAgeMs ?? 21_600_000,
    retryMs: options.retryMs ?? 1_000,
    maxRetryMs: options.maxRetryMs ?? 60_000,
    now: options.now ?? Date.now,
    monotonicNow: options.monotonicNow ?? (() => performance.now()),
    random: options.random ?? Math.random,
    onProblem: options.onProblem ?? createWarner(platform.warn),
  };
  for (const [name, range] of Object.entries(RANGES)) checkRange(name, settings[name as keyof typeof RANGES], range);
  return settings;
}

const HOUR_MS = 3_600_000;

/** The same code is reported again only after an hour: an outage must not fill a log. */
function createWarner(warn: (text: string) => void): (problem: KeySetProblem) => void {
  const toldAt = new Map<string, number>();
  return ({ recipient, error }) => {
    const now = performance.now();
    const last = toldAt.get(error.code);
    if (last !== undefined && now - last < HOUR_MS) return;
    toldAt.set(error.code, now);
    warn(`key set of '${recipient}': ${error.code}: ${error.message}`);
  };
}
