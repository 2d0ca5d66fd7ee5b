import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import type { KeyDates } from '../../src/keys/lifecycle.js';
import { KeyRing, type RingChange } from '../../src/keys/ring.js';
import { inFolder, makePair, refusal } from './helpers.js';

const NOW = 1_800_000_000;
const DAY = 86_400;
const pairs = Array.from({ length: 5 }, () => makePair('P-256').jwk);

function dated(index: number, dates: KeyDates): object {
  return { ...pairs[index], sealwire: dates };
}

/** A clock that tests set, in seconds. */
function clock(seconds = NOW) {
  const time = { seconds, now: () => time.seconds * 1_000 };
  return time;
}

/** One key in each state but retired, at NOW; the last one is current. */
const STATES = [
  dated(0, { published: NOW + DAY, active: NOW + 2 * DAY }),
  dated(1, { published: NOW - DAY, active: NOW + DAY }),
  dated(2, { opening: NOW - DAY, stored: NOW + 7 * DAY }),
  dated(3, { opening: NOW - 9 * DAY, stored: NOW - DAY }),
  dated(4, { active: NOW - DAY, opening: NOW + DAY, stored: NOW + 9 * DAY }),
];

async function ringOfStates(time = clock()) {
  const ring = await KeyRing.fromKeys(STATES, { now: time.now });
  return { ring, kids: ring.describe().map(({ kid }) => kid) as [string, string, string, string, string], time };
}

describe('KeyRing with dates', () => {
  it('opens tokens from the wire with published, active and opening keys only', async () => {
    const { ring, kids } = await ringOfStates();
    expect(kids.map((kid) => ring.stateOf(kid))).to.deep.equal(['pending', 'published', 'opening', 'stored', 'active']);
    expect(kids.map((kid) => ring.find(kid) !== undefined)).to.deep.equal([false, true, true, false, true]);
    expect(kids.map((kid) => ring.findStored(kid) !== undefined)).to.deep.equal([false, true, true, true, true]);
    expect(kids.map((kid) => ring.isRetired(kid))).to.deep.equal([false, false, false, true, false]);
  });

  it('tells senders the active keys, and a key set the published ones too with their times', async () => {
    const { ring, kids } = await ringOfStates();
    expect(ring.publicJwks().keys.map(({ kid }) => kid)).to.deep.equal([kids[4]]);
    expect(ring.publicJwks().keys[0]).to.have.all.keys('kty', 'crv', 'x', 'y', 'kid', 'use', 'alg');
    const published = ring.publishedKeys().map(({ jwk, ...times }) => ({ kid: jwk.kid, ...times }));
    expect(published).to.deep.equal([
      { kid: kids[4], nbf: NOW - DAY, exp: NOW + DAY },
      { kid: kids[1], nbf: NOW + DAY },
    ]);
    const later = ring.publishedKeys((NOW + DAY) * 1_000).map(({ jwk }) => jwk.kid);
    expect(later).to.deep.equal([kids[1], kids[0]]);
  });

  it('does not publish a key that ends before senders would begin to use it', async () => {
    const ring = await KeyRing.fromKeys(
      [
        dated(0, { active: NOW - DAY }),
        dated(1, { published: NOW - DAY, active: NOW + DAY, opening: NOW + DAY, stored: NOW + 9 * DAY }),
        dated(2, { published: NOW - DAY, active: NOW + DAY, withdrawn: NOW + 1 }),
        dated(3, { published: NOW - DAY, active: NOW + DAY }),
      ],
      { now: () => NOW * 1_000 },
    );
    const kids = ring.describe().map(({ kid }) => kid);
    expect(ring.publishedKeys().map(({ jwk }) => jwk.kid)).to.deep.equal([kids[0], kids[3]]);
  });

  it('follows the clock without being told', async () => {
    const { ring, kids, time } = await ringOfStates();
    expect(ring.currentKid).to.equal(kids[4]);
    time.seconds = NOW + DAY;
    expect(ring.currentKid).to.equal(kids[1]);
    expect(ring.stateOf(kids[4])).to.equal('opening');
    time.seconds = NOW + 9 * DAY;
    expect(ring.find(kids[4])).to.equal(undefined);
    expect(ring.findStored(kids[4])).to.include({ kid: kids[4] });
  });

  it('has a current key even when the clock was set back before them all', async () => {
    const { ring, kids, time } = await ringOfStates();
    time.seconds = NOW - 9 * DAY;
    expect(ring.currentKid).to.equal(kids[2]);
    const late = await KeyRing.fromKeys([dated(0, { active: NOW })], { now: time.now }).catch(() => undefined);
    expect(late).to.equal(undefined);
    time.seconds = NOW;
    const one = await KeyRing.fromKeys([dated(0, { active: NOW })], { now: time.now });
    time.seconds = NOW - DAY;
    expect(one.currentKid).to.equal(one.describe()[0]?.kid);
  });

  it('refuses dates with which calls would fail, wherever they come from', async () => {
    const { now } = clock();
    await refusal(() => KeyRing.fromKeys([dated(0, { opening: NOW + 9 })], { now }), 'KEY_DATES_INVALID');
    await refusal(() => KeyRing.fromKeys([dated(0, { published: 1 })], { now }), 'KEY_DATES_INVALID');
    for (const dates of [null, [], 'x', 5, { activ: 5 }, { active: '5' }]) {
      await refusal(() => KeyRing.fromKeys([{ ...pairs[0], sealwire: dates }], { now }), 'KEY_DATES_INVALID');
    }
    await inFolder(async (dir) => {
      const path = join(dir, 'ring.json');
      await writeFile(path, JSON.stringify({ keys: [dated(0, { opening: NOW + 9 })] }), { mode: 0o600 });
      const error = await refusal(() => KeyRing.load(path, { now }), 'KEY_FILE_INVALID');
      expect(error.message).to.equal(
        `${path}: no key is active from 2027-01-15T08:00:09Z on; add one by rotating first`,
      );
    });
  });

  it('keeps dates and members that are not its own when it is written again', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'ring.json');
      const { now } = clock();
      const label = { 'x-label': { owner: 'payments' }, key_ops: ['deriveBits'] };
      const keys = [{ ...dated(4, { active: NOW - DAY }), ...label }, ...STATES.slice(1, 4)];
      await (await KeyRing.fromKeys(keys, { now })).save(path);
      const again = await KeyRing.load(path, { now });
      await again.save(path);
      const written = (JSON.parse(await readFile(path, 'utf8')) as { keys: object[] }).keys;
      expect(written).to.have.length(4);
      for (const [index, key] of keys.entries()) expect(written[index]).to.deep.include(key);
    }));
});

