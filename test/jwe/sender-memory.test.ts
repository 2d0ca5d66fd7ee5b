/** What a sender keeps in memory: for how long, and for how many recipients. */
import { execFile } from 'node:child_process';
import { diffieHellman } from 'node:crypto';
import { promisify } from 'node:util';
import { expect } from 'chai';
import type { AgreementPool, GeneratedAgreement } from '../../src/jwe/pool.js';
import { SealingSessions, type SealingSessionsOptions } from '../../src/jwe/sender.js';
import { expectCode, IAT, makeEphemeral, makeKey } from './helpers.js';

const key = makeKey();
/** All agreements in the making are made. */
const settled = () => new Promise((resolve) => setImmediate(resolve));
const parameters = { field: 'a.v1.B.c', cty: 'application/protobuf', iat: IAT } as const;

/** Time and timers that move by hand. */
class FakeTime {
  ms = 0;
  readonly #timers = new Map<object, { readonly at: number; readonly run: () => void; isRef: boolean }>();
  readonly #real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };

  install(): void {
    const setFake = (run: () => void, delay: number) => {
      const timer = { at: this.ms + delay, run, isRef: true };
      const handle = {
        unref() {
          timer.isRef = false;
          return handle;
        },
      };
      this.#timers.set(handle, timer);
      return handle;
    };
    Object.assign(globalThis, { setTimeout: setFake, clearTimeout: (handle: object) => this.#timers.delete(handle) });
  }

  restore(): void {
    Object.assign(globalThis, this.#real);
  }

  get timers() {
    return [...this.#timers.values()];
  }

  /** Moves to that time; timers run in their order. */
  moveTo(ms: number): void {
    for (;;) {
      const [due] = [...this.#timers.entries()].sort(([, a], [, b]) => a.at - b.at);
      if (due === undefined || due[1].at > ms) break;
      this.#timers.delete(due[0]);
      this.ms = due[1].at;
      due[1].run();
    }
    this.ms = ms;
  }
}

describe('SealingSessions in memory', () => {
  let time: FakeTime;
  let generated = 0;
  beforeEach(() => {
    generated = 0;
    time = new FakeTime();
    time.install();
  });
  afterEach(() => time.restore());

  /** A pool in this thread, which has no timers of its own. */
  const pool = {
    async generate(...[publicKey, crv]: Parameters<AgreementPool['generate']>): Promise<GeneratedAgreement> {
      generated++;
      const { privateKey, jwk } = makeEphemeral(crv);
      return { epk: { ...jwk, kty: 'EC', crv }, z: diffieHellman({ privateKey, publicKey }) };
    },
  };
  const create = (options: SealingSessionsOptions = {}) =>
    new SealingSessions({ pool, monotonicNow: () => time.ms, ...options });

  it('forgets an agreement when it expires, though nobody seals', async () => {
    const sessions = create({ maxAgeMs: 60_000 });
    await sessions.acquire(key);
    time.moveTo(59_999);
    expect(sessions.held).to.equal(1);
    time.moveTo(60_000);
    expect(sessions.held).to.equal(0);
    expect(time.timers, 'nothing left to wait for').to.deep.equal([]);
  });

  it('forgets the agreement prepared ahead, too, when its own time is over', async () => {
    const sessions = create({ maxAgeMs: 60_000 });
    const first = await sessions.acquire(key);
    time.moveTo(40_000);
    expect(sessions.acquire(key)).to.equal(first);
    await settled();
    expect([sessions.held, generated]).to.deep.equal([2, 2]);
    time.moveTo(60_000);
    expect(sessions.held).to.equal(1);
    time.moveTo(99_999);
    expect(sessions.held).to.equal(1);
    time.moveTo(100_000);
    expect(sessions.held).to.equal(0);
    expect(time.timers).to.deep.equal([]);
  });

  it('gives one that was prepared ahead its whole age from its first use', async () => {
    const sessions = create({ maxAgeMs: 60_000 });
    await sessions.acquire(key);
    time.moveTo(40_000);
    await sessions.acquire(key);
    await settled();
    time.moveTo(90_000);
    const second = sessions.acquire(key);
    expect(second, 'ready').not.to.be.instanceOf(Promise);
    time.moveTo(149_999);
    expect(sessions.acquire(key)).to.equal(second);
    await settled();
    time.moveTo(150_000);
    expect(sessions.acquire(key)).not.to.equal(second);
  });

  it('does not use one that expired unused, when the timer is late', async () => {
    const sessions = create({ maxAgeMs: 60_000, maxTokens: 2 });
    await sessions.acquire(key);
    sessions.acquire(key);
    await settled();
    expect(sessions.held).to.equal(2);
    // The clock goes on, no timer runs.
    time.ms = 60_000;
    expect(sessions.acquire(key)).to.be.instanceOf(Promise);
  });

  it('sets one timer however many recipients there are, and none that keeps a process alive', async () => {
    const sessions = create();
    for (let count = 0; count < 5; count++) await sessions.acquire(makeKey());
    expect(time.timers.map(({ at, isRef }) => ({ at, isRef }))).to.deep.equal([{ at: 60_000, isRef: false }]);
    await sessions.close();
    expect(time.timers).to.deep.equal([]);
  });

  it('seals on with an agreement that a message has already been given', async () => {
    const sessions = create();
    const session = await sessions.acquire(key);
    time.moveTo(60_000);
    expect(session.seal(Buffer.alloc(1), parameters)).to.be.a('string');
  });

  it('keeps maxRecipients keys, and forgets the one used least recently', async () => {
    const sessions = create({ maxRecipients: 2 });
    const [a, b, c] = [makeKey(), makeKey(), makeKey()];
    const first = await sessions.acquire(a);
    await sessions.acquire(b);
    await sessions.acquire(a);
    await sessions.acquire(c);
    expect(sessions.held).to.equal(2);
    expect(sessions.acquire(a)).to.equal(first);
    expect(sessions.acquire(b)).to.be.instanceOf(Promise);
  });

  it('keeps 1,024 unless told otherwise', async () => {
    const sessions = create();
    for (let count = 0; count < 1_030; count++) await sessions.acquire({ ...key, kid: `kid ${count}` });
    expect(sessions.held).to.equal(1_024);
  });

  it('serves recipients that push each other out while they wait, with one agreement each', async () => {
    const sessions = create({ maxRecipients: 1 });
    const keys = Array.from({ length: 5 }, () => makeKey());
    const acquired = await Promise.all(keys.map((each) => sessions.acquire(each)));
    expect(acquired.map(({ kid }) => kid)).to.deep.equal(keys.map(({ kid }) => kid));
    expect(generated).to.equal(5);
    expect(sessions.held).to.equal(1);
  });

  it('tells those who wait that the sessions were closed', async () => {
    const sessions = create();
    const waiting = Promise.resolve(sessions.acquire(key));
    await sessions.close();
    const [outcome] = await Promise.allSettled([waiting]);
    expectCode('CLOSED', () => {
      if (outcome.status === 'rejected') throw outcome.reason;
    });
    expect(sessions.held).to.equal(0);
    expect(time.timers).to.deep.equal([]);
  });

  for (const maxRecipients of [0, 1.5, 65_537]) {
    it(`refuses maxRecipients ${maxRecipients}`, () =>
      void expectCode('OPTIONS_INVALID', () => create({ maxRecipients })));
  }

  it('lets a process end that has sealed', async () => {
    const program = `
      import { KeyRing, SealingSessions } from 'sealwire';
      const keys = await KeyRing.create('P-256');
      const sessions = new SealingSessions({ maxAgeMs: 86_400_000 });
      await sessions.acquire(keys.current());
      process.stdout.write(String(sessions.held));`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]);
    expect(stdout).to.equal('1');
  });
});
