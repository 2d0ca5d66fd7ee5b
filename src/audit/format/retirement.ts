/** What a `retire` record says of records that retention removes; one about a key has the key's ID there. */
import type { NoteVerifier } from './note-keys.js';
import { openNote } from './signed-note.js';

const DETAIL = /^records (0|[1-9]\d{0,15}) to (0|[1-9]\d{0,15}) are removed by retention$/;

/** Sequence numbers of the first and the last record that were removed. */
export interface Retirement {
  readonly first: number;
  readonly last: number;
}

/** @returns the record's `detail` */
export function formatRetirement(first: number, last: number): string {
  return `records ${first} to ${last} are removed by retention`;
}

/** @returns undefined for the `detail` of another record */
export function parseRetirement(detail: string): Retirement | undefined {
  const [, first, last] = DETAIL.exec(detail) ?? [];
  return first === undefined ? undefined : { first: Number(first), last: Number(last) };
}

/** @returns the text of the note of how many records the log has ever removed; no checkpoint looks like this */
export function formatRetired(origin: string, count: number): string {
  return `${origin}\nretired ${count}\n`;
}

/** @returns the count of a note that is the log's own; 0 for any other */
export function openRetired(note: Buffer, verifier: NoteVerifier): number {
  try {
    const text = openNote(note, [verifier]);
    const count = Number(/^retired (\d{1,15})$/m.exec(text)?.[1]);
    return text === formatRetired(verifier.name, count) ? count : 0;
  } catch {
    return 0;
  }
}
