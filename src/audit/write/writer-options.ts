/** The check that every numeric option of the audit log goes through. */
import { SealwireError } from '../../errors.js';

/**
 * @returns `value`
 * @throws SealwireError `OPTIONS_INVALID` unless it is a whole number from `min` to `max`
 */
export function checkOption(name: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new SealwireError('OPTIONS_INVALID', `audit ${name} must be a whole number from ${min} to ${max}`);
}
