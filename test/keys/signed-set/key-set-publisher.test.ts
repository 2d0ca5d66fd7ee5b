import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { SealwireError } from '../../../src/errors.js';
import { signDelegation } from '../../../src/keys/signed-set/delegation.js';
import { verifyKeySet } from '../../../src/keys/signed-set/key-set.js';
import { KeySetPublisher, type PublishedKeys, type SetSigner } from '../../../src/keys/signed-set/key-set-publisher.js';
import { verifyStatement } from '../../../src/keys/signed-set/signed-statement.js';
import { SigningKey } from '../../../src/keys/signed-set/signing-key.js';
import type { KeySetVersion, SeenSet } from '../../../src/profile/key-sets/version.js';
import { makeSealingKey } from '../../support/signed-sets.js';
import { inFolder, refusal } from '../helpers.js';

const START_MS = 1_790_000_000_000;
const START = START_MS / 1000;
const DAY_MS = 86_400_000;

type Published = ReturnType<PublishedKeys['publishedKeys']>;

/** A ring as far as a publisher looks at it, and a clock that stands still. */
class Bench {
  nowMs = START_MS;
  keys: Published = [{ jwk: makeSealingKey().jwk }];
  version: KeySetVersion | undefined = { changed: START, passed: 0 };
  readonly errors: unknown[] = [];
  readonly leftOut: (readonly string[])[] = [];
  readonly told: string[] = [];
  onAsked = () => {};
  #listener: () => void = () => {};
  #root: SigningKey | undefined;
  #signer: SetSigner | undefined;

  readonly #file: string;
  constructor(file: string) {
    this.#file = file;
  }

  /** Tells the publisher that the keys are others. */
  change(keys: Published, changed = (this.version?.changed ?? 0) + 1): void {
    this.keys = keys;
    this.version = { changed, passed: 0 };
    this.#listener();
  }

