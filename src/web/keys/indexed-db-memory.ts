/** What a key directory remembers over reloads, in the browser's IndexedDB: nothing secret. */
import { SealwireError } from '../../errors.js';
import { isRemembered, type KeySetMemory, type RememberedSet } from '../../profile/key-sets/cache-settings.js';
import { compareVersions } from '../../profile/key-sets/version.js';

/** As much of IndexedDB as is used; its own types are those of browsers. */
interface IdbRequest<T> {
  readonly result: T;
  readonly error: unknown;
  onsuccess: () => void;
  onerror: () => void;
  onupgradeneeded: () => void;
}
interface IdbStore {
  get(key: string): IdbRequest<unknown>;
  put(value: unknown, key: string): IdbRequest<unknown>;
}
interface IdbTransaction {
  readonly error: unknown;
  oncomplete: () => void;
  onabort: () => void;
  objectStore(name: string): IdbStore;
}
interface IdbDatabase {
  createObjectStore(name: string): unknown;
  transaction(name: string, mode: TransactionMode, options: { readonly durability: 'strict' }): IdbTransaction;
  close(): void;
}
interface IdbFactory {
  open(name: string, version: number): IdbRequest<IdbDatabase>;
}
type TransactionMode = 'readonly' | 'readwrite';

const STORE = 'key-sets';

/**
 * A memory for all pages of an origin. Its content is not secret; whoever can write to the origin's storage can make a
 * page accept an older set, and could change its scripts too.
 *
 * @param name of the database. Default `sealwire`
 */
export function createIndexedDbMemory(name = 'sealwire'): KeySetMemory {
  return {
    recall: (issuer) => withStore(name, 'readonly', (store) => read(store, issuer)),
    remember: (issuer, set) =>
      withStore(name, 'readwrite', async (store) => {
        // In one transaction: another tab's newer set must not be replaced.
        const known = await read(store, issuer);
        if (known === undefined || compareVersions(known.version, set.version) <= 0)
          await settle(store.put(set, issuer));
      }),
  };
}

async function read(store: IdbStore, issuer: string): Promise<RememberedSet | undefined> {
  const value = await settle(store.get(issuer));
  if (value === undefined || isRemembered(value)) return value;
  throw failed('holds something else than key sets');
}

async function withStore<T>(name: string, mode: TransactionMode, work: (store: IdbStore) => Promise<T>): Promise<T> {
  let database: IdbDatabase | undefined;
  try {
    const opening = (globalThis as unknown as { readonly indexedDB: IdbFactory }).indexedDB.open(name, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    database = await settle(opening);
    const transaction = database.transaction(STORE, mode, { durability: 'strict' });
    const completed = new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
    const [result] = await Promise.all([work(transaction.objectStore(STORE)), completed]);
    return result;
  } catch (cause) {
    if (cause instanceof SealwireError) throw cause;
    throw failed('cannot be used', cause);
  } finally {
    database?.close();
  }
}

function settle<T>(request: IdbRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function failed(what: string, cause?: unknown): SealwireError {
  return new SealwireError('KEY_MEMORY_FAILED', `the browser's storage ${what}`, { cause });
}
