/** Where a sender's recipients' keys come from; a directory that fetches signed sets will be another one. */
import { SealwireError } from '../errors.js';
import type { RecipientKey } from '../jwe/recipient.js';
import { loadPublicKeys } from './public-keys.js';

/** Gives a recipient's current public key. */
export interface KeySource {
  /**
   * @param recipient name in the schema; '' is the service itself
   * @returns at once when the key is at hand
   * @throws SealwireError `KEY_NOT_FOUND`, `KEY_FILE_MISSING`, `KEY_FILE_INVALID`
   */
  current(recipient: string): RecipientKey | Promise<RecipientKey>;
  /** Looks for a newer key. */
  refresh?(recipient: string): Promise<void>;
}

/** @param keys one key for the service itself, or keys by recipient name */
export function staticKeySource(keys: RecipientKey | Readonly<Record<string, RecipientKey>>): KeySource {
  const byName = new Map(isRecipientKey(keys) ? [['', keys]] : Object.entries(keys));
  return {
    current(recipient) {
      const key = byName.get(recipient);
      if (key === undefined) throw new SealwireError('KEY_NOT_FOUND', `no key for recipient '${recipient}'`);
      return key;
    },
  };
}

/** @param path the service's JWK Set file (`keys/public.jwks.json`): read at first use and at each refresh */
export function fileKeySource(path: string): KeySource {
  let loaded: RecipientKey | undefined;
  const load = async (): Promise<RecipientKey> => {
    const [first] = await loadPublicKeys(path);
    if (first === undefined) throw new SealwireError('KEY_FILE_INVALID', `${path}: no key in it`);
    loaded = first;
    return first;
  };
  return {
    current(recipient) {
      if (recipient !== '') throw new SealwireError('KEY_NOT_FOUND', `no key for recipient '${recipient}'`);
      return loaded ?? load();
    },
    async refresh() {
      await load();
    },
  };
}

function isRecipientKey(keys: RecipientKey | Readonly<Record<string, RecipientKey>>): keys is RecipientKey {
  return typeof keys['kid'] === 'string';
}
