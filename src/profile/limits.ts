/** Size and count caps (check 1): each an option, validated and defaulted in one place. */
import { SealwireError } from '../errors.js';
import { checkRange } from './check-range.js';
import type { PolicyName } from './policy.js';

/** Caps on what a receiver accepts and a sender makes. */
export interface OpenLimits {
  /** Bytes of one inner message. Default 65,536; 1 to 1,048,576. */
  readonly innerBytes: number;
  /** Characters of one token. Default 98,304; 256 to 2,097,152. */
  readonly tokenBytes: number;
  /** Bytes of one decoded header. Default 2,048; 256 to 16,384. */
  readonly headerBytes: number;
  /** Tokens in one message. Default 64; 1 to 1,024. */
  readonly tokensPerMessage: number;
  /** Distinct `epk` in one message. Default 2 (strict) or 64 (interop); 1 to 1,024. */
  readonly agreementsPerMessage: number;
  /** Nested messages and map entries in one message. Default 8,192; 1 to 1,048,576. */
  readonly messagesPerMessage: number;
}

/** Those of policy `strict`, and of senders. */
export const DEFAULT_LIMITS: OpenLimits = {
  innerBytes: 65_536,
  tokenBytes: 98_304,
  headerBytes: 2_048,
  tokensPerMessage: 64,
  agreementsPerMessage: 2,
  messagesPerMessage: 8_192,
};

const RANGES: Readonly<Record<keyof OpenLimits, readonly [min: number, max: number]>> = {
  innerBytes: [1, 1_048_576],
  tokenBytes: [256, 2_097_152],
  headerBytes: [256, 16_384],
  tokensPerMessage: [1, 1_024],
  agreementsPerMessage: [1, 1_024],
  messagesPerMessage: [1, 1_048_576],
};

/**
 * Fills in defaults and checks ranges.
 *
 * @param limits what differs from the defaults
 * @param policy decides the default of `agreementsPerMessage`
 * @throws SealwireError `OPTIONS_INVALID` for a value outside its range or a name that is no limit
 */
export function resolveLimits(limits: Partial<OpenLimits> = {}, policy: PolicyName = 'strict'): OpenLimits {
  // A misspelt limit must not silently be a default.
  const unknown = Object.keys(limits).find((name) => !Object.hasOwn(RANGES, name));
  if (unknown !== undefined) throw new SealwireError('OPTIONS_INVALID', `there is no limit '${unknown}'`);
  const defaults = policy === 'strict' ? DEFAULT_LIMITS : { ...DEFAULT_LIMITS, agreementsPerMessage: 64 };
  const resolved = (Object.keys(RANGES) as (keyof OpenLimits)[]).map((name) => [
    name,
    checkRange(name, limits[name] ?? defaults[name], RANGES[name]),
  ]);
  return Object.fromEntries(resolved) as OpenLimits;
}
