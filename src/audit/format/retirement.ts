/** What a `retire` record says of records that retention removes; one about a key has the key's ID there. */

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
