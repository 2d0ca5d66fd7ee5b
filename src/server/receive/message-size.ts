/** How much of the read-ahead a message takes. */
import { waitingMessage } from '../../schema/guarded-messages.js';

const OBJECT_BYTES = 256;
const SCALAR_BYTES = 8;

/**
 * @returns about how many bytes of memory a decoded message takes; what it takes to find out does not grow with its
 * bytes
 */
export function sizeOf(message: object): number {
  const held = waitingMessage(message);
  if (held !== undefined) return held.bytes.length + (typeof held.found === 'number' ? held.found * OBJECT_BYTES : 0);
  let size = OBJECT_BYTES;
  for (const value of Object.values(message)) {
    if (typeof value === 'string') size += value.length;
    else if (ArrayBuffer.isView(value)) size += value.byteLength;
    else if (typeof value === 'object' && value !== null) size += sizeOf(value as object);
    else size += SCALAR_BYTES;
  }
  return size;
}
