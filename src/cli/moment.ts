/** Moments as people write them, in UTC like the times of records. */

const UNITS_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const AGO = /^(\d{1,6})([smhd])$/;
/** A date, or a date and time with a zone: without a zone the moment would be ambiguous. */
const ISO = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2}))?$/;

/**
 * @param text an ISO date or time, `today`, `yesterday`, or how long ago: `30m`
 * @param nowMs the time, ms since 1970
 * @returns ms since 1970; undefined when it is none of these
 */
export function parseMoment(text: string, nowMs: number): number | undefined {
  const today = nowMs - (nowMs % UNITS_MS.d);
  if (text === 'today') return today;
  if (text === 'yesterday') return today - UNITS_MS.d;
  const [, count, unit] = AGO.exec(text) ?? [];
  if (unit !== undefined) return nowMs - Number(count) * UNITS_MS[unit as keyof typeof UNITS_MS];
  // JavaScript takes 31 February for 3 March.
  const day = text.slice(0, 10);
  if (!ISO.test(text) || !isDay(day)) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}

function isDay(day: string): boolean {
  const ms = Date.parse(day);
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(day);
}
