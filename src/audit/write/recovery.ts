/**
 * What a log's writer finds at start. A crash may tear the last line, leave leaves behind or ahead of the lines, and
 * lose what was never acknowledged; this is repaired and reported. Any other mismatch stops the service.
 *
 * The last segment is read whole; of the segments before it only the number of leaves is compared. So the time this
 * takes depends on the size of a segment, not on that of the log.
 */
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SealwireError } from '../../errors.js';
import { listSegments, segmentFile } from '../format/log-files.js';
import { HASH_BYTES, MerkleFrontier } from '../format/merkle-tree.js';
import { readItemBlocks, readSmallFile } from '../read/line-blocks.js';
import { openAppendFile, replaceLogFile } from './append-file.js';
import type { TreeHead } from './checkpoint-store.js';
import { type ScannedSegment, scanSegment } from './segment-scan.js';

/** The state in which a log continues. */
export interface RecoveredLog {
  /** The tree over all records. */
  readonly frontier: MerkleFrontier;
  /** The last segment. */
  readonly segment: {
    readonly firstSeq: number;
    readonly lineBytes: number;
    /** Time of its first record, ms since 1970; undefined when it has none. */
    readonly startedAtMs: number | undefined;
    /** The latest time of its records, likewise. */
    readonly latestMs: number | undefined;
  };
  /** What was repaired, in sentences. */
  readonly repairs: readonly string[];
}

/**
 * Checks and repairs a log folder. Lines and leaves are on disk when it returns.
 *
 * @param signed what the latest checkpoint says; undefined when the log has none yet, and everything is taken as it is
 * @throws SealwireError `AUDIT_FILE_INVALID` with file, sequence number and byte; the system's errors
 */
export async function recoverLog(dir: string, signed: TreeHead | undefined): Promise<RecoveredLog> {
  const names = readdirSync(dir);
  const segments = listSegments(names, 'jsonl');
  if (signed === undefined) return adopt(dir, segments);
  const firstSeq = checkSegments(dir, segments, listSegments(names, 'leaves'), signed.size);
  const { before, scan, frontierRepair } = checkRoot(dir, firstSeq, signed);
  const repairs = [...frontierRepair, ...scan.repairs];
  if (frontierRepair.length > 0) await writeFrontier(dir, before);
  await repairSegment(dir, firstSeq, scan);
  return { frontier: scan.frontier, segment: describe(firstSeq, scan), repairs };
}

/** Writes `<first-seq>.frontier`: a shortcut, so it is no secret and needs no proof. */
export async function writeFrontier(dir: string, frontier: MerkleFrontier): Promise<void> {
  await replaceLogFile(join(dir, segmentFile(frontier.size, 'frontier')), Buffer.concat(frontier.hashes));
}

/** Makes leaves for a log that has none: a new one, or one written before there were any. */
async function adopt(dir: string, segments: readonly number[]): Promise<RecoveredLog> {
  let frontier = MerkleFrontier.empty();
  let segment: RecoveredLog['segment'] = { firstSeq: 0, lineBytes: 0, startedAtMs: undefined, latestMs: undefined };
  const repairs: string[] = [];
  for (const [index, firstSeq] of segments.entries()) {
    if (firstSeq !== frontier.size) throw misses(dir, frontier.size, firstSeq);
    await writeFrontier(dir, frontier);
    const scan = scanSegment({ dir, firstSeq, before: frontier, signedSize: firstSeq, ignoreLeaves: true });
    if (scan.tornBytes > 0 && index < segments.length - 1) throw torn(dir, firstSeq, scan);
    await repairSegment(dir, firstSeq, scan);
    repairs.push(...scan.repairs);
    frontier = scan.frontier;
    segment = describe(firstSeq, scan);
  }
  if (segments.length === 0) await writeFrontier(dir, frontier);
  if (frontier.size > 0) repairs.push(`made leaves for ${frontier.size} records written without them`);
  return { frontier, segment, repairs };
}

/** Compares the names and the numbers of leaves of all segments. @returns the last one */
function checkSegments(dir: string, lines: readonly number[], leaves: readonly number[], signedSize: number): number {
  const last = lines[lines.length - 1];
  if (last === undefined) {
    // A first run that ended between its first checkpoint and its first segment.
    if (signedSize === 0 && leaves.every((seq) => seq === 0)) return 0;
    throw invalid(`${dir}: has no lines, but its checkpoint covers ${signedSize} records`);
  }
  if (last > signedSize) {
    throw invalid(
      `${join(dir, segmentFile(last, 'jsonl'))}: starts with record ${last}, but the checkpoint covers only ${signedSize} records: an older copy of it was put back`,
    );
  }
  let next = 0;
  for (const firstSeq of [...new Set([...leaves, last])].sort((a, b) => a - b)) {
    const path = join(dir, segmentFile(firstSeq, 'leaves'));
    if (firstSeq > last) {
      // A rotation that did not get to its line file leaves an empty one, which would be in the way of the next.
      if (statSync(path).size > 0) throw invalid(`${path}: has leaves, but their lines are missing`);
      rmSync(path);
      continue;
    }
    if (firstSeq !== next) throw misses(dir, next, firstSeq);
    if (firstSeq < last) next += Math.floor(statSync(path).size / HASH_BYTES);
  }
  const first = lines[0] as number;
  const gap = leaves.find((seq) => seq > first && seq < last && !lines.includes(seq));
  if (gap !== undefined) throw invalid(`${join(dir, segmentFile(gap, 'jsonl'))}: is missing between other segments`);
  const alone = lines.find((seq) => seq !== last && !leaves.includes(seq));
  if (alone !== undefined) throw invalid(`${join(dir, segmentFile(alone, 'leaves'))}: is missing`);
  return last;
}

