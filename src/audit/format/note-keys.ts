/** Ed25519 keys of signed notes in their text forms (C2SP signed-note; Go's golang.org/x/mod/sumdb/note). */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, randomBytes, sign, verify } from 'node:crypto';
import { SealwireError } from '../../errors.js';

/** Checks signatures of one key. */
export interface NoteVerifier {
  readonly name: string;
  /** First four bytes of SHA-256 over name, newline, type and public key, as a number. */
  readonly keyId: number;
  /** The text form: `NAME+ID+KEY`. */
  readonly vkey: string;
  verify(text: string, signature: Uint8Array): boolean;
}

/** Signs with one key. */
export interface NoteSigner {
  readonly verifier: NoteVerifier;
  sign(text: string): Buffer;
}

/** Signature type of plain Ed25519, the only one we know. */
const ED25519 = 0x01;
const KEY_BYTES = 32;
const SIGNER_PREFIX = 'PRIVATE+KEY+';
const MAX_KEY_TEXT = 1_024;
/** DER around a raw Ed25519 key: PKCS#8 (RFC 8410 §7) and SPKI (§4). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

/** @returns whether a key may have this name: not empty, no white space, no control character, no plus sign */
export function isKeyName(name: string): boolean {
  return name !== '' && !/[\s\p{Cc}+]/u.test(name) && Buffer.from(name).toString() === name;
}

/**
 * Makes a key.
 *
 * @returns its secret text form, `PRIVATE+KEY+NAME+ID+SEED`
 * @throws SealwireError `OPTIONS_INVALID` when the name cannot be one
 */
export function createSignerKey(name: string): string {
  if (!isKeyName(name)) {
    throw new SealwireError(
      'OPTIONS_INVALID',
      'the name of a signing key must not be empty or hold white space, control characters or +',
    );
  }
  const seed = randomBytes(KEY_BYTES);
  const { keyId } = createVerifier(name, exportPublic(importSeed(seed)));
  return `${SIGNER_PREFIX}${name}+${hexId(keyId)}+${encodeKey(seed)}`;
}

/** @throws SealwireError `AUDIT_NOTE_INVALID`; the message never quotes the text */
export function parseSignerKey(text: string): NoteSigner {
  if (!text.startsWith(SIGNER_PREFIX)) throw invalidNote('not a signing key of the form PRIVATE+KEY+NAME+ID+SEED');
  const { name, id, key } = splitKey(text.slice(SIGNER_PREFIX.length), 'signing key');
  const privateKey = importSeed(key);
  const verifier = createVerifier(name, exportPublic(privateKey));
  if (hexId(verifier.keyId) !== id) throw invalidNote('the signing key does not belong to its name and ID');
  return { verifier, sign: (signed) => sign(null, Buffer.from(signed), privateKey) };
}

/** @throws SealwireError `AUDIT_NOTE_INVALID` */
export function parseVerifierKey(text: string): NoteVerifier {
  const { name, id, key } = splitKey(text, 'verifier key');
  const verifier = createVerifier(name, key);
  if (hexId(verifier.keyId) !== id) throw invalidNote('the verifier key does not belong to its name and ID');
  return verifier;
}

function splitKey(text: string, what: string): { readonly name: string; readonly id: string; readonly key: Buffer } {
  const form = `not a ${what} of the form NAME+ID+KEY`;
  if (text.length > MAX_KEY_TEXT) throw invalidNote(form);
  // Base64 may hold plus signs, names and IDs cannot.
  const [, name = '', id = '', encoded = ''] = /^([^+]*)\+([0-9a-f]{8})\+(.*)$/s.exec(text) ?? [];
  const bytes = decodeBase64(encoded);
  if (!isKeyName(name) || bytes === undefined || bytes.length === 0) throw invalidNote(form);
  if (bytes[0] !== ED25519 || bytes.length !== 1 + KEY_BYTES) throw invalidNote(`the ${what} is not an Ed25519 key`);
  return { name, id, key: bytes.subarray(1) };
}

function createVerifier(name: string, key: Buffer): NoteVerifier {
  const encoded = Buffer.concat([Buffer.of(ED25519), key]);
  const keyId = createHash('sha256').update(`${name}\n`).update(encoded).digest().readUInt32BE(0);
  const publicKey = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, key]), format: 'der', type: 'spki' });
  return {
    name,
    keyId,
    vkey: `${name}+${hexId(keyId)}+${encodeKey(key)}`,
    verify: (text, signature) => verify(null, Buffer.from(text), publicKey, signature),
  };
}

function importSeed(seed: Buffer): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
}

function exportPublic(privateKey: KeyObject): Buffer {
  return createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(SPKI_PREFIX.length);
}

function encodeKey(key: Buffer): string {
  return Buffer.concat([Buffer.of(ED25519), key]).toString('base64');
}

function hexId(keyId: number): string {
  return keyId.toString(16).padStart(8, '0');
}

/** @returns undefined unless re-encoding gives the same text: padded base64 of RFC 4648 §4 and nothing else */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

/** @internal */
export function invalidNote(message: string): SealwireError {
  return new SealwireError('AUDIT_NOTE_INVALID', message);
}
