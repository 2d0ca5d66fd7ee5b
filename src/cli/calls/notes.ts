/** Notes on stderr about an answer that is shown all the same. */
import type { Note } from '../json/json-types.js';
import { clean } from '../target/call-failure.js';

/** @returns prints notes, each once */
export function createNotes(): Note {
  const told = new Set<string>();
  return (text) => {
    if (!told.has(text)) process.stderr.write(`sealwire: note: ${clean(text)}\n`);
    told.add(text);
  };
}
