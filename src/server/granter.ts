/** Grants for the reviewer whose key is configured: nothing of this runs, and nothing costs, without one. */
import type { Grant } from '../jwe/grant.js';
import type { RecipientKey } from '../jwe/recipient.js';
import { type AgreementSession, SealingSessions, type SealingSessionsOptions } from '../jwe/sender.js';

/** Gives what makes grants: at once when an agreement is ready. */
export type Granter = () => GrantMaker | Promise<GrantMaker>;

/** Makes grants for the tokens of one message. */
export type GrantMaker = Pick<AgreementSession, 'createGrant'>;

/** One grant per field, in their order; undefined where a field gets none. */
export type Grants = readonly (Grant | undefined)[];

/** Grants go on with an old agreement while the next one is made: no call waits for it but the first. */
const OVERRUN = 2;

/**
 * @param key the reviewer's public key; undefined: no grants
 * @param options bounds of its agreement sessions, which are used for grants only
 */
export function createGranter(key: RecipientKey | undefined, options?: SealingSessionsOptions): Granter | undefined {
  if (key === undefined) return undefined;
  const sessions = new SealingSessions({ overrun: OVERRUN, ...options });
  return () => sessions.acquire(key);
}
