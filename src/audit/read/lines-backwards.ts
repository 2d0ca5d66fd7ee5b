/** Lines of a log from the last to the first. */

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { SealwireError } from '../../errors.js';
import { MAX_LINE_BYTES } from '../format/line-batch.js';

const NEWLINE = 0x0a;
const BLOCK_BYTES = 262_144;

/** A line without its newline, and the byte it starts at. */
export interface Line {
  readonly bytes: Buffer;
  readonly at: number;
}

/**
 * Reads the lines of a file from its end, one block at a time.
 *
 * @param skipTorn whether bytes behind the last newline are skipped, not taken for a line
 * @throws SealwireError `AUDIT_FILE_INVALID` for a line of more than 64 MiB, and when the file cannot be read
 */
export async function* readLinesBackwards(path: string, skipTorn: boolean): AsyncGenerator<Line, void, undefined> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    let stop = (await file.stat()).size;
    /** The parts of a line whose beginning has not been read, last first. */
    let tail: Buffer[] = [];
    let tailBytes = 0;
    let isTorn = skipTorn;
    let isEnd = true;
    while (stop > 0) {
      const start = Math.max(0, stop - BLOCK_BYTES);
      const block = await readBlock(file, start, stop - start);
      let end = block.length;
      for (let newline = lastNewline(block, end); newline >= 0; newline = lastNewline(block, end)) {
        const bytes = Buffer.concat([block.subarray(newline + 1, end), ...tail.reverse()]);
        // The newline at the very end of the file ends a line, and none begins there.
        if (!isTorn && !(isEnd && bytes.length === 0)) yield { bytes, at: start + newline + 1 };
        tail = [];
        tailBytes = 0;
        isTorn = false;
        isEnd = false;
        end = newline;
      }
      tail.push(block.subarray(0, end));
      tailBytes += end;
      // A torn line is not kept, however long it is.
      if (isTorn) tail = [];
      else if (tailBytes > MAX_LINE_BYTES) throw damagedLine(path, start);
      stop = start;
    }
    const bytes = Buffer.concat(tail.reverse());
    if (!isTorn && !(isEnd && bytes.length === 0)) yield { bytes, at: 0 };
  } catch (error) {
    if (error instanceof SealwireError) throw error;
    const why = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    throw new SealwireError('AUDIT_FILE_INVALID', `${path}: ${why}`);
  } finally {
    await file?.close();
  }
}

/** `lastIndexOf` takes a negative offset as counted from the end. */
function lastNewline(block: Buffer, end: number): number {
  return end === 0 ? -1 : block.lastIndexOf(NEWLINE, end - 1);
}

async function readBlock(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const block = Buffer.allocUnsafe(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(block, done, length - done, position + done);
    if (bytesRead === 0) throw new Error('the file became shorter');
    done += bytesRead;
  }
  return block;
}

/** The error for a line that is too long to read. */
export function damagedLine(path: string, at: number): SealwireError {
  return new SealwireError('AUDIT_FILE_INVALID', `${path}: the line at byte ${at} is not a record`);
}
