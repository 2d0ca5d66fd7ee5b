/** Where a sender's recipients' keys come from; a directory that fetches signed sets is another one. */
import { SealwireError } from '../errors.js';
import type { RecipientKey } from '../jwe/recipient.js';
import { checkRange } from '../profile/check-range.js';
import { fileVersion } from './files.js';
import { loadPublicKeys } from './public-keys.js';

/** Gives a recipient's current public key. */
export interface KeySource {
  /**
   * @param recipient name in the schema; '' is the service itself
   * @returns at once when the key is at hand
   * @throws SealwireError `KEY_NOT_FOUND`, `KEY_FILE_MISSING`, `KEY_FILE_INVALID`; of a directory, one of
   *   `KEY_SET_CODES`
   */
  current(recipient: string): RecipientKey | Promise<RecipientKey>;
  /** Looks for a newer key. */
  refresh?(recipient: string): Promise<void>;
}

/**
 * @param keys one key for the service itself, or keys by recipient name
 *
 * @example
 * ```ts
 * import { readFile } from 'node:fs/promises';
 * import { recipientKey, staticKeySource } from 'sealwire';
 *
 * const keys = staticKeySource(await recipientKey(await readFile('payments.pub.pem', 'utf8')));
 * ```
 */
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

/** Options of {@link fileKeySource}. */
export interface FileKeySourceOptions {
  /**
   * How often, when the key is used, to check whether the file has changed, in ms. Default 1,000; 0 (at each use) to
   * 3,600,000.
   */
  readonly checkMs?: number;
}

/**
 * Follows a file: read at first use, at each refresh, and when it has changed. A file that cannot be read leaves the
 * key at hand in use.
 *
 * @param path the service's JWK Set file (`keys/public.jwks.json`); its first key is the one to use
 * @throws SealwireError `OPTIONS_INVALID`
 *
 * @example
 * ```ts
 * import { fileKeySource } from 'sealwire';
 *
 * const keys = fileKeySource('public.jwks.json');
 * ```
 */
export function fileKeySource(path: string, { checkMs = 1_000 }: FileKeySourceOptions = {}): KeySource {
  checkRange('checkMs', checkMs, [0, 3_600_000]);
  let loaded: { readonly key: RecipientKey; readonly version: string | undefined } | undefined;
  let checkAt = 0;
  let running: Promise<unknown> = Promise.resolve();
  let waiting: Promise<RecipientKey> | undefined;
  const loadNow = async (): Promise<RecipientKey> => {
    // Taken before reading: a change during the read is found at the next check.
    const version = await fileVersion(path);
    const [key] = await loadPublicKeys(path);
    if (key === undefined) throw new SealwireError('KEY_FILE_INVALID', `${path} holds no key`);
    loaded = { key, version };
    return key;
  };
  /**
   * One at a time: of two parallel reads, the later to end may have seen the older file and would bring a retired key
   * back.
   */
  const load = (): Promise<RecipientKey> => {
    waiting ??= running.then(() => {
      waiting = undefined;
      const loading = loadNow();
      running = loading.catch(() => {});
      return loading;
    });
    return waiting;
  };
  const follow = async (): Promise<void> => {
    if ((await fileVersion(path)) !== loaded?.version) await load();
  };
  return {
    current(recipient) {
      if (recipient !== '') throw new SealwireError('KEY_NOT_FOUND', `no key for recipient '${recipient}'`);
      if (loaded === undefined) return load();
      const now = performance.now();
      if (now >= checkAt) {
        checkAt = now + checkMs;
        // The caller need not wait: the key at hand is still good, and a broken file does not offer a better one.
        follow().catch(() => {});
      }
      return loaded.key;
    },
    async refresh() {
      await load();
    },
  };
}

function isRecipientKey(keys: RecipientKey | Readonly<Record<string, RecipientKey>>): keys is RecipientKey {
  return typeof keys['kid'] === 'string';
}
