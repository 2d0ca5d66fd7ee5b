/** What reviewers keep elsewhere: verifier keys and checkpoints. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Checkpoint, openCheckpoint, parseCheckpoint, splitCheckpoints } from '../../audit/format/checkpoint.js';
import { VERIFIER_KEY_FILE } from '../../audit/format/log-files.js';
import { type NoteVerifier, parseVerifierKey } from '../../audit/format/note-keys.js';
import { parseNote } from '../../audit/format/signed-note.js';
import type { Finding } from '../../audit/read/findings.js';
import { readOrThrow, readSmallFile } from '../../audit/read/line-blocks.js';
import { SealwireError } from '../../errors.js';
import { decodeText } from '../../files/file-text.js';
import { messageOf } from '../../host/process/exit.js';

/**
 * @param vkey a file, or the key itself; default: the one in the log
 * @throws SealwireError `OPTIONS_INVALID` when it is not a key, `AUDIT_FILE_INVALID` when there is none
 */
export function readVerifier(dir: string, vkey: string | undefined): NoteVerifier {
  const isText = vkey !== undefined && !existsSync(vkey) && vkey.includes('+');
  const path = vkey ?? join(dir, VERIFIER_KEY_FILE);
  const read = () => (vkey === undefined ? readSmallFile(path) : readOrThrow(path, () => readFileSync(path)));
  const text = isText ? vkey : decodeText(read());
  return asInput(isText ? 'the key' : path, () => parseVerifierKey(text.trim()));
}

/** A signed checkpoint from a file, not opened yet. */
export interface KeptNote {
  readonly path: string;
  readonly note: string;
  /** The log that it says it is of. */
  readonly origin: string;
}

/**
 * @param path of a file with one or more checkpoints
 * @throws SealwireError `OPTIONS_INVALID` when it holds none
 */
export function readNotes(path: string): KeptNote[] {
  const text = readOrThrow(path, () => decodeText(readFileSync(path)))
    .trim()
    // Files that were put together have no empty line between them.
    .replace(/^(\u2014 .*\n)(?=[^\n\u2014])/gm, '$1\n');
  const { notes, torn } = splitCheckpoints(`${text}\n\n`);
  if (notes.length === 0 || torn !== '') throw new SealwireError('OPTIONS_INVALID', `${path}: not a checkpoint`);
  return notes.map((note) => {
    const { origin } = asInput(path, () => parseCheckpoint(parseNote(note).text));
    return { path, note, origin };
  });
}

/** A checkpoint from a file, or why it does not belong to this log. */
export interface KeptCheckpoint {
  readonly checkpoint: Checkpoint | undefined;
  readonly note: string;
  readonly finding: Finding | undefined;
}

/** Opens a checkpoint of a log. */
export function openNote({ path, note }: KeptNote, verifier: NoteVerifier): KeptCheckpoint {
  try {
    return { checkpoint: openCheckpoint(note, verifier), note, finding: undefined };
  } catch (error) {
    const detail = `the kept checkpoint in ${path}: ${messageOf(error)}`;
    return { checkpoint: undefined, note, finding: { kind: 'bad-signature', seq: undefined, detail } };
  }
}

/** An error in the user's own file is wrong use, not a finding about the log. */
export function asInput<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new SealwireError('OPTIONS_INVALID', `${path}: ${messageOf(error)}`);
  }
}
