/** What `sealwire inspect` compares a token with: the message around it, and the recipient's keys. */
import { createKeySetFetcher } from '../../client/key-set-fetcher.js';
import { SealwireError } from '../../errors.js';
import { sha256 } from '../../jwe/sha256.js';
import { loadPublicKeys } from '../../keys/public-keys.js';
import { verifyKeySet } from '../../keys/signed-set/key-set.js';
import { boundDigest } from '../../schema/binding.js';
import { JsonSchema } from '../json/json-messages.js';
import { readOne } from '../json/messages-in.js';
import { readRoots, readTarget } from '../target/credentials.js';
import { loadDescriptors } from '../target/target.js';
import type { KeyFlags, SchemaFlags, TargetFlags } from '../target/target-options.js';

/** Flags of `inspect` that say what to compare with. */
export interface SourceFlags extends TargetFlags, KeyFlags, SchemaFlags {
  readonly field?: string;
  readonly data?: string;
}

/** What is known of a token's key. */
export interface KeyFinding {
  readonly text: string;
  readonly isKnown: boolean;
}

const UNKNOWN: KeyFinding = {
  text: 'not in the key set: the service answers SEALED_FIELD_UNKNOWN_KEY, unless a rotation replaced it just now',
  isKnown: false,
};
const known = (text: string): KeyFinding => ({ text, isKnown: true });

/** @returns `bnd` of the field in the given message; null when it binds nothing */
export async function findBound(flags: SourceFlags): Promise<string | null> {
  if (flags.field === undefined)
    throw new SealwireError('OPTIONS_INVALID', '-d needs --field NAME, the field of the message that holds the token');
  const { plan, holder } = new JsonSchema(await loadDescriptors(flags, undefined)).field(flags.field);
  return boundDigest(plan, holder.fromJson(await readOne('-d', flags.data)), sha256) ?? null;
}

/**
 * @param flags with `keys` or `root`
 * @throws SealwireError as `loadPublicKeys`, `verifyKeySet` and the key set fetcher do
 */
export async function findKey(kid: string, flags: SourceFlags): Promise<KeyFinding> {
  if (flags.keys !== undefined) {
    return (await loadPublicKeys(flags.keys)).some((key) => key.kid === kid) ? known('in the key set') : UNKNOWN;
  }
  const fetcher = createKeySetFetcher({ ...readTarget(flags), deadlineMs: 5_000 });
  try {
    const { text } = await fetcher.fetch('');
    const nowMs = Date.now();
    const { keys } = await verifyKeySet(text, { roots: await readRoots(flags.root ?? []), issuer: flags.name, nowMs });
    const key = keys.find((one) => one.kid === kid);
    if (key === undefined) return UNKNOWN;
    const { notBefore = 0, expires } = key;
    if (nowMs / 1000 < notBefore) return known(`published, in use from ${moment(notBefore)}`);
    return known(expires === undefined ? 'in the key set' : `in the key set, in use until ${moment(expires)}`);
  } finally {
    fetcher.close();
  }
}

function moment(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
