/** What a page remembers in IndexedDB. Nothing here is Node's, and all but one case need a browser. */
import { expect } from 'chai';
import { SealwireError } from '../../src/errors.js';
import { createIndexedDbMemory } from '../../src/web/keys/indexed-db-memory.js';
import type { WebCase } from './web-conformance.js';

const NAME = 'sealwire-test';

const seen = (changed: number, text: string, passed = 0) => ({ version: { changed, passed }, fingerprint: 'k', text });

/** As much of IndexedDB as the cases use. */
interface Factory {
  deleteDatabase(name: string): { onsuccess: () => void };
}

const factory = () => (globalThis as unknown as { indexedDB: Factory }).indexedDB;

async function clear(): Promise<void> {
  const request = factory().deleteDatabase(NAME);
  await new Promise<void>((resolve) => {
    request.onsuccess = resolve;
  });
}

async function codeOf(action: () => Promise<unknown>): Promise<string> {
  try {
    await action();
    return 'done';
  } catch (error) {
    return error instanceof SealwireError ? error.code : String(error);
  }
}

export const memoryCases: readonly WebCase[] = [
  {
    name: 'IndexedDB: remembers each recipient’s newest set over memories, and never replaces it by an older one',
    async run() {
      await clear();
      const [first, second] = [createIndexedDbMemory(NAME), createIndexedDbMemory(NAME)];
      expect(await first.recall('payments')).to.equal(undefined);
      await first.remember('payments', seen(2, 'b'));
      await second.remember('payments', seen(1, 'a'));
      await second.remember('fraud', seen(1, 'f'));
      expect(await second.recall('payments')).to.deep.equal(seen(2, 'b'));
      expect(await first.recall('fraud')).to.deep.equal(seen(1, 'f'));
      const versions = [5, 3, 7, 4];
      await Promise.all(versions.map((version) => first.remember('payments', seen(version, `${version}`))));
      expect(await first.recall('payments')).to.deep.equal(seen(7, '7'));
      await first.remember('payments', seen(7, 'signed anew'));
      expect(await first.recall('payments')).to.deep.equal(seen(7, 'signed anew'));
      await first.remember('payments', seen(7, 'a date has passed', 2));
      await second.remember('payments', seen(7, 'older', 1));
      await second.remember('payments', seen(6, 'older', 9));
      expect(await first.recall('payments')).to.deep.equal(seen(7, 'a date has passed', 2));
    },
  },
  {
    name: 'IndexedDB: foreign content is no empty memory',
    async run() {
      await clear();
      const memory = createIndexedDbMemory(NAME);
      for (const foreign of [{ ...seen(1, 'a'), version: 1 }, seen(-1, 'a'), { version: seen(1, 'a').version }, null]) {
        await memory.remember('payments', foreign as never).catch(() => {});
        expect(await codeOf(() => memory.recall('payments')), JSON.stringify(foreign)).to.equal('KEY_MEMORY_FAILED');
        await clear();
      }
    },
  },
];

/** Where there is no IndexedDB, or none that may be used. */
export const missingMemoryCase: WebCase = {
  name: 'IndexedDB: where it is missing, that is an error and no empty memory',
  async run() {
    const memory = createIndexedDbMemory(NAME);
    expect(await codeOf(() => memory.recall('payments'))).to.equal('KEY_MEMORY_FAILED');
    expect(await codeOf(() => memory.remember('payments', seen(1, 'a')))).to.equal('KEY_MEMORY_FAILED');
  },
};
