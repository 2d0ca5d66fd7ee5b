/** Lengths of time as people write them. */
import { InvalidArgumentError } from 'commander';

const UNITS = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;
const DURATION = /^(\d{1,6})([smhd])$/;

/**
 * @param text such as `90d`, `24h`, `30m` or `360s`
 * @returns seconds
 * @throws InvalidArgumentError for commander
 */
export function parseDuration(text: string): number {
  const [, count, unit] = DURATION.exec(text) ?? [];
  if (unit === undefined) throw new InvalidArgumentError('must be a number with s, m, h or d, e.g. 24h.');
  return Number(count) * UNITS[unit as keyof typeof UNITS];
}

/** @returns the largest unit that leaves nothing over: `90d`, `36h`, `90s` */
export function formatDuration(seconds: number): string {
  const [unit = 's', size = 1] = Object.entries(UNITS).findLast(([, each]) => seconds % each === 0) ?? [];
  return `${seconds / size}${unit}`;
}
