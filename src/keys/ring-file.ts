/**
 * The ring file: a JWK Set of private keys, each with its dates in the member `sealwire`, where a key that is in a
 * PKCS#11 token also has its URI as `custody` in place of `d`. Beside the keys, `changed` says when they were changed
 * last: whoever writes the file makes it larger. Members that are not ours are kept when the file is
 * written again (RFC 7517 §4 lets anybody add some); unknown ones inside `sealwire` are refused, since a date that is
 * not understood must not be ignored.
 */
import type { KeyObject } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { SealwireError } from '../errors.js';
import type { Curve } from '../profile/algorithms.js';
import { parseKeySet } from './files.js';
import { type ImportedKey, importKey, type PublicJwk } from './import.js';
import { DATE_NAMES, findDateFault, isTime, type KeyDates } from './lifecycle.js';
import { parsePkcs11Uri } from './pkcs11/pkcs11-uri.js';

/** One key of a ring, its private half here or in a token. Printing it shows no private part. */
export interface RingKey {
  readonly kid: string;
  readonly crv: Curve;
  readonly jwk: PublicJwk;
  readonly publicKey: KeyObject;
  /** Undefined for a key in a token. */
  readonly privateKey: KeyObject | undefined;
  /** `pkcs11:` URI of a key in a token (RFC 7512). */
  readonly custody?: string;
  readonly dates: KeyDates;
}

/** A ring file's content. */
export interface RingFile {
  readonly keys: readonly RingKey[];
  /** Second of the last change; undefined in a file that none of our writers made. */
  readonly changed?: number | undefined;
  /** Members of the set that are not ours. */
  readonly others: Members;
}

/** Our member of a private JWK. */
const DATES_MEMBER = 'sealwire';

type Members = Readonly<Record<string, unknown>>;

const OWN_MEMBERS: readonly string[] = ['kty', 'crv', 'x', 'y', 'd', 'kid', 'use', 'alg', DATES_MEMBER];
/** Members of the file that are not ours, by key: apart from what is handed out and might be printed. */
const foreign = new WeakMap<RingKey, Members>();

/**
 * @param path named in errors
 * @param text a JWK Set of private keys
 * @throws SealwireError `KEY_FILE_INVALID`; dates that do not fit together are for the ring to judge
 */
export async function parseRingFile(path: string, text: string): Promise<RingFile> {
  const members = parseKeySet(path, text);
  try {
    const { keys: _, changed, ...others } = JSON.parse(text) as Members;
    if (changed !== undefined && !isTime(changed)) {
      throw new SealwireError('KEY_DATES_INVALID', 'changed must be whole seconds since 1970, up to the year 9999');
    }
    const keys: RingKey[] = [];
    for (const key of members) {
      keys.push(await importRingKey(key));
      // Each takes some ms, and a service that reads its ring again serves calls meanwhile.
      await setImmediate();
    }
    return { keys, changed, others };
  } catch (error) {
    throw inFile(path, error);
  }
}

/** @returns the same error as one of the file, with its path */
export function inFile(path: string, error: unknown): SealwireError {
  const why = error instanceof SealwireError ? error.message : 'unreadable';
  return new SealwireError('KEY_FILE_INVALID', `${path}: ${why}`);
}

/** @returns the file's text */
export function formatRingFile({ keys, changed, others }: RingFile): string {
  return `${JSON.stringify({ ...others, changed, keys: keys.map(exportRingKey) }, null, 2)}\n`;
}

/**
 * @param input PEM text, JWK text, or a JWK that may carry dates
 * @throws SealwireError `KEY_INVALID`, `KEY_DATES_INVALID`
 */
export async function importRingKey(input: string | object): Promise<RingKey> {
  const members: Members = typeof input === 'string' ? {} : { ...input };
  const { custody, ...dates } = readOwn(members[DATES_MEMBER]);
  const key = createRingKey(await importKey(input), dates, custody);
  foreign.set(key, Object.fromEntries(Object.entries(members).filter(([name]) => !OWN_MEMBERS.includes(name))));
  return key;
}

/**
 * @param custody URI of a key in a token
 * @throws SealwireError `KEY_INVALID` for a public key without one, and for a private key with one
 */
function createRingKey(
  { jwk, publicKey, privateKey }: ImportedKey,
  dates: KeyDates,
  custody?: string | undefined,
): RingKey {
  if (custody !== undefined) {
    if (privateKey !== undefined)
      throw new SealwireError('KEY_INVALID', 'a key in a token has its private half in the ring too');
    return { kid: jwk.kid, crv: jwk.crv, jwk, publicKey, privateKey, custody, dates };
  }
  if (privateKey === undefined) throw new SealwireError('KEY_INVALID', 'a key ring needs private keys');
  return { kid: jwk.kid, crv: jwk.crv, jwk, publicKey, privateKey, dates };
}

/** @returns the same key with other dates */
export function withDates(key: RingKey, dates: KeyDates): RingKey {
  const changed = { ...key, dates };
  foreign.set(changed, foreign.get(key) ?? {});
  return changed;
}

/** @returns the JWK as it stands in the file */
export function exportRingKey(key: RingKey): object {
  const { jwk, privateKey, custody } = key;
  const own = { ...(custody !== undefined && { custody }), ...orderDates(key.dates) };
  const secret = privateKey === undefined ? {} : { d: privateKey.export({ format: 'jwk' }).d };
  return { ...foreign.get(key), ...jwk, ...secret, ...(Object.keys(own).length > 0 && { [DATES_MEMBER]: own }) };
}

/** As a reader expects them: in the order in which they come. */
function orderDates(dates: KeyDates): KeyDates {
  return Object.fromEntries(DATE_NAMES.filter((name) => dates[name] !== undefined).map((name) => [name, dates[name]]));
}

function readOwn(value: unknown): KeyDates & { readonly custody?: string } {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new SealwireError('KEY_DATES_INVALID', `${DATES_MEMBER} must be an object with dates`);
  }
  const { custody, ...dates } = value as Members;
  const names: readonly string[] = DATE_NAMES;
  const unknown = Object.keys(dates).find((name) => !names.includes(name));
  if (unknown !== undefined) throw new SealwireError('KEY_DATES_INVALID', `${DATES_MEMBER} has an unknown member`);
  const fault = findDateFault(dates);
  if (fault !== undefined) throw new SealwireError('KEY_DATES_INVALID', fault);
  if (custody === undefined) return orderDates(dates);
  if (typeof custody !== 'string') throw new SealwireError('KEY_INVALID', 'the custody of a key must be a PKCS#11 URI');
  parsePkcs11Uri(custody);
  return { custody, ...orderDates(dates) };
}
