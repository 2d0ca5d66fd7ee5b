/** The key directory of a page, over Connect: what it gives out, for how long, and what no answer makes it do. */
import { Code, ConnectError, createRouterTransport } from '@connectrpc/connect';
import { expect } from 'chai';
import { SealwireError } from '../../../src/errors.js';
import { KeyService } from '../../../src/gen/sealwire/v1/keys_pb.js';
import { noMemory } from '../../../src/profile/key-sets/cache-settings.js';
import {
  type KeySetMemory,
  type RememberedSet,
  WebKeyDirectory,
  type WebKeyDirectoryOptions,
} from '../../../src/web/keys/key-directory.js';
import { refusal } from '../../keys/helpers.js';
import { keySetAttacks } from '../../support/key-set-attacks.js';
import { makeSealingKey, type SetChanges, TestIssuer } from '../../support/signed-sets.js';

const ORIGIN = 'payments';
const DAY_MS = 86_400_000;

/** A memory that outlives directories. */
class Memory implements KeySetMemory {
  readonly kept = new Map<string, RememberedSet>();
  async recall(issuer: string): Promise<RememberedSet | undefined> {
    return this.kept.get(issuer);
  }
  async remember(issuer: string, set: RememberedSet): Promise<void> {
    this.kept.set(issuer, set);
  }
}

