import { chmod, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import type { SealwireError } from '../../src/errors.js';
import { KeyRing, type KeyRingOptions } from '../../src/keys/ring.js';
import { RingFollower } from '../../src/keys/ring-follower.js';
import { RingStore } from '../../src/keys/ring-store.js';
import { inFolder, makePair } from './helpers.js';

const pairs = Array.from({ length: 3 }, () => makePair('P-256').jwk);

function ringText(...keys: readonly object[]): string {
  return JSON.stringify({ keys });
}

/** A follower, and what it tells, as promises. */
class Followed {
  readonly ring: KeyRing;
  readonly faults: SealwireError[] = [];
  loads = 0;
  readonly follower: RingFollower;
  #wake = () => {};

  constructor(path: string, ring: KeyRing, load: KeyRingOptions = {}, pollMs = 60_000) {
    this.ring = ring;
    this.follower = new RingFollower({
      path,
      ring,
      load,
      pollMs,
      onError: (error) => {
        this.faults.push(error);
        this.#wake();
      },
      onLoad: () => {
        this.loads++;
        this.#wake();
      },
    });
  }

  async until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  codes(): string[] {
    return this.faults.map(({ code }) => code);
  }
}

async function inRingFolder(work: (path: string, followed: Followed) => Promise<void>, pollMs?: number): Promise<void> {
  await inFolder(async (dir) => {
    const path = join(dir, 'ring.json');
    await writeFile(path, ringText(pairs[0] as object), { mode: 0o600 });
    const followed = new Followed(path, await KeyRing.load(path), {}, pollMs);
    try {
      await followed.follower.check();
      await work(path, followed);
    } finally {
      followed.follower.close();
    }
  });
}

const kids = await Promise.all(pairs.map(async (pair) => (await KeyRing.fromKeys([pair])).currentKid));

describe('RingFollower', () => {
  it('takes a file that is replaced, as our own commands and editors do', () =>
    inRingFolder(async (path, { ring, ...followed }) => {
      expect(followed.faults).to.deep.equal([]);
      const told = new Promise<void>(
        (resolve) => void ring.onChange(({ currentKid }) => currentKid === kids[1] && resolve()),
      );
      await writeFile(`${path}.new`, ringText(pairs[1] as object), { mode: 0o600 });
      await rename(path, `${path}~`);
      await rename(`${path}.new`, path);
      await told;
      expect(ring.find(kids[0] as string)).to.equal(undefined);
    }));

  it('takes a file that is written in place', () =>
    inRingFolder(async (path, followed) => {
      await writeFile(path, ringText(pairs[1] as object));
      await followed.until(() => followed.ring.currentKid === kids[1]);
    }));

  it('does not read a file again that has not changed', () =>
    inRingFolder(async (_path, followed) => {
      const { loads } = followed;
      for (let count = 0; count < 3; count++) await followed.follower.check();
      expect([loads, followed.loads]).to.deep.equal([1, 1]);
    }));

  it('takes several changes in a row, and ends with the last', () =>
    inRingFolder(async (path, followed) => {
      const store = new RingStore({ path });
      for (const pair of [pairs[1], pairs[2], pairs[1], pairs[2]] as object[]) {
        const [key] = (await KeyRing.fromKeys([pair])).keys();
        await store.update(() => [key as NonNullable<typeof key>]);
      }
      await followed.until(() => followed.ring.currentKid === kids[2]);
      await followed.follower.check();
      expect(followed.ring.currentKid).to.equal(kids[2]);
    }));

  it('tells of a bad file once, keeps the old keys, and takes the next good one', () =>
    inRingFolder(async (path, followed) => {
      const { ring, follower } = followed;
      await writeFile(path, '{"keys":[');
      await followed.until(() => followed.faults.length === 1);
      for (let count = 0; count < 3; count++) await follower.check();
      expect(followed.codes()).to.deep.equal(['KEY_FILE_INCOMPLETE']);
      expect(ring.currentKid).to.equal(kids[0]);
      expect(ring.find(kids[0] as string)).to.include({ kid: kids[0] });
      await writeFile(path, ringText({ ...pairs[1], sealwire: { withdrawn: 5 } }));
      await followed.until(() => followed.faults.length === 2);
      expect(followed.faults[1]?.message).to.contain('no key is active now');
      await writeFile(path, ringText(pairs[1] as object));
      await followed.until(() => ring.currentKid === kids[1]);
      expect(followed.codes()).to.deep.equal(['KEY_FILE_INCOMPLETE', 'KEY_FILE_INVALID']);
    }));

  it('tells of a file that others can read, or that is gone, and keeps the old keys', () =>
    inRingFolder(async (path, followed) => {
      await chmod(path, 0o644);
      await followed.until(() => followed.faults.length === 1);
      await rm(path);
      await followed.until(() => followed.faults.length === 2);
      await followed.follower.check();
      expect(followed.codes()).to.deep.equal(['KEY_FILE_MODE', 'KEY_FILE_MISSING']);
      expect(followed.ring.currentKid).to.equal(kids[0]);
      await writeFile(path, ringText(pairs[0] as object), { mode: 0o600 });
      const loads = followed.loads;
      await followed.until(() => followed.loads > loads);
    }));

  it('looks at the file where its folder cannot be watched', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'later', 'ring.json');
      const followed = new Followed(path, await KeyRing.fromKeys([pairs[0] as object]), {}, 10);
      try {
        await followed.until(() => followed.faults.length === 1);
        for (let count = 0; count < 3; count++) await followed.follower.check();
        expect(followed.codes()).to.deep.equal(['KEY_FILE_MISSING']);
        await mkdir(join(dir, 'later'));
        await writeFile(path, ringText(pairs[1] as object), { mode: 0o600 });
        await followed.until(() => followed.ring.currentKid === kids[1]);
      } finally {
        followed.follower.close();
      }
    }));

  it('follows a link to another file, as mounted secrets change', () =>
    inFolder(async (dir) => {
      for (const [index, pair] of pairs.slice(0, 2).entries()) {
        await mkdir(join(dir, `data${index}`));
        await writeFile(join(dir, `data${index}`, 'ring.json'), ringText(pair), { mode: 0o600 });
      }
      await symlink('data0', join(dir, 'data'));
      const path = join(dir, 'data', 'ring.json');
      const followed = new Followed(path, await KeyRing.load(path), {}, 10);
      try {
        await symlink('data1', join(dir, 'data.new'));
        await rename(join(dir, 'data.new'), join(dir, 'data'));
        await followed.until(() => followed.ring.currentKid === kids[1]);
      } finally {
        followed.follower.close();
      }
    }));

  it('takes an encrypted file with its passphrase, and tells when that is wrong', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'ring.json');
      let passphrase = 'first';
      const store = new RingStore({ path, passphrase: () => 'first' });
      await store.create((await KeyRing.fromKeys([pairs[0] as object])).keys());
      const followed = new Followed(path, await store.load(), { passphrase: () => passphrase });
      try {
        await followed.follower.check();
        await store.protect(() => 'second');
        await followed.until(() => followed.faults.length === 1);
        expect(followed.codes()).to.deep.equal(['KEY_PASSPHRASE_WRONG']);
        passphrase = 'second';
        const loads = followed.loads;
        await new RingStore({ path, passphrase: () => 'second' }).update((keys) => keys);
        await followed.until(() => followed.loads > loads);
      } finally {
        followed.follower.close();
      }
    }));

  it('takes nothing after it was closed', () =>
    inRingFolder(async (path, { ring, follower }) => {
      await writeFile(path, ringText(pairs[1] as object));
      const checking = follower.check();
      follower.close();
      await checking;
      await follower.check();
      expect(ring.currentKid).to.equal(kids[0]);
    }));

  it('looks at its file when the ring is asked for newer keys, once for all who ask', () =>
    inRingFolder(async (path, followed) => {
      const { ring, follower } = followed;
      await writeFile(path, ringText(...pairs));
      await Promise.all(Array.from({ length: 50 }, () => ring.refresh()));
      expect(kids.map((kid) => ring.find(kid)?.kid)).to.deep.equal(kids);
      expect(followed.loads).to.be.at.most(2);
      follower.close();
      await writeFile(path, ringText(pairs[0] as object));
      await ring.refresh();
      expect(ring.find(kids[2] as string)).not.to.equal(undefined);
    }));
});
