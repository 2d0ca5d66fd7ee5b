/**
 * The ring file: a JWK Set of private keys, each with its dates in the member `sealwire`. Members that are not ours
 * are kept when the file is written again (RFC 7517 §4 lets anybody add some); unknown ones inside `sealwire` are refused,
 * since a date that is not understood must not be ignored.
 */
import type { KeyObject } from 'node:crypto';
import { SealwireError } from '../errors.js';
import type { Curve } from '../jwe/algorithms.js';
import { type ImportedKey, importKey, type PublicJwk } from './import.js';
import { DATE_NAMES, findDateFault, type KeyDates } from './lifecycle.js';

/** One key of a ring. Printing it shows no private part. */
export interface RingKey {
  readonly kid: string;
  readonly crv: Curve;
  readonly jwk: PublicJwk;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
  readonly dates: KeyDates;
}

/** Our member of a private JWK. */
export const DATES_MEMBER = 'sealwire';

type Members = Readonly<Record<string, unknown>>;

const OWN_MEMBERS: readonly string[] = ['kty', 'crv', 'x', 'y', 'd', 'kid', 'use', 'alg', DATES_MEMBER];
/** Members of the file that are not ours, by key: apart from what is handed out and might be printed. */
const foreign = new WeakMap<RingKey, Members>();

/**
 * @param input PEM text, JWK text, or a JWK that may carry dates
 * @throws SealwireError `KEY_INVALID`, `KEY_DATES_INVALID`
 */
export async function importRingKey(input: string | object): Promise<RingKey> {
  const members: Members = typeof input === 'string' ? {} : { ...input };
  const key = createRingKey(await importKey(input), readDates(members[DATES_MEMBER]));
  foreign.set(key, Object.fromEntries(Object.entries(members).filter(([name]) => !OWN_MEMBERS.includes(name))));
  return key;
}

/** @throws SealwireError `KEY_INVALID` for a public key */
export function createRingKey({ jwk, publicKey, privateKey }: ImportedKey, dates: KeyDates): RingKey {
  if (privateKey === undefined) throw new SealwireError('KEY_INVALID', 'a key ring needs private keys');
  return { kid: jwk.kid, crv: jwk.crv, jwk, publicKey, privateKey, dates };
}

/** @returns the same key with other dates */
export function withDates(key: RingKey, dates: KeyDates): RingKey {
  const changed = { ...key, dates };
  foreign.set(changed, foreign.get(key) ?? {});
  return changed;
}

/** @returns the private JWK as it stands in the file */
export function exportRingKey(key: RingKey): object {
  const { d } = key.privateKey.export({ format: 'jwk' });
  const dates = orderDates(key.dates);
  const hasDates = Object.keys(dates).length > 0;
  return { ...foreign.get(key), ...key.jwk, d, ...(hasDates && { [DATES_MEMBER]: dates }) };
}

/** As a reader expects them: in the order in which they come. */
export function orderDates(dates: KeyDates): KeyDates {
  return Object.fromEntries(DATE_NAMES.filter((name) => dates[name] !== undefined).map((name) => [name, dates[name]]));
}

function readDates(value: unknown): KeyDates {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new SealwireError('KEY_DATES_INVALID', `${DATES_MEMBER} must be an object with dates`);
  }
  const names: readonly string[] = DATE_NAMES;
  const unknown = Object.keys(value).find((name) => !names.includes(name));
  if (unknown !== undefined) throw new SealwireError('KEY_DATES_INVALID', `${DATES_MEMBER} has an unknown member`);
  const fault = findDateFault(value);
  if (fault !== undefined) throw new SealwireError('KEY_DATES_INVALID', fault);
  return orderDates(value);
}
