/** A batch of lines as bytes, and their leaf hashes. */
import { hash } from 'node:crypto';

const NEWLINE = 0x0a;

/** The longest line that is written and read: 64 MiB. */
export const MAX_LINE_BYTES = 67_108_864;

/** What goes to the two files of a segment. */
export interface LineBatch {
  /** The lines, each with its newline. */
  readonly bytes: Buffer;
  /** RFC 6962 §2.1: SHA-256 of 0x00 and the line. */
  readonly leaves: readonly Buffer[];
}

/** @param lines without newlines, and none within them */
export function encodeBatch(lines: readonly string[]): LineBatch {
  // The byte before a line is a newline in the file and 0x00 in its hash: set for a moment, so that nothing is copied.
  const bytes = Buffer.from(`\n${lines.join('\n')}\n`);
  const leaves: Buffer[] = [];
  for (let start = 0; start < bytes.length - 1; ) {
    const end = bytes.indexOf(NEWLINE, start + 1);
    bytes[start] = 0;
    leaves.push(hash('sha256', bytes.subarray(start, end), 'buffer'));
    bytes[start] = NEWLINE;
    start = end;
  }
  return { bytes: bytes.subarray(1), leaves };
}