interface CheckedRoot {
  readonly before: MerkleFrontier;
  readonly scan: ScannedSegment;
  readonly frontierRepair: readonly string[];
}

/** Reads the last segment, and compares the tree with the checkpoint. */
function checkRoot(dir: string, firstSeq: number, signed: TreeHead): CheckedRoot {
  const stored = readFrontier(dir, firstSeq);
  if (stored !== undefined) {
    const scan = scanSegment({ dir, firstSeq, before: stored, signedSize: signed.size });
    if (scan.signedRoot.equals(signed.root)) return { before: stored, scan, frontierRepair: [] };
  }
  // The shortcut is wrong or missing, or the log is: all leaves decide.
  const before = readLeaves(dir, firstSeq);
  const scan = scanSegment({ dir, firstSeq, before, signedSize: signed.size });
  const name = segmentFile(firstSeq, 'frontier');
  if (scan.signedRoot.equals(signed.root)) return { before, scan, frontierRepair: [`made ${name} anew`] };
  if (scan.mismatch !== undefined) throw invalid(scan.mismatch);
  throw invalid(
    `${join(dir, segmentFile(firstSeq, 'jsonl'))}: records 0 to ${signed.size - 1} fit their leaves, but not the checkpoint that covers them`,
  );
}

/**
 * @returns the tree before a segment, as its file says: whoever uses it sees whether it fits; undefined when there is
 * none
 * @throws SealwireError `AUDIT_FILE_INVALID` when it cannot be read
 */
export function readFrontier(dir: string, size: number): MerkleFrontier | undefined {
  const path = join(dir, segmentFile(size, 'frontier'));
  if (!existsSync(path)) return undefined;
  const bytes = readSmallFile(path);
  return bytes.length % HASH_BYTES === 0 ? MerkleFrontier.from(size, splitHashes(bytes)) : undefined;
}

/** The tree over the first `size` records, from the leaf files of all segments before. */
function readLeaves(dir: string, size: number): MerkleFrontier {
  const frontier = MerkleFrontier.empty();
  while (frontier.size < size) {
    for (const block of readItemBlocks(join(dir, segmentFile(frontier.size, 'leaves')), HASH_BYTES)) {
      for (const leaf of splitHashes(block)) frontier.append(leaf);
    }
  }
  return frontier;
}

function splitHashes(bytes: Buffer): Buffer[] {
  return Array.from({ length: bytes.length / HASH_BYTES }, (_, index) =>
    bytes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES),
  );
}

/** Cuts a torn line, writes the leaves that the lines prove, and makes both durable. */
async function repairSegment(dir: string, firstSeq: number, scan: ScannedSegment): Promise<void> {
  const lines = openAppendFile(join(dir, segmentFile(firstSeq, 'jsonl'))).file;
  try {
    if (scan.tornBytes > 0) await lines.cut(scan.lineBytes);
    await lines.sync();
  } finally {
    await lines.close();
  }
  const { file: leaves, size } = openAppendFile(join(dir, segmentFile(firstSeq, 'leaves')));
  try {
    if (size > scan.goodLeafBytes) await leaves.cut(scan.goodLeafBytes);
    await leaves.append(Buffer.concat(scan.newLeaves));
    await leaves.sync();
  } finally {
    await leaves.close();
  }
}

function describe(firstSeq: number, { lineBytes, startedAtMs, latestMs }: ScannedSegment): RecoveredLog['segment'] {
  return { firstSeq, lineBytes, startedAtMs, latestMs };
}

function misses(dir: string, from: number, to: number): SealwireError {
  if (to < from)
    return invalid(
      `${join(dir, segmentFile(to, 'jsonl'))}: starts before the segment ahead of it ends, with record ${from - 1}`,
    );
  return invalid(`${dir}: records ${from} to ${to - 1} are missing, lines or leaves`);
}

function torn(dir: string, firstSeq: number, { lineBytes }: ScannedSegment): SealwireError {
  return invalid(
    `${join(dir, segmentFile(firstSeq, 'jsonl'))}: does not end with a whole line; the last one begins at byte ${lineBytes}`,
  );
}

function invalid(message: string): SealwireError {
  return new SealwireError('AUDIT_FILE_INVALID', message);
}
