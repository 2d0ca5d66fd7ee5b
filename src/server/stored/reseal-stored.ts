/** Re-sealing: a stored token outlives the key it was sealed to, so it is sealed again to the key of today. */
import { SealwireError } from '../../errors.js';
import type { RecipientKey } from '../../jwe/recipient.js';
import type { SealingSessions, SealParameters } from '../../jwe/sender.js';
import { sha256 } from '../../jwe/sha256.js';
import { boundDigest } from '../../schema/binding.js';
import type { SealedToken } from '../../schema/opened.js';
import type { AuditSink } from '../audit-sink.js';
import type { Granter } from '../granter.js';
import { createRecord, describeField, NO_CALL } from '../records.js';
import { createOpenStoredRecord, type OpenedStored, type StoredTokenPlace, type WithStored } from './open-stored.js';

/**
 * Seals the content of a stored token to the key that senders use now; only its key, its time and what belongs to
 * the new encryption differ, not a byte of the inner message.
 *
 * @returns the new token for the same place; both records, of the opening and of the sealing, are durable then.
 *   The token itself when it is sealed to the current key already
 * @throws SealwireError as `openStored`; `KEY_NOT_FOUND` when the service's keys tell no current one
 */
export type ResealStored = (token: SealedToken | string, place: StoredTokenPlace) => Promise<SealedToken>;

/** What {@link createStoredResealer} needs. */
export interface StoredResealerOptions {
  readonly withStored: WithStored;
  readonly audit: AuditSink;
  readonly keys: { current?(): RecipientKey };
  readonly sessions: () => SealingSessions;
  /** Clock in ms since 1970. */
  readonly now: () => number;
  /** Makes grants for a reviewer. Default: there is none. */
  readonly granter?: Granter | undefined;
}

/** @returns the function for whoever keeps tokens */
export function createStoredResealer({
  withStored,
  audit,
  keys,
  sessions,
  now,
  granter,
}: StoredResealerOptions): ResealStored {
  return (token, place) =>
    withStored(token, place, async (opened) => {
      const key = keys.current?.();
      if (key === undefined) throw new SealwireError('KEY_NOT_FOUND', 'the service has no current key to seal to');
      if (key.kid === opened.parsed.header.kid) return token as SealedToken;
      const session = await sessions().acquire(key);
      const grant = opened.site.field.transient ? undefined : (await granter?.())?.createGrant();
      const parameters: SealParameters = {
        field: opened.site.field.fullName,
        cty: opened.parsed.header.cty === 'application/protobuf' ? 'application/protobuf' : 'application/json',
        bound: boundDigest(opened.site.field, opened.site.holder, sha256),
        iat: Math.floor(now() / 1_000),
      };
      const sealed = session.seal(opened.plaintext, parameters, grant);
      await Promise.all([
        audit.commit(createOpenStoredRecord(opened, `re-sealed to ${key.kid}`)),
        audit.commit(createResealRecord(opened, sealed, grant?.text)),
      ]);
      return sealed as SealedToken;
    });
}

function createResealRecord({ site, parsed, startedAt }: OpenedStored, sealed: string, grant: string | undefined) {
  const field = describeField(site, sealed, { outcome: 'sealed', grant });
  return createRecord('seal', NO_CALL, [field], `re-sealed from ${parsed.header.kid}`, startedAt);
}
