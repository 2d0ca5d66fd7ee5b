/** The signed note of how many records the log has removed, made before they are. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { RETIRED_FILE } from '../format/log-files.js';
import type { NoteVerifier } from '../format/note-keys.js';
import { formatRetired } from '../format/retirement.js';
import { openNote } from '../format/signed-note.js';
import { readSmallFile } from './line-blocks.js';

/**
 * @param dir folder of the log
 * @returns 0 without a note of the log's key
 */
export function readRetired(dir: string, verifier: NoteVerifier): number {
  const path = join(dir, RETIRED_FILE);
  if (!existsSync(path)) return 0;
  try {
    const text = openNote(readSmallFile(path), [verifier]);
    const count = Number(/^retired (\d{1,15})$/m.exec(text)?.[1]);
    return text === formatRetired(verifier.name, count) ? count : 0;
  } catch {
    return 0;
  }
}