  async delegate(days = 90): Promise<void> {
    this.#root ??= await SigningKey.generate();
    const key = this.#signer?.key ?? (await SigningKey.generate());
    const claims = { recipient: 'payments', signer: key.publicJwk, nowMs: this.nowMs, days };
    const delegation = await signDelegation(this.#root, claims);
    this.#signer = { key, delegation, delegationExpiresAt: Math.floor(this.nowMs / 1000) + days * 86_400 };
  }

  withdraw(): void {
    this.#signer = undefined;
  }

  create(
    options: { statement?: string; lifeSeconds?: number; maxAgeSeconds?: number; checkMs?: number } = {},
  ): KeySetPublisher {
    return new KeySetPublisher({
      issuer: 'payments',
      file: this.#file,
      keys: {
        publishedKeys: () => this.keys,
        version: () => this.version,
        onChange: (listener) => {
          this.#listener = listener;
          return () => {
            this.#listener = () => {};
          };
        },
      },
      signer: async () => {
        this.onAsked();
        if (this.#signer === undefined) throw new SealwireError('KEY_SET_DELEGATION_EXPIRED', 'expired');
        return this.#signer;
      },
      now: () => this.nowMs,
      onError: (error) => this.errors.push(error),
      onLeftOut: (kids) => this.leftOut.push(kids),
      onUnversioned: async () => void this.told.push('unversioned'),
      onOlder: () => this.told.push('older'),
      ...options,
    });
  }

  get rootKid(): string {
    return this.#root?.kid ?? '';
  }

  verify(publisher: KeySetPublisher) {
    return verifyKeySet(publisher.current()?.jws ?? '', {
      roots: [this.rootKid],
      issuer: 'payments',
      nowMs: this.nowMs,
    });
  }
}

/** Runs with a bench whose delegation is fresh, and no publisher is left running. */
function withBench(work: (bench: Bench, file: string) => Promise<void>): () => Promise<void> {
  return () =>
    inFolder(async (dir) => {
      const file = join(dir, 'key-set.jws');
      const bench = new Bench(file);
      await bench.delegate();
      await work(bench, file);
    });
}

describe('KeySetPublisher', () => {
  it(
    'signs what the ring publishes, and serves the same text until something asks for another',
    withBench(async (bench, file) => {
      const publisher = bench.create();
      expect(publisher.current()).to.equal(undefined);
      await publisher.update();
      const set = await bench.verify(publisher);
      expect(set).to.include({ issuedAt: START, expiresAt: START + 86_400 });
      expect(set.version).to.deep.equal({ changed: START, passed: 0 });
      expect(set.keys.map(({ kid }) => kid)).to.deep.equal(bench.keys.map(({ jwk }) => jwk.kid));
      const served = publisher.current();
      expect(served).to.include({ maxAgeSeconds: 900, expiresAt: START + 86_400 });
      expect(await readFile(file, 'utf8')).to.equal(`${served?.jws}\n`);
      bench.nowMs += DAY_MS / 4 - 1;
      await publisher.update();
      expect(publisher.current()?.jws).to.equal(served?.jws);
      bench.nowMs += 1;
      await publisher.update();
      // Fresher, and still the same keys.
      const renewed = await bench.verify(publisher);
      expect(renewed).to.include({ issuedAt: START + 21_600 });
      expect(renewed.version).to.deep.equal(set.version);
      publisher.close();
    }),
  );

  it(
    'signs anew when the ring tells of a change, with the dates of its keys',
    withBench(async (bench) => {
      const publisher = bench.create();
      await publisher.update();
      const next = makeSealingKey().jwk;
      bench.change([
        { jwk: bench.keys[0]!.jwk, exp: START + 50 },
        { jwk: next, nbf: START + 50 },
      ]);
      // Waits for the signing that the change began.
      await publisher.update();
      const { keys, version } = await bench.verify(publisher);
      expect(keys.map(({ notBefore, expires }) => [notBefore, expires])).to.deep.equal([
        [undefined, START + 50],
        [START + 50, undefined],
      ]);
      expect(version).to.deep.equal({ changed: START + 1, passed: 0 });
      publisher.close();
      let asked = false;
      bench.onAsked = () => {
        asked = true;
      };
      bench.change([{ jwk: next }]);
      await new Promise((resolve) => setImmediate(resolve));
      expect(asked).to.equal(false);
    }),
  );

  it(
    'looks by itself whether a set is due',
    withBench(async (bench) => {
      const asked = new Promise<void>((resolve) => {
        bench.onAsked = resolve;
      });
      const publisher = bench.create({ checkMs: 100 });
      await asked;
      publisher.close();
    }),
  );

  it(
    'signs the version of the keys, after a restart and whatever the clock',
    withBench(async (bench) => {
      const first = bench.create();
      await first.update();
      first.close();
      bench.nowMs -= 3_600_000;
      await bench.delegate();
      const second = bench.create();
      await second.update();
      const { version } = await bench.verify(second);
      expect(version).to.deep.equal({ changed: START, passed: 0 });
      // A step back asks for a new set by itself: the last one would be from the future.
      bench.nowMs -= 200_000;
      await second.update();
      const again = await bench.verify(second);
      expect(again).to.include({ issuedAt: START - 3_800 });
      expect(again.version).to.deep.equal(version);
      expect(bench.told).to.deep.equal([]);
      second.close();
    }),
  );

  it(
    'asks for a version when the keys have none, or that of others, and signs nothing until they have',
    withBench(async (bench) => {
      const publisher = bench.create();
      bench.version = undefined;
      await publisher.update();
      expect([publisher.current(), bench.told]).to.deep.equal([undefined, ['unversioned']]);
      bench.version = { changed: START, passed: 0 };
      await publisher.update();
      const [before] = [publisher.current()];
      // As an editor does it.
      bench.change([{ jwk: makeSealingKey().jwk }], START);
      await publisher.update();
      expect(publisher.current()).to.deep.equal(before);
      const told = bench.told.length;
      expect(told).to.be.greaterThan(1);
      publisher.close();
      const restarted = bench.create();
      await restarted.update();
      expect([restarted.current(), bench.told.length]).to.deep.equal([undefined, told + 1]);
      // Nor is a date taken away without a word.
      bench.change(bench.keys);
      bench.version = { changed: START + 1, passed: START };
      await restarted.update();
      bench.version = { changed: START + 1, passed: START - 1 };
      await restarted.update();
      expect(restarted.current()?.version).to.deep.equal({ changed: START + 1, passed: START });
      bench.change(bench.keys);
      await restarted.update();
      expect((await bench.verify(restarted)).keys.map(({ kid }) => kid)).to.deep.equal([bench.keys[0]?.jwk.kid]);
      expect(bench.errors).to.deep.equal([]);
      restarted.close();
    }),
  );

  it(
    'tells when the keys are older than the last set, after a restart too, but not when a clock was set back',
    withBench(async (bench) => {
      bench.version = { changed: START, passed: START };
      const first = bench.create();
      await first.update();
      bench.nowMs -= 1;
      bench.version = { changed: START, passed: 0 };
      await first.update();
      expect(bench.told).to.deep.equal([]);
      expect(first.current()?.version).to.deep.equal(bench.version);
      first.close();
      const second = bench.create();
      bench.change(bench.keys, START - 1);
      await second.update();
      expect(bench.told).to.deep.equal(['older']);
      expect((await bench.verify(second)).version).to.deep.equal({ changed: START - 1, passed: 0 });
      second.close();
    }),
  );

  it(
    'states what is sealed beside the set: an upgrade that changes it does not change the version of the set',
    withBench(async (bench) => {
      const sets: (SeenSet | undefined)[] = [];
      for (const statement of ['/p.S/M p.In p.Out\n', '/p.S/M p.In p.Other\n']) {
        const publisher = bench.create({ statement });
        await publisher.update();
        const { version, fingerprint } = await bench.verify(publisher);
        sets.push({ version, fingerprint });
        const checks = { roots: [bench.rootKid], issuer: 'payments', nowMs: bench.nowMs };
        expect(await verifyStatement(publisher.current()?.statementJws ?? '', checks)).to.equal(statement);
        publisher.close();
        bench.nowMs += 60_000;
      }
      expect(sets[1]).to.deep.equal(sets[0]);
      expect(bench.told).to.deep.equal([]);
    }),
  );

  it(
    'signs one set after the other',
    withBench(async (bench) => {
      const publisher = bench.create();
      const versions: (number | undefined)[] = [];
      for (let round = 1; round <= 5; round++) {
        bench.change([{ jwk: makeSealingKey('P-256').jwk }]);
        await Promise.all([publisher.update(), publisher.update()]);
        versions.push(publisher.current()?.version.changed);
      }
      expect(versions).to.deep.equal([1, 2, 3, 4, 5].map((step) => START + step));
      publisher.close();
    }),
  );

  it(
    'ends a set with its delegation, and takes a new delegation at the next look',
    withBench(async (bench) => {
      await bench.delegate(1);
      bench.nowMs += DAY_MS - 100_000;
      const publisher = bench.create();
      await publisher.update();
      expect((await bench.verify(publisher)).expiresAt).to.equal(START + 86_400);
      expect(publisher.current()?.maxAgeSeconds).to.equal(100);
      await bench.delegate();
      await publisher.update();
      const { expiresAt, delegation } = await bench.verify(publisher);
      expect([expiresAt, delegation.expiresAt]).to.deep.equal([START + 2 * 86_400 - 100, START + 91 * 86_400 - 100]);
      publisher.close();
    }),
  );

  it(
    'without a valid delegation serves the last set until its end, then none, and tells each time',
    withBench(async (bench) => {
      const publisher = bench.create();
      await publisher.update();
      bench.withdraw();
      bench.nowMs += DAY_MS - 1000;
      await publisher.update();
      expect(publisher.current()).to.include({ maxAgeSeconds: 1 });
      bench.nowMs += 1000;
      await publisher.update();
      expect(publisher.current()).to.equal(undefined);
      expect(bench.errors.map((error) => (error as SealwireError).code)).to.deep.equal([
        'KEY_SET_DELEGATION_EXPIRED',
        'KEY_SET_DELEGATION_EXPIRED',
      ]);
      publisher.close();
    }),
  );

  it(
    'publishes keys of one curve, and tells once which it leaves out until their time',
    withBench(async (bench) => {
      const [old, next] = [makeSealingKey('P-256').jwk, makeSealingKey('P-521').jwk];
      bench.keys = [
        { jwk: old, exp: START + 100 },
        { jwk: next, nbf: START + 100 },
      ];
      const publisher = bench.create();
      await publisher.update();
      await publisher.update();
      expect((await bench.verify(publisher)).keys.map(({ kid }) => kid)).to.deep.equal([old.kid]);
      expect(bench.leftOut).to.deep.equal([[next.kid]]);
      bench.nowMs += 100_000;
      bench.keys = [{ jwk: next, nbf: START + 100 }];
      bench.version = { changed: START, passed: START + 100 };
      await publisher.update();
      expect((await bench.verify(publisher)).keys.map(({ kid }) => kid)).to.deep.equal([next.kid]);
      publisher.close();
    }),
  );

  it(
    'serves nothing that could not be kept',
    withBench(async (bench, file) => {
      const publisher = new Bench(join(file, 'under-a-file'));
      await publisher.delegate();
      await writeFile(file, 'not a folder');
      const failing = publisher.create();
      await failing.update();
      expect(failing.current()).to.equal(undefined);
      expect((publisher.errors[0] as SealwireError).code).to.match(/^KEY_FILE_/);
      failing.close();
      // A file that holds something else than a set has no version to go on from.
      const other = bench.create();
      await other.update();
      expect(other.current()?.version).to.deep.equal({ changed: START, passed: 0 });
      other.close();
    }),
  );

  it(
    'leaves out what is more than clients take, and never the key that senders use or the one that follows',
    withBench(async (bench) => {
      const others = Array.from({ length: 40 }, () => ({ jwk: makeSealingKey().jwk, nbf: START - 900 }));
      const current = { jwk: makeSealingKey().jwk, nbf: START - 800 };
      const next = { jwk: makeSealingKey().jwk, nbf: START + 3_600 };
      bench.keys = [current, ...others, next];
      const publisher = bench.create();
      await publisher.update();
      const kids = (await bench.verify(publisher)).keys.map(({ kid }) => kid);
      expect(kids).to.have.length(32);
      expect(kids).to.include.members([current.jwk.kid, next.jwk.kid]);
      expect(bench.leftOut.map((left) => left.length)).to.deep.equal([10]);
    }),
  );

  it(
    'has written everything when it is closed',
    withBench(async (bench, file) => {
      const publisher = bench.create();
      void publisher.update();
      await publisher.close();
      expect(await readFile(file, 'utf8')).to.equal(`${publisher.current()?.jws}\n`);
    }),
  );

  it('refuses options out of range', async () => {
    const bench = new Bench('/nowhere');
    for (const options of [{ lifeSeconds: 299 }, { lifeSeconds: 86_401 }, { maxAgeSeconds: 0 }, { checkMs: 99 }]) {
      await refusal(() => bench.create(options), 'OPTIONS_INVALID');
    }
  });
});
