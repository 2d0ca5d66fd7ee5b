/**
 * Proofs as self-contained files. Inclusion: C2SP tlog-proof, whose extra data is the record. Consistency: the
 * hashes between a line that names the format and the two checkpoints. docs/audit-format.md has both byte by byte.
 */
import { type Checkpoint, openCheckpoint, splitCheckpoints } from './checkpoint.js';
import { HASH_BYTES, hashLeaf } from './merkle-tree.js';
import { decodeBase64, invalidNote, type NoteVerifier } from './note-keys.js';
import { verifyConsistency, verifyInclusion } from './proofs.js';

const INCLUSION = 'c2sp.org/tlog-proof@v1';
const CONSISTENCY = 'sealwire-consistency-proof@v1';
/** Longest proof file: a record of 64 tokens, in base64. */
const MAX_PROOF_CHARS = 100_000_000;
/** Highest tree of 2^53 leaves. */
const MAX_HASHES = 128;

/** A proof that a record is in a log. */
export interface InclusionProof {
  readonly kind: 'inclusion';
  readonly index: number;
  /** The record's line, without its newline. */
  readonly line: Buffer;
  readonly hashes: readonly Buffer[];
  /** A checkpoint of the log as a signed note. */
  readonly note: string;
}

/** A proof that one checkpoint's log is the beginning of another's. */
export interface ConsistencyProof {
  readonly kind: 'consistency';
  readonly hashes: readonly Buffer[];
  readonly oldNote: string;
  readonly newNote: string;
}

/** @returns the file's text */
export function formatProof(proof: InclusionProof | ConsistencyProof): string {
  const hashes = proof.hashes.map((hash) => `${hash.toString('base64')}\n`).join('');
  if (proof.kind === 'consistency') return `${CONSISTENCY}\n${hashes}\n${proof.oldNote}\n${proof.newNote}`;
  const { index, line, note } = proof;
  return `${INCLUSION}\nextra ${line.toString('base64')}\nindex ${index}\n${hashes}\n${note}`;
}

/** @throws SealwireError `AUDIT_NOTE_INVALID` */
export function parseProof(text: string): InclusionProof | ConsistencyProof {
  if (text.length > MAX_PROOF_CHARS) throw invalidNote('too long for a proof');
  const split = text.indexOf('\n\n');
  const [format, ...lines] = text.slice(0, Math.max(0, split)).split('\n');
  const rest = text.slice(split + 2);
  if (format === CONSISTENCY) {
    const { notes, torn } = splitCheckpoints(`${rest}\n`);
    const [oldNote, newNote, ...more] = notes;
    if (oldNote === undefined || newNote === undefined || more.length > 0 || torn !== '') {
      throw invalidNote('a consistency proof has two checkpoints');
    }
    return { kind: 'consistency', hashes: parseHashes(lines), oldNote, newNote };
  }
  if (format !== INCLUSION) throw invalidNote('not a proof of a format that is known');
  const [extra = '', place = '', ...hashes] = lines;
  const line = extra.startsWith('extra ') ? decodeBase64(extra.slice(6)) : undefined;
  if (line === undefined) throw invalidNote('the proof does not hold the record, in its extra data');
  const [, index] = /^index (0|[1-9]\d{0,15})$/.exec(place) ?? [];
  if (index === undefined) throw invalidNote('the proof has no index');
  return { kind: 'inclusion', index: Number(index), line, hashes: parseHashes(hashes), note: rest };
}

/** What a proof proves. */
export interface Proven {
  readonly old?: Checkpoint;
  readonly checkpoint: Checkpoint;
}

/**
 * Verifies a proof with nothing but the log's key.
 *
 * @returns undefined when the hashes do not lead to the checkpoint
 * @throws SealwireError `AUDIT_NOTE_INVALID` when a checkpoint is not signed by the key
 */
export function checkProof(proof: InclusionProof | ConsistencyProof, verifier: NoteVerifier): Proven | undefined {
  if (proof.kind === 'inclusion') {
    const checkpoint = openCheckpoint(proof.note, verifier);
    const { size, root } = checkpoint;
    return verifyInclusion(proof.index, size, hashLeaf(proof.line), root, proof.hashes) ? { checkpoint } : undefined;
  }
  const old = openCheckpoint(proof.oldNote, verifier);
  const checkpoint = openCheckpoint(proof.newNote, verifier);
  const isProven = verifyConsistency(old.size, checkpoint.size, old.root, checkpoint.root, proof.hashes);
  return isProven ? { old, checkpoint } : undefined;
}

function parseHashes(lines: readonly string[]): Buffer[] {
  if (lines.length > MAX_HASHES) throw invalidNote('too many hashes for a proof');
  return lines.map((line) => {
    const hash = decodeBase64(line);
    if (hash?.length !== HASH_BYTES) throw invalidNote('a hash of the proof is not 32 bytes in base64');
    return hash;
  });
}
