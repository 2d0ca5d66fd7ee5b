/** Names of the files of a log folder, for those who write them and those who read them. */

/** The latest checkpoint, a signed note. */
export const CHECKPOINT_FILE = 'checkpoint';
/** All checkpoints, each followed by an empty line. */
export const CHECKPOINTS_FILE = 'checkpoints';
/** How many records retention has removed, a signed note; for the writer. */
export const RETIRED_FILE = 'retired';
/** The verifier key, one line. */
export const VERIFIER_KEY_FILE = 'log.vkey';

const SEQ_DIGITS = 20;
const SEGMENT = /^(\d{20})\.(jsonl|leaves|frontier)$/;

/** What a file of a segment holds: its lines, their hashes, or the frontier of the tree before it. */
export type SegmentFileKind = 'jsonl' | 'leaves' | 'frontier';

/** Name of a file of the segment that starts with record `seq`. */
export function segmentFile(seq: number, kind: SegmentFileKind): string {
  return `${String(seq).padStart(SEQ_DIGITS, '0')}.${kind}`;
}

/** @returns first sequence numbers of the segments that have such a file, ascending */
export function listSegments(names: readonly string[], kind: SegmentFileKind): number[] {
  const seqs: number[] = [];
  for (const name of names) {
    const [, digits = '', found] = SEGMENT.exec(name) ?? [];
    // A number that is not a safe integer could mean two files.
    if (found === kind && Number.isSafeInteger(Number(digits))) seqs.push(Number(digits));
  }
  return seqs.sort((a, b) => a - b);
}