describe('KeyRing.onChange', () => {
  /** Resolves with the next change. */
  function nextTold(ring: KeyRing): Promise<RingChange> {
    return new Promise((resolve) => {
      const stop = ring.onChange((change) => {
        stop();
        resolve(change);
      });
    });
  }

  it('tells of a new file: what came, went and changed, with the current key', async () => {
    const { ring, kids, time } = await ringOfStates();
    const told = nextTold(ring);
    const other = await KeyRing.fromKeys(
      [STATES[1] as object, STATES[2] as object, dated(4, { withdrawn: NOW }), pairs[3] as object],
      {
        now: time.now,
      },
    );
    ring.replace(other);
    expect(await told).to.deep.equal({
      changes: [
        { kid: kids[0], from: 'pending' },
        { kid: kids[3], from: 'stored', to: 'active' },
        { kid: kids[4], from: 'active', to: 'retired' },
      ],
      previousKid: kids[4],
      currentKid: kids[3],
    });
    expect(ring.find(kids[4])).to.equal(undefined);
    expect(ring.isRetired(kids[4])).to.equal(true);
    expect(ring.find(kids[0])).to.equal(undefined);
  });

  it('agrees on the private keys of the new file', async () => {
    const ring = await KeyRing.fromKeys([pairs[0] as object]);
    const old = ring.currentKid;
    ring.replace(await KeyRing.fromKeys([pairs[1] as object]));
    const { x, y } = makePair('P-256').jwk;
    const epk = { crv: 'P-256', x: Buffer.from(x, 'base64url'), y: Buffer.from(y, 'base64url') } as const;
    expect(await ring.custody.agree(ring.currentKid, epk)).to.have.length(32);
    await refusal(() => ring.custody.agree(old, epk), 'CUSTODY_FAILED');
  });

  it('tells of a file that changes dates to come only', async () => {
    const { ring, time } = await ringOfStates();
    const told = nextTold(ring);
    ring.replace(await KeyRing.fromKeys(STATES, { now: time.now }));
    expect((await told).changes).to.deep.equal([]);
  });

  it('tells of a date that passes', async () => {
    const begun = Date.now();
    const seconds = Math.ceil(begun / 1_000);
    const ring = await KeyRing.fromKeys([
      dated(0, { opening: seconds + 1, stored: seconds + 9 * DAY }),
      dated(1, { published: seconds - 1, active: seconds + 1 }),
    ]);
    const [first, second] = ring.describe().map(({ kid }) => kid) as [string, string];
    expect(await nextTold(ring)).to.deep.equal({
      changes: [
        { kid: first, from: 'active', to: 'opening' },
        { kid: second, from: 'published', to: 'active' },
      ],
      previousKid: first,
      currentKid: second,
    });
    expect(Date.now()).to.be.at.least((seconds + 1) * 1_000);
  });

  it('waits beyond what a timer can, without being woken in a loop', async () => {
    let asked = 0;
    const far = NOW + 100 * DAY;
    const ring = await KeyRing.fromKeys(
      [dated(0, { opening: far, stored: far + 9 * DAY }), dated(1, { active: far })],
      {
        now: () => {
          asked++;
          return NOW * 1_000;
        },
      },
    );
    let told = 0;
    const stop = ring.onChange(() => told++);
    const before = asked;
    // A timer of more than 2^31 - 1 ms would fire after 1 ms, again and again.
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([told, asked]).to.deep.equal([0, before]);
    stop();
  });

  it('tells nothing to a listener that was taken away', async () => {
    const { ring, time } = await ringOfStates();
    const stop = ring.onChange(() => expect.fail('was told'));
    stop();
    ring.replace(await KeyRing.fromKeys([pairs[0] as object], { now: time.now }));
  });
});
