/** `sealwire audit prove` and `check-proof`: proofs that can be handed to somebody who has no access to the log. */
import { readFileSync } from 'node:fs';
import type { Checkpoint } from '../../audit/format/checkpoint.js';
import type { NoteVerifier } from '../../audit/format/note-keys.js';
import {
  type ConsistencyProof,
  checkProof,
  formatProof,
  type InclusionProof,
  parseProof,
} from '../../audit/format/proof-files.js';
import { consistencyRanges, hashRanges, inclusionRanges } from '../../audit/format/proofs.js';
import { readAllLeaves } from '../../audit/read/all-leaves.js';
import { readLatestCheckpoint } from '../../audit/read/checkpoint-queue.js';
import { readOrThrow } from '../../audit/read/line-blocks.js';
import { findRecord } from '../../audit/read/read-records.js';
import { SealwireError } from '../../errors.js';
import { decodeText } from '../../files/file-text.js';
import { ExitCode, messageOf } from '../../host/process/exit.js';
import { print } from '../output.js';
import { asInput, openNote, readNotes, readVerifier } from './kept.js';
import { visible, visibleLine } from './record-text.js';

/** Flags of `prove`. */
export interface ProveFlags {
  readonly dir: string;
  readonly vkey?: string;
  /** File of the checkpoint to prove against. Default: the log's latest. */
  readonly checkpoint?: string;
}

/** Prints a proof that a record is in the log. @returns exit code: 1 when there is no proof */
export async function proveInclusion(seq: number, flags: ProveFlags): Promise<number> {
  const { dir } = flags;
  const verifier = readVerifier(dir, flags.vkey);
  const { note, checkpoint } = readTarget(flags, verifier);
  if (seq >= checkpoint.size)
    return refuse(`record ${seq} is not in the checkpoint, which counts ${checkpoint.size} records`);
  const found = findRecord(dir, seq);
  if (typeof found === 'string') return refuse(`record ${seq}: its line is missing`);
  const hashes = hashRanges(inclusionRanges(seq, checkpoint.size), readAllLeaves(dir));
  return printProof({ kind: 'inclusion', index: seq, line: found.line, hashes, note }, verifier);
}

/**
 * Prints a proof that a kept checkpoint's log is the beginning of this one.
 * @returns exit code: 1 when there is none
 */
export async function proveConsistency(older: string, flags: ProveFlags): Promise<number> {
  const { dir } = flags;
  const verifier = readVerifier(dir, flags.vkey);
  const { note: newNote, checkpoint } = readTarget(flags, verifier);
  const { note: oldNote, checkpoint: old } = readOne(older, verifier);
  if (old.size > checkpoint.size)
    return refuse(`the older checkpoint counts ${old.size} records, the newer one ${checkpoint.size}`);
  if (old.size === 0) return refuse('a checkpoint of no records is the beginning of any log');
  const hashes = hashRanges(consistencyRanges(old.size, checkpoint.size), readAllLeaves(dir));
  return printProof({ kind: 'consistency', hashes, oldNote, newNote }, verifier);
}

/** Verifies a proof without the log. @returns exit code: 1 when it proves nothing */
export async function check(path: string, { vkey }: { readonly vkey: string }): Promise<number> {
  const verifier = readVerifier('', vkey);
  const proof = asInput(path, () => parseProof(readOrThrow(path, () => `${decodeText(readFileSync(path)).trim()}\n`)));
  const name = visible(verifier.name);
  try {
    const proven = checkProof(proof, verifier);
    if (proven === undefined) return refuse(`${path}: NOT PROVEN: the hashes do not lead to the checkpoint`);
    const { checkpoint, old } = proven;
    if (proof.kind === 'inclusion') {
      process.stderr.write(`proven: record ${proof.index} of ${name}, in a log of ${checkpoint.size} records\n`);
      await print(`${visibleLine(proof.line)}\n`);
    } else {
      await print(`proven: the ${old?.size} records of ${name} are the first of its ${checkpoint.size}\n`);
    }
    return ExitCode.DONE;
  } catch (error) {
    return refuse(`${path}: NOT PROVEN: ${messageOf(error)}`);
  }
}

/** Verifies our own proof before it is printed, like anybody's. */
async function printProof(proof: InclusionProof | ConsistencyProof, verifier: NoteVerifier): Promise<number> {
  if (checkProof(proof, verifier) === undefined) {
    return refuse('the log does not match its checkpoint; run sealwire audit verify');
  }
  await print(formatProof(proof));
  return ExitCode.DONE;
}

interface SignedCheckpoint {
  readonly note: string;
  readonly checkpoint: Checkpoint;
}

function readTarget({ dir, checkpoint }: ProveFlags, verifier: NoteVerifier): SignedCheckpoint {
  if (checkpoint !== undefined) return readOne(checkpoint, verifier);
  const latest = readLatestCheckpoint(dir, verifier);
  if (latest?.checkpoint === undefined) {
    throw new SealwireError('AUDIT_FILE_INVALID', `${dir}: ${latest?.finding?.detail ?? 'the log has no checkpoint'}`);
  }
  return { note: latest.note, checkpoint: latest.checkpoint };
}

function readOne(path: string, verifier: NoteVerifier): SignedCheckpoint {
  const [first, ...others] = readNotes(path).map((note) => openNote(note, verifier));
  if (first === undefined || others.length > 0)
    throw new SealwireError('OPTIONS_INVALID', `${path}: more than one checkpoint`);
  if (first.checkpoint === undefined)
    throw new SealwireError('OPTIONS_INVALID', `${path}: ${first.finding?.detail ?? ''}`);
  return { note: first.note, checkpoint: first.checkpoint };
}

function refuse(message: string): number {
  process.stderr.write(`${message}\n`);
  return ExitCode.NEGATIVE;
}
