/** PKCS#11 URIs (RFC 7512): which key, on which token, through which module. */
import { SealwireError } from '../../errors.js';

/** A parsed URI; every attribute is optional and narrows what matches. */
export interface Pkcs11Uri {
  /** Label of the token. */
  readonly token?: string;
  /** Serial number of the token. */
  readonly serial?: string;
  readonly manufacturer?: string;
  readonly model?: string;
  readonly slotId?: number;
  /** CKA_LABEL of the key. */
  readonly object?: string;
  /** CKA_ID of the key. */
  readonly id?: Buffer;
  /** Path of the PKCS#11 library. */
  readonly modulePath?: string;
  /** Path of a file whose first line is the PIN. */
  readonly pinSource?: string;
}

const MAX_URI_CHARS = 2_048;
/** Path attributes (RFC 7512 §2.3), as they are called there and here. */
const PATH_NAMES: Readonly<Record<string, keyof Pkcs11Uri>> = {
  token: 'token',
  serial: 'serial',
  manufacturer: 'manufacturer',
  model: 'model',
  'slot-id': 'slotId',
  object: 'object',
  id: 'id',
};
const QUERY_NAMES: Readonly<Record<string, keyof Pkcs11Uri>> = {
  'module-path': 'modulePath',
  'pin-source': 'pinSource',
};
/** What stands in a path unescaped (RFC 7512 §2.3), less what would end it in a shell or in JSON. */
const UNESCAPED = /[^A-Za-z0-9\-._~:[\]@!$'()*+,=/]/gu;

/**
 * @param text `pkcs11:` and attributes, at most 2,048 characters
 * @throws SealwireError `OPTIONS_INVALID` for a malformed, repeated or unknown attribute, and for `pin-value`: a PIN
 *   has no business in an argument or a ring file
 */
export function parsePkcs11Uri(text: string): Pkcs11Uri {
  if (!text.startsWith('pkcs11:')) throw invalid('it does not start with pkcs11:');
  if (text.length > MAX_URI_CHARS) throw invalid(`it exceeds ${MAX_URI_CHARS} characters`);
  const [path = '', query, ...rest] = text.slice('pkcs11:'.length).split('?');
  if (rest.length > 0) throw invalid('it has two question marks');
  const found = new Map<keyof Pkcs11Uri, string | number | Buffer>();
  const add = (pair: string, names: Readonly<Record<string, keyof Pkcs11Uri>>) => {
    const at = pair.indexOf('=');
    const name = at < 0 ? pair : pair.slice(0, at);
    if (name === 'pin-value') throw invalid('pin-value would show the PIN; use pin-source or SEALWIRE_HSM_PIN');
    const bytes = at < 0 ? undefined : decodePercent(pair.slice(at + 1));
    if (name === 'type' && names === PATH_NAMES) {
      // Keys come in pairs, and the private half is the one that is meant.
      if (bytes?.toString() !== 'private') throw invalid('its type is not private');
      return;
    }
    const key = Object.hasOwn(names, name) ? names[name] : undefined;
    if (key === undefined || bytes === undefined) throw invalid(`'${printable(name)}' is not an attribute of it`);
    if (found.has(key)) throw invalid(`${name} occurs twice`);
    found.set(key, toValue(key, name, bytes));
  };
  for (const pair of path.split(';').filter(Boolean)) add(pair, PATH_NAMES);
  for (const pair of (query ?? '').split('&').filter(Boolean)) add(pair, QUERY_NAMES);
  return Object.fromEntries(found) as Pkcs11Uri;
}

/** @returns the URI with its attributes in a fixed order */
export function formatPkcs11Uri(uri: Pkcs11Uri): string {
  const write = (names: Readonly<Record<string, keyof Pkcs11Uri>>) =>
    Object.entries(names).flatMap(([name, key]) => {
      const value = uri[key];
      return value === undefined ? [] : [`${name}=${encodePercent(value)}`];
    });
  const query = write(QUERY_NAMES).join('&');
  return `pkcs11:${write(PATH_NAMES).join(';')}${query === '' ? '' : `?${query}`}`;
}

function toValue(key: keyof Pkcs11Uri, name: string, bytes: Buffer): string | number | Buffer {
  if (key === 'id') return bytes;
  const text = bytes.toString('utf8');
  if (!Buffer.from(text).equals(bytes) || text.includes('\0')) throw invalid(`${name} is not text`);
  if (key === 'slotId') {
    const slot = Number(text);
    if (!/^\d{1,15}$/.test(text)) throw invalid(`${name} is not a number`);
    return slot;
  }
  // `file:` is how RFC 7512 §2.4 writes a path; other schemes name programs and services, which are not asked.
  if (key !== 'pinSource') return text;
  const path = text.replace(/^file:(?:\/\/)?/, '');
  if (/^[a-z][a-z0-9+.-]+:/i.test(path) || path.startsWith('|')) throw invalid(`${name} is not a file`);
  return path;
}

function decodePercent(text: string): Buffer {
  const parts = text.split(/(%[0-9A-Fa-f]{2})/);
  if (parts.some((part, index) => index % 2 === 0 && part.includes('%')))
    throw invalid('a % is not followed by two digits');
  return Buffer.concat(
    parts.map((part, index) => Buffer.from(index % 2 === 0 ? part : part.slice(1), index % 2 === 0 ? 'utf8' : 'hex')),
  );
}

function encodePercent(value: string | number | Buffer): string {
  if (Buffer.isBuffer(value)) return [...value].map(percent).join('');
  return String(value).replace(UNESCAPED, (character) => [...Buffer.from(character)].map(percent).join(''));
}

function percent(byte: number): string {
  return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
}

function printable(name: string): string {
  return name.replace(/[^\x20-\x7e]/g, '?').slice(0, 32);
}

function invalid(why: string): SealwireError {
  return new SealwireError('OPTIONS_INVALID', `PKCS#11 URI: ${why}`);
}