describe('WebKeyDirectory', () => {
  const issuer = new TestIssuer(ORIGIN);
  const serviceKid = issuer.key.jwk.kid;
  const asked: string[] = [];
  const open: WebKeyDirectory[] = [];
  let answer: () => Promise<string>;
  const serve =
    (changes: SetChanges = {}) =>
    () =>
      issuer.set(changes);
  const fail = () => Promise.reject(new ConnectError('come to https://evil.example', Code.Unavailable));

  const transport = createRouterTransport(({ service }) => {
    service(KeyService, {
      async getKeySet({ recipient }) {
        asked.push(recipient);
        return { keySetJws: await answer(), maxAge: { seconds: 900n } };
      },
    });
  });

  function connect(options: Partial<WebKeyDirectoryOptions> = {}): WebKeyDirectory {
    const given = { transport, issuer: ORIGIN, roots: [issuer.root.kid], onProblem: () => {}, ...options };
    const directory = new WebKeyDirectory(given);
    open.push(directory);
    return directory;
  }

  beforeEach(() => {
    answer = serve();
    asked.length = 0;
  });
  afterEach(() => {
    for (const directory of open.splice(0)) directory.close();
  });

  it('gives the active key after one question for all who wait, and tells what it has', async () => {
    const directory = connect();
    expect(directory.describe('')).to.equal(undefined);
    const keys = await Promise.all([directory.current(''), directory.current(ORIGIN), directory.current('')]);
    expect(keys.map(({ kid }) => kid)).to.deep.equal([serviceKid, serviceKid, serviceKid]);
    expect(keys[0]).to.deep.include({ crv: 'P-521' });
    expect(asked).to.deep.equal(['']);
    const end = { version: { changed: issuer.now, passed: 0 }, expiresAt: issuer.now + 86_400 };
    expect([directory.describe(''), directory.describe('fraud')]).to.deep.equal([end, undefined]);
  });

  it('asks for the set of another recipient by its name', async () => {
    const fraud = new TestIssuer('fraud', Date.now(), issuer);
    answer = () => fraud.set();
    const directory = connect();
    expect(await directory.current('fraud')).to.include({ kid: fraud.key.jwk.kid });
    expect(asked).to.deep.equal(['fraud']);
    await refusal(() => directory.current(''), 'KEY_SET_ISSUER');
  });

  it('follows dates without a question, and asks anew when it is told to, at most once a second', async () => {
    let nowMs = issuer.now * 1000;
    let monotonicMs = 0;
    const next = makeSealingKey().jwk;
    const keys = [
      { ...issuer.key.jwk, exp: issuer.now + 60 },
      { ...next, nbf: issuer.now + 60 },
    ];
    answer = serve({ claims: { keys } });
    const directory = connect({ now: () => nowMs, monotonicNow: () => monotonicMs });
    expect(await directory.current('')).to.include({ kid: serviceKid });
    nowMs += 61_000;
    expect(await directory.current('')).to.include({ kid: next.kid });
    expect(asked.length).to.equal(1);
    const last = makeSealingKey().jwk;
    answer = serve({ claims: { keys: [last], ver: [issuer.now + 1, 0] } });
    await Promise.all([directory.refresh(''), directory.refresh('')]);
    expect(await directory.current('')).to.include({ kid: last.kid });
    await directory.refresh('');
    expect(asked.length).to.equal(2);
    monotonicMs += 1_000;
    await directory.refresh('');
    expect(asked.length).to.equal(3);
  });

  describe('is not moved by a', () => {
    const attacks = keySetAttacks({ insider: issuer, mallory: new TestIssuer(ORIGIN), serviceKid });
    for (const [name, [nodeCode, forge]] of Object.entries(attacks)) {
      // Nothing but the set's own limit stops a long answer here.
      const code = nodeCode === 'KEY_SET_UNAVAILABLE' ? 'KEY_SET_TOO_LARGE' : nodeCode;
      it(`${name}: ${code}`, async () => {
        const directory = connect();
        await directory.current('');
        answer = async () => forge(await issuer.set());
        const without = connect();
        await refusal(() => without.current(''), code);
        // An empty set is the service's own to sign.
        if (code === 'KEY_SET_NO_ACTIVE_KEY') return;
        await refusal(() => directory.refresh(''), code);
        expect(await directory.current('')).to.include({ kid: serviceKid });
      });
    }
  });

  it('ignores an older set while it has one, after a reload too, and fails after the newer one has ended', async () => {
    const memory = new Memory();
    const old = makeSealingKey().jwk;
    await connect({ memory }).current('');
    answer = serve({ claims: { ver: [1, 0], keys: [old] } });
    const reloaded = connect({ memory });
    expect(await reloaded.current('')).to.include({ kid: serviceKid });
    await refusal(() => reloaded.refresh(''), 'KEY_SET_ROLLED_BACK');
    expect(await reloaded.current('')).to.include({ kid: serviceKid });
    const later = issuer.now + 90_000;
    answer = serve({ claims: { iat: later, exp: later + 60, ver: [1, 0], keys: [old] } });
    const afterwards = connect({ memory, now: () => later * 1000 });
    await refusal(() => afterwards.current(''), 'KEY_SET_ROLLED_BACK');
  });

  it('outlives an outage until the end of its set, after a reload too, and then gives no key', async () => {
    const memory = new Memory();
    await connect({ memory }).current('');
    answer = fail;
    let nowMs = issuer.now * 1000;
    const directory = connect({ memory, now: () => nowMs });
    expect(await directory.current('')).to.include({ kid: serviceKid });
    nowMs += DAY_MS - 1;
    expect(await directory.current('')).to.include({ kid: serviceKid });
    nowMs++;
    const error = await refusal(() => directory.current(''), 'KEY_SET_UNAVAILABLE');
    expect(error.message).to.include('the key service answered Unavailable').and.not.include('evil');
  });

  it('does not wait for an answer for ever', async () => {
    answer = () => new Promise(() => {});
    const error = await refusal(() => connect({ deadlineMs: 100 }).current(''), 'KEY_SET_UNAVAILABLE');
    expect(error.message).to.include('the key service answered DeadlineExceeded');
  });

  it('does not take a memory that cannot be read for an empty one', async () => {
    const recall = () => Promise.reject(new SealwireError('KEY_MEMORY_FAILED', 'x'));
    await refusal(() => connect({ memory: { ...noMemory, recall } }).current(''), 'KEY_MEMORY_FAILED');
    expect(asked).to.deep.equal([]);
  });

  it('warns on the console, once per code, where nobody listens', async () => {
    const warned: unknown[] = [];
    const { warn } = console;
    console.warn = (text: unknown) => warned.push(text);
    try {
      answer = serve({ claims: { iss: 'mallory' } });
      const quiet = { transport, issuer: ORIGIN, roots: [issuer.root.kid] };
      const directory = new WebKeyDirectory(quiet);
      open.push(directory);
      for (const recipient of ['', 'fraud']) await refusal(() => directory.current(recipient), 'KEY_SET_ISSUER');
    } finally {
      console.warn = warn;
    }
    expect(warned).to.deep.equal(["key set of 'payments': KEY_SET_ISSUER: the set is of 'mallory', not of 'payments'"]);
  });

  it('gives nothing after it was closed', async () => {
    const directory = connect();
    await directory.current('');
    directory.close();
    await refusal(() => directory.current(''), 'CLOSED');
    await refusal(() => directory.refresh(''), 'CLOSED');
  });

  it('refuses options that cannot be meant', () => {
    const root = issuer.root.kid;
    const bad: Partial<WebKeyDirectoryOptions>[] = [
      { issuer: '' },
      { roots: [] },
      { roots: [root, root, root, root, root] },
      { roots: [`${root}A`] },
      { roots: [`${root.slice(0, -1)}+`] },
      { deadlineMs: 99 },
      { minAgeMs: 1 },
      { maxAgeMs: 10 ** 9 },
      { retryMs: 1 },
      { maxRetryMs: 1 },
    ];
    for (const options of bad) {
      expect(() => connect(options), JSON.stringify(options))
        .to.throw(SealwireError)
        .with.property('code', 'OPTIONS_INVALID');
    }
  });
});
