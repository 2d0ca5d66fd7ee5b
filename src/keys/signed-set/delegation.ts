/** Signing delegations, and verifying them with the keys of this process. */
import { SealwireError } from '../../errors.js';
import { checkRange } from '../../profile/check-range.js';
import {
  DAY_SECONDS,
  DELEGATION_TYPE,
  type Delegation,
  type DelegationChecks,
  MAX_DELEGATION_DAYS,
  parseDelegation,
  verifyDelegation as verify,
} from '../../profile/key-sets/delegation.js';
import type { SigningKey, VerificationJwk, VerificationKey } from './signing-key.js';
import { verifier } from './verifier.js';

/** What {@link signDelegation} says. */
export interface DelegationOptions {
  /** Name of the recipient: the service's own, or that of a named recipient. */
  readonly recipient: string;
  /** Public key that may sign the recipient's sets. */
  readonly signer: VerificationJwk;
  /** Life in days. Default 90; 1 to 90. */
  readonly days?: number;
  /** ms since 1970. */
  readonly nowMs: number;
}

/**
 * Signs a delegation with the root.
 *
 * @returns a compact JWS
 * @throws SealwireError `OPTIONS_INVALID`
 */
export function signDelegation(root: SigningKey, options: DelegationOptions): Promise<string> {
  const { recipient, signer, days = MAX_DELEGATION_DAYS, nowMs } = options;
  checkRange('days', days, [1, MAX_DELEGATION_DAYS]);
  if (recipient === '') throw new SealwireError('OPTIONS_INVALID', 'a delegation needs the name of a recipient');
  const iat = Math.floor(nowMs / 1000);
  const claims = { sub: recipient, iat, exp: iat + days * DAY_SECONDS, root: root.publicJwk, key: signer };
  return root.sign({ typ: DELEGATION_TYPE }, claims);
}

/** As {@link verify}. */
export function verifyDelegation(text: string, checks: DelegationChecks): Promise<Delegation<VerificationKey>> {
  return verify(text, checks, verifier);
}

/**
 * @param text a delegation that the caller trusts
 * @returns the name in it, or undefined when it is none; nothing is verified
 */
export function peekRecipient(text: string): string | undefined {
  try {
    const { sub } = parseDelegation(text, verifier.decode).payload;
    return typeof sub === 'string' ? sub : undefined;
  } catch (error) {
    if (error instanceof SealwireError) return undefined;
    throw error;
  }
}
