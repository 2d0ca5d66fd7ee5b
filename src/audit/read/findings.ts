/** What can be wrong with a log, and which fault explains a line that does not match its leaf. */
import { LeafCursor } from './leaf-cursor.js';
import { readLineBlocks } from './line-blocks.js';

/** What is wrong. */
export type FindingKind =
  /** A record differs from the signed one, or from its leaf hash. */
  | 'changed'
  /** Records are missing, but later ones exist. */
  | 'missing'
  /** Records are in another order. */
  | 'reordered'
  /** A record occurs again. */
  | 'duplicated'
  /** A line was inserted that was no record. */
  | 'inserted'
  /** The log ends before its own latest checkpoint. */
  | 'truncated'
  /** The log is signed, but its history is not that of the kept checkpoint. */
  | 'forked'
  /** The log is signed and whole, but older than the kept checkpoint. */
  | 'rolled-back'
  /** A checkpoint is not signed by the key. */
  | 'bad-signature'
  /** The files `checkpoint` or `checkpoints` are damaged or do not fit each other. */
  | 'bad-checkpoint'
  /** A leaf file is damaged; the records are good. */
  | 'bad-leaf'
  /** A frontier file, which only the writer needs, is damaged. */
  | 'bad-frontier'
  /** `log.vkey` is not the key that was given. */
  | 'bad-key';

/** One thing that is wrong. */
export interface Finding {
  readonly kind: FindingKind;
  /** First record that it is about; undefined when it is about none. */
  readonly seq: number | undefined;
  /** Last record that it may be about, when that is another one. */
  readonly last?: number | undefined;
  /** One sentence. Nothing of a record's content is in it. */
  readonly detail: string;
}

/** A line that does not match its leaf hash. */
export interface Mismatch {
  /** Path of the segment's lines. */
  readonly lines: string;
  /** Path of its leaf hashes. */
  readonly leaves: string | undefined;
  /** Sequence number of the segment's first record. */
  readonly first: number;
  /** Sequence number that the line should have. */
  readonly seq: number;
  /** Where the line begins in its file. */
  readonly at: number;
}

/** A finding, and whether the lines after it are in their places again. */
export interface Explanation {
  readonly finding: Finding;
  readonly inStep: boolean;
}

/** Lines and leaves that are compared to find out what happened. */
const WINDOW = 256;
/** Every record begins like this (see docs/audit-format.md). */
const HEAD = /^\{"v":1,"seq":(\d{1,16}),/;

/** The sequence number that a line claims; undefined when it does not begin like a record. */
export function claimedSeq(line: Buffer): number | undefined {
  const [, digits] = HEAD.exec(line.toString('latin1', 0, 40)) ?? [];
  const seq = Number(digits);
  return digits === String(seq) && Number.isSafeInteger(seq) ? seq : undefined;
}

/** Decides from the lines around it what happened to a line that does not match its leaf. */
export function explainMismatch(mismatch: Mismatch): Explanation {
  const { seq } = mismatch;
  const { hashes, claimed } = readHashes(mismatch);
  const leaves = readLeaves(mismatch.leaves, seq - mismatch.first);
  const [found = '', next] = hashes;
  const [expected = ''] = leaves;
  const isNextInPlace = next === leaves[1];
  const later = leaves.indexOf(found, 1);
  const put = (kind: FindingKind, detail: string, last?: number, inStep = false): Explanation => ({
    finding: { kind, seq, ...(last !== undefined && last !== seq && { last }), detail },
    inStep,
  });
  // Only its hash identifies a line; what it claims says where to look.
  const isRecord = (at: number) => readLeaves(mismatch.leaves, at - mismatch.first, 1)[0] === found;
  if (claimed !== undefined && claimed !== seq && claimed >= mismatch.first && isRecord(claimed)) {
    if (claimed < seq) return put('duplicated', `record ${claimed} stands here again`, undefined, isNextInPlace);
    if (hashes.includes(expected) || isNextInPlace) return put('reordered', `record ${claimed} stands here`);
    return put('missing', `record ${claimed} follows record ${seq - 1}`, claimed - 1);
  }
  if (later > 0) {
    if (hashes.includes(expected)) return put('reordered', `record ${seq + later} stands here`);
    return put('missing', `record ${seq + later} stands here`, seq + later - 1);
  }
  const pushed = hashes.indexOf(expected, 1);
  if (pushed > 0)
    return put(
      'inserted',
      `${pushed === 1 ? 'a line' : `${pushed} lines`} before record ${seq} that were never signed`,
    );
  return put('changed', 'the record is not what its leaf hash says', undefined, isNextInPlace);
}

function readHashes({ lines, at }: Mismatch): { readonly hashes: string[]; readonly claimed: number | undefined } {
  const hashes: string[] = [];
  let claimed: number | undefined;
  for (const block of readLineBlocks(lines, at, () => {})) {
    for (let index = 0; index < block.length && hashes.length < WINDOW; index++) {
      if (hashes.length === 0) claimed = claimedSeq(block.line(0));
      hashes.push(block.leafHash(index).toString('latin1'));
    }
    if (hashes.length === WINDOW) break;
  }
  return { hashes, claimed };
}

function readLeaves(path: string | undefined, from: number, most = WINDOW + 1): string[] {
  const cursor = new LeafCursor(path, from);
  const leaves: string[] = [];
  for (let leaf = cursor.next(); leaf !== undefined; leaf = cursor.next()) {
    leaves.push(leaf.toString('latin1'));
    if (leaves.length === most) break;
  }
  cursor.close();
  return leaves;
}
