/** All leaf hashes of a log, also of segments whose lines were removed. */
import { SealwireError } from '../../errors.js';
import { HASH_BYTES } from '../format/merkle-tree.js';
import { listLog, readItemBlocks } from './line-blocks.js';

/**
 * @returns blocks of whole hashes, from the first record on
 * @throws SealwireError `AUDIT_FILE_INVALID` when a leaf file is missing, is shorter or longer than its segment
 */
export function* readAllLeaves(dir: string): Generator<Buffer, void, undefined> {
  let at = 0;
  for (const { first, end, leaves } of listLog(dir)) {
    if (first !== at || leaves === undefined) throw damaged(dir, at);
    for (const block of readItemBlocks(leaves, HASH_BYTES)) {
      at += block.length / HASH_BYTES;
      yield block;
    }
    if (end !== undefined && at !== end) throw damaged(dir, at);
  }
}

function damaged(dir: string, seq: number): SealwireError {
  return new SealwireError('AUDIT_FILE_INVALID', `${dir}: the leaf hash of record ${seq} is not where it should be`);
}
