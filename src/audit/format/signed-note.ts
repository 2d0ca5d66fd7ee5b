/** Signed notes (C2SP signed-note): a text and the signatures under it, for people and programs to read. */
import { SealwireError } from '../../errors.js';
import { decodeBase64, invalidNote, isKeyName, type NoteSigner, type NoteVerifier } from './note-keys.js';

/** One signature line. */
export interface NoteSignature {
  readonly name: string;
  readonly keyId: number;
  /** Without the four bytes of the key ID. */
  readonly signature: Buffer;
}

/** A note taken apart; nothing is verified yet. */
export interface SignedNote {
  /** What is signed, with its last newline. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** Longest note, in bytes, and most signatures, as in Go's package. */
export const MAX_NOTE_BYTES = 1_000_000;
const MAX_SIGNATURES = 100;
const ID_BYTES = 4;
const SIGNATURE_LINE = /^\u2014 ([^ ]+) ([^ ]+)$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that a note must not hold.
const CONTROL = /[\u0000-\u0009\u000b-\u001f]/;

/**
 * Takes a note apart. Formatting the result again gives the same bytes.
 *
 * @throws SealwireError `AUDIT_NOTE_INVALID`
 */
export function parseNote(note: string | Uint8Array): SignedNote {
  const whole = typeof note === 'string' ? note : decodeUtf8(note);
  if (whole.length > MAX_NOTE_BYTES) throw invalidNote('too long for a note');
  if (CONTROL.test(whole)) throw invalidNote('a note holds no control characters');
  // The last empty line: the text may hold others.
  const split = whole.lastIndexOf('\n\n');
  if (split < 0) throw invalidNote('a note is a text, an empty line and signatures');
  const lines = whole.slice(split + 2).split('\n');
  if (lines.pop() !== '' || lines.length === 0) throw invalidNote('a note ends with signature lines');
  if (lines.length > MAX_SIGNATURES) throw invalidNote('too many signatures for a note');
  return { text: whole.slice(0, split + 1), signatures: lines.map(parseSignature) };
}

/** @throws SealwireError `OPTIONS_INVALID` when the text cannot be one of a note */
export function formatNote({ text, signatures }: SignedNote): string {
  if (!text.endsWith('\n') || CONTROL.test(text) || Buffer.from(text).toString() !== text) {
    throw new SealwireError(
      'OPTIONS_INVALID',
      'the text of a note must end with a newline and hold no control characters',
    );
  }
  return `${text}\n${signatures.map(formatSignature).join('')}`;
}

/**
 * @param text with its last newline
 * @returns the note
 * @throws SealwireError `OPTIONS_INVALID`
 */
export function signNote(text: string, signers: readonly NoteSigner[]): string {
  const signatures = signers.map(({ verifier: { name, keyId }, sign }) => ({ name, keyId, signature: sign(text) }));
  return formatNote({ text, signatures });
}

/**
 * Verifies a note. Signatures by other keys are ignored; a wrong one by a known key invalidates the note.
 *
 * @returns the text, once at least one of the keys has signed it
 * @throws SealwireError `AUDIT_NOTE_INVALID`
 */
export function openNote(note: string | Uint8Array, verifiers: readonly NoteVerifier[]): string {
  const { text, signatures } = parseNote(note);
  let isSigned = false;
  for (const { name, keyId, signature } of signatures) {
    const verifier = verifiers.find((known) => known.name === name && known.keyId === keyId);
    if (verifier === undefined) continue;
    if (!verifier.verify(text, signature)) throw invalidNote(`the signature of ${name} is wrong`);
    isSigned = true;
  }
  if (!isSigned) throw invalidNote('the note is not signed by a known key');
  return text;
}

function parseSignature(line: string): NoteSignature {
  const [, name = '', encoded = ''] = SIGNATURE_LINE.exec(line) ?? [];
  const bytes = decodeBase64(encoded);
  if (!isKeyName(name) || bytes === undefined || bytes.length <= ID_BYTES) {
    throw invalidNote('a signature line of the note is malformed');
  }
  return { name, keyId: bytes.readUInt32BE(0), signature: bytes.subarray(ID_BYTES) };
}

function formatSignature({ name, keyId, signature }: NoteSignature): string {
  const id = Buffer.alloc(ID_BYTES);
  id.writeUInt32BE(keyId);
  return `\u2014 ${name} ${Buffer.concat([id, signature]).toString('base64')}\n`;
}

function decodeUtf8(bytes: Uint8Array): string {
  if (bytes.length > MAX_NOTE_BYTES) throw invalidNote('too long for a note');
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw invalidNote('a note is UTF-8 text');
  }
}
