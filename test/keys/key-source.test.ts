import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { fileKeySource, staticKeySource } from '../../src/keys/key-source.js';
import { loadPublicKeys, recipientKey } from '../../src/keys/public-keys.js';
import { KeyRing } from '../../src/keys/ring.js';
import { inFolder, makePair, publicPart, refusal } from './helpers.js';

const publicKey = () => recipientKey(publicPart(makePair('P-256').jwk));

describe('staticKeySource', () => {
  it('gives one key to the service itself only', async () => {
    const key = await publicKey();
    const source = staticKeySource(key);
    expect(source.current('')).to.equal(key);
    await refusal(() => source.current('fraud-team'), 'KEY_NOT_FOUND');
  });

  it('gives keys by recipient name, and none for names of object members', async () => {
    const [own, fraud] = [await publicKey(), await publicKey()];
    const source = staticKeySource({ '': own, 'fraud-team': fraud });
    expect(source.current('')).to.equal(own);
    expect(source.current('fraud-team')).to.equal(fraud);
    for (const name of ['constructor', '__proto__', 'other'])
      await refusal(() => source.current(name), 'KEY_NOT_FOUND');
  });
});

describe('fileKeySource', () => {
  it('reads at first use, keeps the key at hand, and reads again at a refresh', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'public.jwks.json');
      const source = fileKeySource(path);
      await refusal(() => source.current(''), 'KEY_FILE_MISSING');
      const first = await KeyRing.create('P-256');
      await first.savePublic(path);
      expect((await source.current('')).kid).to.equal(first.currentKid);
      const second = await KeyRing.create('P-256');
      await second.savePublic(path);
      await source.refresh?.('');
      expect(source.current('')).to.include({ kid: second.currentKid });
    }));

  it('follows the file: a use after a change makes it look, and a later one has the new key', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'public.jwks.json');
      const [first, second] = [await KeyRing.create('P-256'), await KeyRing.create('P-256')];
      await first.savePublic(path);
      const source = fileKeySource(path, { checkMs: 0 });
      await source.current('');
      await second.savePublic(path);
      while ((await source.current('')).kid !== second.currentKid) await new Promise((done) => setImmediate(done));
      await writeFile(path, 'broken');
      for (let use = 0; use < 100; use++) {
        expect((await source.current('')).kid).to.equal(second.currentKid);
        await new Promise((done) => setImmediate(done));
      }
      await first.savePublic(path);
      while ((await source.current('')).kid !== first.currentKid) await new Promise((done) => setImmediate(done));
    }));

  it('never goes back to an older file: readings that overlap end in the order in which they began', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'public.jwks.json');
      const [first, second] = [await KeyRing.create('P-256'), await KeyRing.create('P-256')];
      for (let round = 0; round < 30; round++) {
        await first.savePublic(path);
        const source = fileKeySource(path);
        const begun = Promise.resolve(source.current(''));
        await second.savePublic(path);
        await source.refresh?.('');
        expect((await begun).kid).to.be.oneOf([first.currentKid, second.currentKid]);
        expect(source.current('')).to.include({ kid: second.currentKid });
      }
    }));

  it('refuses a pipe at once: reading it would wait for ever', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'public.jwks.json');
      execFileSync('mkfifo', ['-m', '600', path]);
      await refusal(async () => fileKeySource(path).current(''), 'KEY_FILE_INVALID');
    }));

  it('looks no more often than it was told', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'public.jwks.json');
      const ring = await KeyRing.create('P-256');
      await ring.savePublic(path);
      const source = fileKeySource(path, { checkMs: 3_600_000 });
      await source.current('');
      await source.current('');
      await (await KeyRing.create('P-256')).savePublic(path);
      for (let use = 0; use < 100; use++) {
        expect((await source.current('')).kid).to.equal(ring.currentKid);
        await new Promise((done) => setImmediate(done));
      }
      await refusal(() => fileKeySource(path, { checkMs: -1 }), 'OPTIONS_INVALID');
    }));

  it('keeps the key it has when a refresh fails', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'public.jwks.json');
      const ring = await KeyRing.create('P-256');
      await ring.savePublic(path);
      const source = fileKeySource(path);
      await source.current('');
      await writeFile(path, '{}');
      await refusal(() => source.refresh?.(''), 'KEY_FILE_INVALID');
      expect(source.current('')).to.include({ kid: ring.currentKid });
    }));

  it('refuses an empty set and other recipients', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'public.jwks.json');
      await writeFile(path, '{"keys":[]}');
      await refusal(() => fileKeySource(path).current(''), 'KEY_FILE_INVALID');
      await refusal(() => fileKeySource(path).current('fraud-team'), 'KEY_NOT_FOUND');
    }));
});

describe('loadPublicKeys', () => {
  it('refuses a set that holds a private key', async () => {
    await refusal(() => loadPublicKeys({ keys: [makePair('P-256').jwk] }), 'KEY_INVALID');
  });
});
