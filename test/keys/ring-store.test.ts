import { mkdir, readdir, readFile, readlink, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { takeFileLock } from '../../src/files/file-lock.js';
import { isEncrypted } from '../../src/keys/encryption.js';
import { KeyRing } from '../../src/keys/ring.js';
import { importRingKey, type RingKey, withDates } from '../../src/keys/ring-file.js';
import { RingStore } from '../../src/keys/ring-store.js';
import { finish, run } from '../support/command.js';
import { TestIssuer } from '../support/signed-sets.js';
import { inFolder, makePair, refusal } from './helpers.js';

function newKey(): Promise<RingKey> {
  return importRingKey(makePair('P-256').jwk);
}

describe('RingStore', () => {
  it('creates a file once, with its public keys', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'ring.json');
      const store = new RingStore({ path, publicPath: join(dir, 'public.jwks.json') });
      const ring = await store.create([await newKey()]);
      expect(JSON.parse(await readFile(join(dir, 'public.jwks.json'), 'utf8'))).to.deep.equal(ring.publicJwks());
      expect((await store.load()).currentKid).to.equal(ring.currentKid);
      await refusal(async () => store.create([await newKey()]), 'KEY_FILE_WRITE');
      const { ring: same, created } = await store.ensure(() => expect.fail('asked for keys'));
      expect([same.currentKid, created]).to.deep.equal([ring.currentKid, false]);
      expect((await readdir(dir)).sort()).to.deep.equal(['public.jwks.json', 'ring.json']);
    }));

  it('keeps members of the set that are not its own, and the file plain or encrypted as it is', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'ring.json');
      const { jwk } = makePair('P-256');
      await writeFile(path, JSON.stringify({ comment: 'of the operator', keys: [{ ...jwk, owner: 'us' }] }), {
        mode: 0o600,
      });
      const store = new RingStore({ path, passphrase: () => 'secret' });
      const touch = () => store.update((keys) => keys.map((key) => withDates(key, { active: 5 })));
      await touch();
      const text = await readFile(path, 'utf8');
      expect(JSON.parse(text)).to.deep.include({ comment: 'of the operator' });
      expect((JSON.parse(text) as { keys: object[] }).keys[0]).to.deep.include({
        owner: 'us',
        sealwire: { active: 5 },
      });
      await store.protect(() => 'secret');
      expect(isEncrypted(await readFile(path, 'utf8'))).to.equal(true);
      await touch();
      expect(isEncrypted(await readFile(path, 'utf8'))).to.equal(true);
      await store.protect(undefined);
      const { changed } = JSON.parse(text) as { changed: number };
      expect(JSON.parse(await readFile(path, 'utf8'))).to.deep.equal({ ...JSON.parse(text), changed: changed + 3 });
    }));

  it('says when the keys were changed: above what the file, the last signed set and the clock say', () =>
    inFolder(async (dir) => {
      const [path, signedPath] = [join(dir, 'ring.json'), join(dir, 'key-set.jws')];
      let now = 1_000;
      const store = new RingStore({ path, signedPath, ring: { now: () => now * 1_000 + 999 } });
      const stamped = (ring: KeyRing) => ring.version()?.changed;
      const inFile = async () => (JSON.parse(await readFile(path, 'utf8')) as { changed: unknown }).changed;
      expect(stamped(await store.create([withDates(await newKey(), { active: 5 })]))).to.equal(1_000);
      expect(stamped(await store.stamp())).to.equal(1_001);
      now = 900;
      expect(stamped(await store.protect(undefined))).to.equal(1_002);
      now = 2_000;
      expect(stamped(await store.update((keys) => keys))).to.equal(2_000);
      await writeFile(signedPath, await new TestIssuer().set({ claims: { ver: [3_000, 9_000] } }));
      expect(stamped(await store.stamp())).to.equal(3_001);
      expect([await inFile(), stamped(await store.load())]).to.deep.equal([3_001, 3_001]);
      for (const other of ['', 'no set', await new TestIssuer().set({ claims: { ver: [2 ** 52, 0] } })]) {
        await writeFile(signedPath, other);
        expect(stamped(await store.stamp())).to.be.within(3_002, 3_004);
      }
      await writeFile(path, JSON.stringify({ keys: [makePair('P-256').jwk] }));
      expect(stamped(await store.load())).to.equal(undefined);
      expect(stamped(await store.stamp())).to.equal(2_000);
      for (const changed of ['5', 1.5, -1, 2 ** 52, null]) {
        await writeFile(path, JSON.stringify({ changed, keys: [makePair('P-256').jwk] }));
        expect((await refusal(() => store.load(), 'KEY_FILE_INVALID')).message).to.contain('changed must be');
      }
    }));

  it('says what to do about a ring with too many keys, and leaves the file as it is', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'ring.json');
      const room = 'x'.repeat(1_048_000);
      await writeFile(path, JSON.stringify({ room, keys: [makePair('P-256').jwk] }), { mode: 0o600 });
      const before = await readFile(path, 'utf8');
      const next = await newKey();
      const store = new RingStore({ path });
      const error = await refusal(() => store.update((keys) => [...keys, next]), 'KEY_FILE_WRITE');
      expect(error.message).to.equal(
        `${path}: too large: a key file has at most 1048576 bytes; 2 keys are too many; ` +
          'sealwire keys remove --retired takes out the retired ones',
      );
      expect(await readFile(path, 'utf8')).to.equal(before);
    }));

  it('does not write keys with which calls would fail, nor after the change threw', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'ring.json');
      const store = new RingStore({ path });
      await store.create([await newKey()]);
      const before = await readFile(path, 'utf8');
      await refusal(
        () => store.update((keys) => keys.map((key) => withDates(key, { withdrawn: 5 }))),
        'KEY_DATES_INVALID',
      );
      await refusal(() => store.update(() => []), 'KEY_FILE_INVALID');
      await store
        .update(() => Promise.reject(new Error('no')))
        .then(
          () => expect.fail('it was written'),
          () => {},
        );
      expect(await readFile(path, 'utf8')).to.equal(before);
      expect(await readdir(dir)).to.deep.equal(['ring.json']);
    }));

  it('repairs a ring that cannot be loaded for its dates', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'ring.json');
      await writeFile(path, JSON.stringify({ keys: [{ ...makePair('P-256').jwk, sealwire: { withdrawn: 5 } }] }), {
        mode: 0o600,
      });
      const store = new RingStore({ path });
      await refusal(() => store.load(), 'KEY_FILE_INVALID');
      const ring = await store.update(async (keys) => [...keys, await newKey()]);
      expect(ring.describe().map(({ state }) => state)).to.deep.equal(['retired', 'active']);
    }));

  it('loses nothing when many write at once, in this process and in others', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'ring.json');
      const store = new RingStore({ path });
      await store.create([await newKey()]);
      const add = `
        import { RingStore } from ${JSON.stringify(new URL('../../src/keys/ring-store.js', import.meta.url).href)};
        import { generatePem } from ${JSON.stringify(new URL('../../src/keys/generate-pem.js', import.meta.url).href)};
        import { importRingKey } from ${JSON.stringify(new URL('../../src/keys/ring-file.js', import.meta.url).href)};
        const store = new RingStore({ path: process.argv[1] });
        for (let i = 0; i < 5; i++) {
          const key = await importRingKey(generatePem('P-256'));
          await store.update((keys) => [...keys, key]);
          console.log(key.kid);
        }`;
      const others = [1, 2, 3].map(() => finish(process.execPath, ['--input-type=module', '-e', add, path]));
      const mine = await Promise.all(
        Array.from({ length: 5 }, async () => {
          const key = await newKey();
          await store.update((keys) => [...keys, key]);
          return key.kid;
        }),
      );
      const theirs = (await Promise.all(others)).flatMap(({ stdout, stderr }) => {
        expect(stderr).to.equal('');
        return stdout.trim().split('\n');
      });
      const kids = new Set((await KeyRing.load(path)).describe().map(({ kid }) => kid));
      expect(kids.size).to.equal(21);
      for (const kid of [...mine, ...theirs]) expect(kids.has(kid)).to.equal(true);
      expect(await readdir(dir)).to.deep.equal(['ring.json']);
    }));

  it('waits for a writer in another process only so long', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'ring.json');
      await new RingStore({ path }).create([await newKey()]);
      const other = run(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
      try {
        const own = await takeFileLock(`${path}.lock`);
        const text = await readFile(`${path}.lock`, 'utf8');
        await own.release();
        const changes = { pid: other.child.pid, start: '' };
        await writeFile(`${path}.lock`, JSON.stringify({ ...JSON.parse(text), ...changes }));
        const error = await refusal(() => new RingStore({ path, waitMs: 50 }).update((keys) => keys), 'KEY_FILE_BUSY');
        expect(error.message).to.equal(`${path}: process ${other.child.pid} is changing it; try again`);
        // Reading waits for nobody.
        await KeyRing.load(path);
      } finally {
        other.child.kill('SIGKILL');
        await other.ended;
      }
      // Its lock is worth nothing any more, and neither is what it left half written.
      await writeFile(`${path}.0123456789ab.tmp`, 'half');
      for (const [name, age] of [
        ['old', 61],
        ['new', 1],
      ] as const) {
        const file = `${path}.lock.${name === 'old' ? '0' : '1'}123456789ab`;
        await writeFile(file, '');
        await utimes(file, Date.now() / 1_000 - age, Date.now() / 1_000 - age);
      }
      await new RingStore({ path, waitMs: 0 }).update((keys) => keys);
      // Somebody may be about to link the newer one into place.
      expect((await readdir(dir)).sort()).to.deep.equal(['ring.json', 'ring.json.lock.1123456789ab']);
    }));

  it('changes the file that a link means, and takes turns with who uses its own name', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'ring.json');
      await new RingStore({ path }).create([await newKey()]);
      await mkdir(join(dir, 'service'));
      const linked = join(dir, 'service', 'keys.json');
      await symlink('../ring.json', linked);
      const add = (name: string) => new RingStore({ path: name }).update(async (keys) => [...keys, await newKey()]);
      await Promise.all([add(linked), add(path), add(linked), add(path)]);
      expect((await KeyRing.load(path)).keys()).to.have.length(5);
      expect(await readlink(linked)).to.equal('../ring.json');
      expect((await readdir(dir)).sort()).to.deep.equal(['ring.json', 'service']);
    }));

  it('makes no new ring in the place of one that cannot be opened, or is not mounted yet', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'ring.json');
      for (const target of ['elsewhere/ring.json', 'ring.json']) {
        await symlink(target, path);
        const store = new RingStore({ path });
        await refusal(() => store.ensure(() => expect.fail('asked for keys')), 'KEY_FILE_MISSING');
        await refusal(async () => store.create([await newKey()]), 'KEY_FILE_WRITE');
        expect(await readlink(path)).to.equal(target);
        await rm(path);
      }
      await mkdir(path);
      await refusal(() => new RingStore({ path }).load(), 'KEY_FILE_INVALID');
    }));

  it('says that the ring is changed when only the public keys could not be written', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'ring.json');
      const publicPath = join(dir, 'no', 'public.jwks.json');
      const error = await refusal(
        async () => new RingStore({ path, publicPath }).create([await newKey()]),
        'KEY_FILE_WRITE',
      );
      expect(error.message).to.equal(`${publicPath}: ENOENT; the key ring itself was changed`);
      expect((await KeyRing.load(path)).keys()).to.have.length(1);
    }));

  it('says so when there is no folder, or none that can be written', () =>
    inFolder(async (dir) => {
      const nowhere = new RingStore({ path: join(dir, 'no', 'ring.json') });
      await refusal(() => nowhere.update((keys) => keys), 'KEY_FILE_WRITE');
      await refusal(() => nowhere.load(), 'KEY_FILE_MISSING');
    }));
});
