/** The one check of numeric options. */
import { SealwireError } from '../errors.js';

/**
 * @param name of the option, for the message
 * @returns `value`
 * @throws SealwireError `OPTIONS_INVALID` unless `value` is a whole number within the range
 */
export function checkRange(name: string, value: number, [min, max]: readonly [number, number]): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new SealwireError('OPTIONS_INVALID', `${name} must be a whole number from ${min} to ${max}`);
}
