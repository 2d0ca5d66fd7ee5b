/**
 * Key files at rest: a compact JWE under a passphrase (RFC 7517 appendix C), by node-jose. Two of its habits are
 * avoided: it would put a fast hash of the passphrase into the header as `kid`, and iterate 8,192 times only.
 */
import type nodeJose from 'node-jose';
import { SealwireError } from '../errors.js';
import { decodeCanonical } from '../jwe/base64url.js';
import { loadNodeJose } from './node-jose.js';

/** What is inside: the `cty` of the JWE. */
export type KeyFileType = 'jwk-set+json' | 'jwk+json';

/** The one algorithm that is written and read (RFC 7518 §4.8). */
const ALG = 'PBES2-HS512+A256KW';
const ENC = 'A256GCM';
/** PBKDF2 with HMAC-SHA-512: 0.1 s on one current core. A file with fewer iterations is refused. */
export const MIN_ITERATIONS = 210_000;
/** A file with more iterations, which would take many seconds, is refused. */
export const MAX_ITERATIONS = 10_000_000;
const MIN_SALT_BYTES = 16;
const MAX_SALT_BYTES = 1_024;
const TAG_CHARS = 22;

/** @returns whether the text is meant as an encrypted key file, whole or not */
export function isEncrypted(text: string): boolean {
  return text.startsWith('ey');
}

/**
 * @param text the key file's JSON
 * @param passphrase at least one character; compared as UTF-8 in Unicode form NFC
 * @param iterations 210,000 to 10,000,000. Default 210,000
 * @returns one line: a compact JWE
 * @throws SealwireError `OPTIONS_INVALID`
 */
export async function encryptKeyFile(
  text: string,
  passphrase: string,
  cty: KeyFileType,
  iterations: number = MIN_ITERATIONS,
): Promise<string> {
  if (!Number.isInteger(iterations) || iterations < MIN_ITERATIONS || iterations > MAX_ITERATIONS) {
    throw new SealwireError('OPTIONS_INVALID', `iterations must be from ${MIN_ITERATIONS} to ${MAX_ITERATIONS}`);
  }
  const key = await importPassphrase(passphrase);
  const fields = { alg: ALG, p2c: iterations, cty };
  const recipient = { key, reference: false, header: {} };
  const options = { format: 'compact', contentAlg: ENC, fields } as const;
  // Its types lack recipients with `reference`, and do not know that the compact form is a string.
  const { JWE } = await loadNodeJose();
  const encrypter = JWE.createEncrypt(options, recipient as never);
  const token = (await encrypter.update(text).final()) as unknown as string;
  const header = parseHeader(token.split('.', 1)[0] as string);
  if (header === undefined || 'kid' in header || header['p2c'] !== iterations) {
    throw new SealwireError('KEY_FILE_WRITE', 'the library made a header that must not be written');
  }
  return `${token}\n`;
}

/**
 * @param path named in errors
 * @param text a file for which {@link isEncrypted} holds
 * @throws SealwireError `KEY_FILE_INCOMPLETE` when an end is missing, `KEY_FILE_INVALID` for another kind of JWE or too
 *   few or far too many iterations, `KEY_PASSPHRASE_WRONG` when the passphrase is another one or the file was changed
 */
export async function decryptKeyFile(
  path: string,
  text: string,
  passphrase: string,
  cty: KeyFileType,
): Promise<string> {
  const token = text.trimEnd();
  checkHeader(path, checkParts(path, token), cty);
  const key = await importPassphrase(passphrase);
  try {
    const { JWE } = await loadNodeJose();
    const algorithms = [ALG, ENC];
    const { plaintext } = await JWE.createDecrypt(key, { algorithms }).decrypt(token);
    return plaintext.toString('utf8');
  } catch {
    throw new SealwireError('KEY_PASSPHRASE_WRONG', `${path}: the passphrase is wrong, or the file was changed`);
  }
}

async function importPassphrase(passphrase: string): Promise<nodeJose.JWK.Key> {
  if (passphrase === '') throw new SealwireError('OPTIONS_INVALID', 'an empty passphrase protects nothing');
  const k = Buffer.from(passphrase.normalize('NFC'), 'utf8').toString('base64url');
  const { JWK } = await loadNodeJose();
  return JWK.asKey({ kty: 'oct', k, alg: ALG });
}

/** @returns the header part */
function checkParts(path: string, token: string): string {
  if (!/^[A-Za-z0-9_.-]*$/.test(token)) throw unfit(path, 'neither a JWK Set nor an encrypted one');
  const parts = token.split('.');
  const [header = '', , , , tag = ''] = parts;
  if (parts.length < 5 || tag.length < TAG_CHARS) {
    throw new SealwireError('KEY_FILE_INCOMPLETE', `${path}: the end is missing; the file was cut short`);
  }
  if (parts.length > 5 || tag.length > TAG_CHARS) throw unfit(path, 'more in it than one encrypted key file');
  return header;
}

function checkHeader(path: string, part: string, cty: KeyFileType): void {
  const header = parseHeader(part);
  if (header === undefined) throw unfit(path, 'its header cannot be read');
  const { alg, enc, p2c, p2s } = header;
  if (alg !== ALG || enc !== ENC) throw unfit(path, `not encrypted with ${ALG} and ${ENC}`);
  if (header['cty'] !== cty) throw unfit(path, `encrypted, but not a ${cty === 'jwk+json' ? 'JWK' : 'JWK Set'}`);
  if (!Number.isInteger(p2c) || (p2c as number) < MIN_ITERATIONS) {
    throw unfit(path, `its passphrase is protected by less than ${MIN_ITERATIONS} iterations`);
  }
  if ((p2c as number) > MAX_ITERATIONS) throw unfit(path, `it asks for more than ${MAX_ITERATIONS} iterations`);
  const salt = typeof p2s === 'string' ? decodeCanonical(p2s)?.length : undefined;
  if (salt === undefined || salt < MIN_SALT_BYTES || salt > MAX_SALT_BYTES) throw unfit(path, 'its salt is unfit');
}

function parseHeader(part: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function unfit(path: string, why: string): SealwireError {
  return new SealwireError('KEY_FILE_INVALID', `${path}: ${why}`);
}
