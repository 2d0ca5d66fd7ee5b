/**
 * The version of a key set. It follows from the ring and the clock alone, so that all instances that share a ring sign
 * the same one; how fresh a set is only `iat` and `exp` tell.
 */
import type { Members } from '../header-members.js';
import { readSeconds, refuse } from './jws-form.js';

/** What makes a set newer than another: the first of these that differs. Seconds since 1970. */
export interface KeySetVersion {
  /** When the ring was changed last; no two changes have the same. */
  readonly changed: number;
  /** The latest date of a key that has passed; 0 before the first. */
  readonly passed: number;
}

/** A set as far as later ones are compared with it. */
export interface SeenSet {
  readonly version: KeySetVersion;
  /** Its keys with their dates: sets of one version have the same. */
  readonly fingerprint: string;
}

/** @returns less than 0 when `a` is older than `b`, 0 when they are one version */
export function compareVersions(a: KeySetVersion, b: KeySetVersion): number {
  return a.changed - b.changed || a.passed - b.passed;
}

/** @returns as it is shown to people: `1790000000/1790086400` */
export function formatVersion({ changed, passed }: KeySetVersion): string {
  return `${changed}/${passed}`;
}

/** Whether what a memory holds is one. */
export function isSeenSet(value: unknown): value is SeenSet {
  if (typeof value !== 'object' || value === null) return false;
  const { version, fingerprint } = value as Partial<SeenSet>;
  const isTime = (time: unknown) => Number.isSafeInteger(time) && (time as number) >= 0;
  return isTime(version?.changed) && isTime(version?.passed) && typeof fingerprint === 'string';
}

/** @param payload of a set: its `ver` is `[changed, passed]`. @throws SealwireError `KEY_SET_CONTENT` */
export function readVersion({ ver }: Members): KeySetVersion {
  if (!Array.isArray(ver) || ver.length !== 2) throw refuse('KEY_SET_CONTENT', 'ver is not a pair');
  const [changed, passed] = ver as readonly unknown[];
  return {
    changed: readSeconds({ 'ver[0]': changed }, 'ver[0]'),
    passed: readSeconds({ 'ver[1]': passed }, 'ver[1]'),
  };
}

/** A public JWK, as far as sets are compared by it. */
interface DatedMembers {
  readonly kid?: unknown;
  readonly nbf?: unknown;
  readonly exp?: unknown;
}

/** @param keys of a set, in any order */
export function fingerprintOf(keys: readonly DatedMembers[]): string {
  return keys
    .map(({ kid, nbf, exp }) => JSON.stringify([kid, nbf, exp]))
    .sort()
    .join();
}

/** @throws SealwireError `KEY_SET_ROLLED_BACK` */
export function checkNotOlder(version: KeySetVersion, seen: SeenSet | undefined): void {
  if (seen === undefined || compareVersions(version, seen.version) >= 0) return;
  throw refuse('KEY_SET_ROLLED_BACK', 'the set is older than one that was seen before');
}

/** @throws SealwireError `KEY_SET_CONFLICT` */
export function checkSameKeys({ version, fingerprint }: SeenSet, seen: SeenSet | undefined): void {
  if (seen === undefined || compareVersions(version, seen.version) !== 0 || fingerprint === seen.fingerprint) return;
  throw refuse('KEY_SET_CONFLICT', 'the set has other keys than one of the same version that was seen before');
}
