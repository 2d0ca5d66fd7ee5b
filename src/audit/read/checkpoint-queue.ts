/**
 * The checkpoints that a log has to agree with, in the order of their sizes: its own, read as they are needed, and kept
 * ones.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { SealwireError } from '../../errors.js';
import { type Checkpoint, openCheckpoint } from '../format/checkpoint.js';
import { CHECKPOINT_FILE, CHECKPOINTS_FILE } from '../format/log-files.js';
import type { NoteVerifier } from '../format/note-keys.js';
import { MAX_NOTE_BYTES } from '../format/signed-note.js';
import type { Finding } from './findings.js';
import { readItemBlocks, readSmallFile } from './line-blocks.js';

/** A checkpoint with a valid signature, and its source. */
export interface Pin extends Checkpoint {
  readonly source: 'own' | 'kept';
}

/** What a log's file `checkpoint` holds. */
export interface LatestCheckpoint {
  readonly note: string;
  /** Undefined when it is not a checkpoint signed by the key. */
  readonly checkpoint: Checkpoint | undefined;
  readonly finding: Finding | undefined;
}

/** @returns undefined when the log has none */
export function readLatestCheckpoint(dir: string, verifier: NoteVerifier): LatestCheckpoint | undefined {
  const path = join(dir, CHECKPOINT_FILE);
  if (!existsSync(path)) return undefined;
  const note = readSmallFile(path);
  const { checkpoint, finding } = open(note, verifier, 'the latest checkpoint');
  return { note: note.toString('utf8'), checkpoint, finding };
}

/** Gives pins in the order of their sizes. */
export class PinQueue {
  readonly #own: Generator<Pin, void, undefined>;
  readonly #others: Pin[];
  readonly #report: (finding: Finding) => void;
  #nextOwn: Pin | undefined;

  /**
   * @param others pins besides those of the file `checkpoints`
   * @param report told of checkpoints that are damaged or badly signed
   */
  constructor(dir: string, verifier: NoteVerifier, others: readonly Pin[], report: (finding: Finding) => void) {
    this.#report = report;
    this.#others = [...others].sort((a, b) => a.size - b.size);
    this.#own = this.#readOwn(dir, verifier);
    this.#advance();
  }

  /** Size of the next pin; infinite when there is none. */
  get nextSize(): number {
    return Math.min(this.#nextOwn?.size ?? Number.POSITIVE_INFINITY, this.#others[0]?.size ?? Number.POSITIVE_INFINITY);
  }

  /** Takes the next pin; of two equal ones, the log's own first. */
  take(): Pin | undefined {
    const own = this.#nextOwn;
    if (own === undefined || own.size > (this.#others[0]?.size ?? Number.POSITIVE_INFINITY))
      return this.#others.shift();
    this.#advance();
    return own;
  }

  close(): void {
    this.#own.return();
  }

  #advance(): void {
    const { value, done } = this.#own.next();
    this.#nextOwn = done === true ? undefined : value;
  }

  *#readOwn(dir: string, verifier: NoteVerifier): Generator<Pin, void, undefined> {
    const path = join(dir, CHECKPOINTS_FILE);
    if (!existsSync(path)) return;
    let size = -1;
    let count = 0;
    const notes = readNotes(path);
    let next = notes.next();
    for (; next.done !== true; next = notes.next()) {
      const note = next.value;
      const what = `checkpoint ${count++} of the file ${CHECKPOINTS_FILE}`;
      const { checkpoint, finding } = open(note, verifier, what);
      if (checkpoint === undefined) {
        this.#report(finding as Finding);
      } else if (checkpoint.size < size) {
        this.#report({ kind: 'bad-checkpoint', seq: undefined, detail: `${what} is smaller than the one before it` });
      } else {
        size = checkpoint.size;
        yield { ...checkpoint, source: 'own' };
      }
    }
    if (!isBeginningOf(next.value, join(dir, CHECKPOINT_FILE))) {
      const detail = `the file ${CHECKPOINTS_FILE} ends with something that is no part of a checkpoint`;
      this.#report({ kind: 'bad-checkpoint', seq: undefined, detail });
    }
  }
}

/** Signed notes, each followed by an empty line. @returns what is behind the last one */
function* readNotes(path: string): Generator<Buffer, Buffer, undefined> {
  let rest: Buffer = Buffer.alloc(0);
  for (const block of readItemBlocks(path, 1)) {
    rest = Buffer.concat([rest, block]);
    let start = 0;
    // The first empty line is the note's own, the second one ends it.
    for (;;) {
      const own = rest.indexOf('\n\n', start);
      const end = own < 0 ? -1 : rest.indexOf('\n\n', own + 2);
      if (end < 0) break;
      yield rest.subarray(start, end + 1);
      start = end + 2;
    }
    rest = rest.subarray(start);
    // No note is this long, so what follows is none.
    if (rest.length > 2 * MAX_NOTE_BYTES) return rest;
  }
  return rest;
}

/** A note being appended, or torn by a crash, is the latest checkpoint, which `checkpoint` already holds. */
function isBeginningOf(torn: Buffer, latestPath: string): boolean {
  if (torn.length === 0) return true;
  const latest = existsSync(latestPath) ? readSmallFile(latestPath) : Buffer.alloc(0);
  return Buffer.concat([latest, Buffer.from('\n')])
    .subarray(0, torn.length)
    .equals(torn);
}

function open(
  note: Buffer,
  verifier: NoteVerifier,
  what: string,
): { readonly checkpoint: Checkpoint | undefined; readonly finding: Finding | undefined } {
  try {
    return { checkpoint: openCheckpoint(note, verifier), finding: undefined };
  } catch (error) {
    const why = error instanceof SealwireError ? error.message : 'unreadable';
    return { checkpoint: undefined, finding: { kind: 'bad-signature', seq: undefined, detail: `${what}: ${why}` } };
  }
}
