/** A text that must stay inside sealed fields, and the forms in which it could come out. */

/** Stands in every sealed place of a test's messages. */
export const CANARY = 'canary-4111111111111111-ñ漢';

/** Forms whose place in a longer text does not matter: base64 is listed for each of its three alignments. */
const disguises: readonly string[] = [
  CANARY,
  Buffer.from(CANARY).toString('latin1'),
  'canary-4111',
  Buffer.from(CANARY).toString('hex'),
  ...(['base64', 'base64url'] as const).flatMap((encoding) => [0, 1, 2].map((shift) => shiftedBase64(encoding, shift))),
];

/** @returns the forms of the canary that are in a text; none when nothing leaked */
export function canariesIn(text: string): string[] {
  return disguises.filter((disguise) => text.includes(disguise));
}

/** What base64 makes of the canary after `shift` other bytes, without the characters that depend on its neighbours. */
function shiftedBase64(encoding: 'base64' | 'base64url', shift: number): string {
  const bytes = Buffer.concat([Buffer.alloc(shift), Buffer.from(CANARY)]);
  const whole = bytes.subarray(0, bytes.length - (bytes.length % 3));
  return whole.toString(encoding).slice(shift === 0 ? 0 : shift + 1);
}
