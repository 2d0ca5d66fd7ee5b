/** Checkpoints (C2SP tlog-checkpoint): how large a log was and what its root was, as a signed note. */
import { HASH_BYTES } from './merkle-tree.js';
import { decodeBase64, invalidNote, type NoteSigner, type NoteVerifier } from './note-keys.js';
import { openNote, signNote } from './signed-note.js';

/** What a checkpoint says. */
export interface Checkpoint {
  /** Which log. */
  readonly origin: string;
  /** Leaves of the tree, 0 to 2^53 - 1. */
  readonly size: number;
  readonly root: Buffer;
  /** Further lines, none of them empty. We write none, and keep those of others. */
  readonly extensions: readonly string[];
}

/**
 * Reads the text of a checkpoint. Formatting the result again gives the same text.
 *
 * @param text a note's text, with its last newline
 * @throws SealwireError `AUDIT_NOTE_INVALID`
 */
export function parseCheckpoint(text: string): Checkpoint {
  const lines = text.split('\n');
  if (lines.pop() !== '') throw invalidNote('a checkpoint ends with a newline');
  const [origin = '', size = '', encoded = '', ...extensions] = lines;
  if (origin === '') throw invalidNote('a checkpoint starts with the origin of its log');
  if (!/^(?:0|[1-9]\d{0,15})$/.test(size) || !Number.isSafeInteger(Number(size))) {
    throw invalidNote('the second line of a checkpoint is the size of the tree, up to 2^53 - 1');
  }
  const root = decodeBase64(encoded);
  if (root?.length !== HASH_BYTES) throw invalidNote('the third line of a checkpoint is the root, 32 bytes in base64');
  if (extensions.includes('')) throw invalidNote('a checkpoint has no empty lines');
  return { origin, size: Number(size), root, extensions };
}

/** @returns the text, ready to be signed */
export function formatCheckpoint({ origin, size, root, extensions }: Checkpoint): string {
  return [origin, String(size), root.toString('base64'), ...extensions].map((line) => `${line}\n`).join('');
}

/** @returns the signed note of a checkpoint whose origin is the signer's name */
export function signCheckpoint(tree: { readonly size: number; readonly root: Buffer }, signer: NoteSigner): string {
  return signNote(formatCheckpoint({ ...tree, origin: signer.verifier.name, extensions: [] }), [signer]);
}

/**
 * Verifies a checkpoint of the log that the key belongs to.
 *
 * @throws SealwireError `AUDIT_NOTE_INVALID`
 */
export function openCheckpoint(note: string | Uint8Array, verifier: NoteVerifier): Checkpoint {
  const checkpoint = parseCheckpoint(openNote(note, [verifier]));
  if (checkpoint.origin !== verifier.name) throw invalidNote('the checkpoint is of another log');
  return checkpoint;
}

/** A file of many checkpoints taken apart. */
export interface CheckpointList {
  /** Signed notes, unverified, oldest first. */
  readonly notes: readonly string[];
  /** Text behind the last complete note: empty, or left by a crash. */
  readonly torn: string;
}

/**
 * Takes the file `checkpoints` apart: signed notes, each followed by an empty line. No note holds an empty line but
 * the one before its signatures, so every second one ends a note.
 */
export function splitCheckpoints(text: string): CheckpointList {
  const blocks = text.split('\n\n');
  const notes: string[] = [];
  let index = 0;
  for (; index + 2 < blocks.length; index += 2) notes.push(`${blocks[index]}\n\n${blocks[index + 1]}\n`);
  return { notes, torn: blocks.slice(index).join('\n\n') };
}
