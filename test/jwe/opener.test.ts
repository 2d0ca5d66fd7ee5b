import { expect } from 'chai';
import { SealwireError } from '../../src/errors.js';
import { TokenOpener, type TokenOpenerOptions } from '../../src/jwe/opener.js';
import {
  expectCode,
  expectRejection,
  FIELD,
  flip,
  forge,
  IAT,
  makeEphemeral,
  makeKey,
  PLAINTEXT,
  TestKeys,
  withPart,
} from './helpers.js';

const key = makeKey();
const expected = { field: FIELD };
const CALLER = 'caller';

function setUp(options: Partial<TokenOpenerOptions> = {}, ...keys: ReturnType<typeof makeKey>[]) {
  const clock = { ms: IAT * 1_000 };
  const ring = new TestKeys(key, ...keys);
  const opener = new TokenOpener({ keys: ring, now: () => clock.ms, ...options });
  const open = (token: string, caller = CALLER) => opener.open(opener.check(token, expected), caller);
  return { clock, ring, opener, open };
}

describe('TokenOpener.check', () => {
  it('refuses a kid that is not in the ring', () => {
    expectCode('KEY_UNKNOWN', () => setUp().opener.check(forge({ key: makeKey() }), expected));
  });

  it('refuses a retired key', () => {
    const { ring, opener } = setUp();
    ring.retired.add(key.kid);
    expectCode('KEY_RETIRED', () => opener.check(forge({ key }), expected));
  });

  it('refuses an alg and an enc that are not allowed for that kid', () => {
    const narrow = { ...makeKey(), algorithms: ['ECDH-ES+A256KW'], encryptions: ['A256GCM'] } as const;
    const { opener } = setUp({}, narrow);
    opener.check(forge({ key: narrow }), expected);
    expectCode('ALGORITHM_NOT_ALLOWED', () => opener.check(forge({ key: narrow, alg: 'ECDH-ES' }), expected));
    expectCode('ALGORITHM_NOT_ALLOWED', () => opener.check(forge({ key: narrow, enc: 'A128CBC-HS256' }), expected));
    opener.check(forge({ key, alg: 'ECDH-ES', enc: 'A128CBC-HS256' }), expected);
  });

  it("refuses an epk on another curve than the key's own", () => {
    const token = forge({ key, header: { epk: makeEphemeral('P-384').jwk } });
    expectCode('CURVE_NOT_ALLOWED', () => setUp().opener.check(token, expected));
  });

  it('opens an epk with more members under interop alone, whatever they are (RFC 7518 §4.6.1.1)', async () => {
    for (const extra of [
      { kid: 'k', use: 'enc' },
      { alg: 'ECDH-ES', key_ops: [], x5t: 'x' },
    ]) {
      const ephemeral = makeEphemeral(key.crv);
      const token = forge({ key, ephemeral, header: { epk: { ...ephemeral.jwk, ...extra } } });
      const { opener } = setUp({ policy: 'interop' });
      expect(Buffer.from(await opener.open(opener.check(token, expected), CALLER))).to.deep.equal(
        Buffer.from(PLAINTEXT),
      );
      expectCode('EPK_INVALID', () => setUp().opener.check(token, expected));
    }
  });

  it('is strict unless told otherwise', () => {
    const bare = forge({ key, header: { typ: undefined, cty: undefined, fld: undefined, iat: undefined } });
    expectCode('POLICY_MISSING_HEADER', () => setUp().opener.check(bare, expected));
    setUp({ policy: 'interop' }).opener.check(bare, expected);
  });

  it('runs the checks in the order of the design', () => {
    const { ring, opener } = setUp();
    const stranger = makeKey();
    const faults = { zip: 'DEF', fld: 'other', iat: 0 };
    const worst = forge({ key: stranger, header: faults });
    const steps: readonly [string, string][] = [
      ['TOKEN_TOO_LARGE', `${worst}${'='.repeat(98_304)}`],
      ['TOKEN_PART_COUNT', `${worst}.=`],
      ['TOKEN_ENCODING', `${worst}=`],
      ['HEADER_FORBIDDEN_NAME', worst],
      ['ALGORITHM_NOT_ALLOWED', forge({ key: stranger, header: { ...faults, zip: undefined, alg: 'none' } })],
      ['KEY_UNKNOWN', forge({ key: stranger, header: { ...faults, zip: undefined } })],
      ['FIELD_MISMATCH', forge({ key, header: { ...faults, zip: undefined } })],
      ['TOKEN_STALE', forge({ key, header: { iat: 0 } })],
    ];
    for (const [code, token] of steps) expectCode(code, () => opener.check(token, expected));
    expect(ring.agreements).to.equal(0);
  });
});

describe('TokenOpener.checkMessage', () => {
  it('refuses more than 64 tokens', () => {
    const { opener } = setUp();
    const parsed = opener.check(forge({ key }), expected);
    opener.checkMessage(Array(64).fill(parsed));
    expectCode('TOO_MANY_TOKENS', () => opener.checkMessage(Array(65).fill(parsed)));
    expect(opener.tokensPerMessage).to.equal(64);
  });

  for (const [policy, cap] of [
    ['strict', 2],
    ['interop', 64],
  ] as const) {
    it(`${policy} takes ${cap} distinct epk, however many tokens, and refuses one more`, () => {
      const { opener } = setUp({ policy, limits: { tokensPerMessage: 200 } });
      const tokens = Array.from({ length: cap + 1 }, () => opener.check(forge({ key }), expected));
      opener.checkMessage([...tokens.slice(0, cap), ...tokens.slice(0, cap - 1)]);
      expectCode('TOO_MANY_AGREEMENTS', () => opener.checkMessage(tokens));
    });
  }
});

describe('TokenOpener.open', () => {
  for (const crv of ['P-521', 'P-384', 'P-256'] as const) {
    for (const alg of ['ECDH-ES+A256KW', 'ECDH-ES'] as const) {
      for (const enc of ['A256GCM', 'A128CBC-HS256', 'A256CBC-HS512'] as const) {
        it(`opens ${crv}, ${alg}, ${enc}; then refuses each part changed by one bit, always alike`, async () => {
          const own = makeKey(crv);
          const { open, opener } = setUp({}, own);
          const token = forge({ key: own, alg, enc, ephemeral: makeEphemeral(crv) });
          expect(await open(token)).to.deep.equal(PLAINTEXT);
          expect(open(token), 'cached').to.deep.equal(PLAINTEXT);
          const errors = [];
          for (const index of alg === 'ECDH-ES' ? [2, 3, 4] : [1, 2, 3, 4]) {
            const parsed = opener.check(withPart(token, index, flip), expected);
            errors.push(expectCode('DECRYPTION_FAILED', () => opener.open(parsed, CALLER)));
          }
          expect(new Set(errors.map((error) => error.message)).size).to.equal(1);
          for (const error of errors) expect(error).not.to.have.property('cause');
        });
      }
    }
  }

  it('refuses a header that was changed after sealing, though it obeys policy', async () => {
    const { open } = setUp();
    const token = forge({ key });
    const moved = withPart(token, 0, (part) => {
      const header = JSON.parse(Buffer.from(part, 'base64url').toString()) as object;
      return Buffer.from(JSON.stringify({ ...header, iat: IAT + 1 })).toString('base64url');
    });
    await open(token);
    expectCode('DECRYPTION_FAILED', () => open(moved));
  });

  it('uses a random CEK where unwrapping fails, so that it fails as a wrong tag does', async () => {
    const { open } = setUp();
    const ephemeral = makeEphemeral('P-256');
    await open(forge({ key, ephemeral }));
    const zeroCek = forge({ key, ephemeral, kek: Buffer.alloc(32) });
    const unwrap = expectCode('DECRYPTION_FAILED', () => open(zeroCek));
    const tag = expectCode('DECRYPTION_FAILED', () => open(withPart(forge({ key, ephemeral }), 4, flip)));
    expect(unwrap.message).to.equal(tag.message);
  });

  it('refuses a GCM tag cut to 4 bytes', () => {
    const cut = (part: string) => Buffer.from(part, 'base64url').subarray(0, 4).toString('base64url');
    expectCode('TOKEN_PART_LENGTH', () => setUp().open(withPart(forge({ key }), 4, cut)));
  });

  it('refuses a point that is not on the curve as it refuses a wrong tag', async () => {
    const { jwk } = makeEphemeral('P-256');
    const off = await expectRejection('DECRYPTION_FAILED', () =>
      setUp().open(forge({ key, header: { epk: { ...jwk, y: flip(jwk.y) } } })),
    );
    const tag = await expectRejection('DECRYPTION_FAILED', () => setUp().open(withPart(forge({ key }), 4, flip)));
    expect(off.message).to.equal(tag.message);
  });

  it('refuses a CBC inner message of 64 KiB and 1 byte, which shows after decryption only', async () => {
    const { open } = setUp();
    const sized = (bytes: number) => forge({ key, enc: 'A128CBC-HS256', plaintext: Buffer.alloc(bytes) });
    expect((await open(sized(65_536))).length).to.equal(65_536);
    await expectRejection('INNER_TOO_LARGE', () => open(sized(65_537)));
  });

  it('refuses an inner message that is too long for its field before an agreement is made', async () => {
    const { opener } = setUp();
    const sized = (bytes: number, enc: 'A256GCM' | 'A128CBC-HS256') =>
      forge({ key, enc, plaintext: Buffer.alloc(bytes) });
    for (const enc of ['A256GCM', 'A128CBC-HS256'] as const) {
      opener.check(sized(100, enc), { ...expected, maxBytes: 100 });
      const long = enc === 'A256GCM' ? 101 : 117;
      expectCode('INNER_TOO_LARGE', () => opener.check(sized(long, enc), { ...expected, maxBytes: 100 }));
      expectCode('INNER_TOO_LARGE', () => opener.check(sized(65_553, enc), { ...expected, maxBytes: 1e6 }));
    }
    expect(opener.stats().fresh).to.equal(0);
  });

  it('honours apu and apv', async () => {
    const header = { apu: 'QWxpY2U', apv: 'Qm9i' };
    expect(await setUp().open(forge({ key, header }))).to.deep.equal(PLAINTEXT);
  });
});

describe('agreements of a TokenOpener', () => {
  const ephemeral = makeEphemeral('P-256');
  const token = () => forge({ key, ephemeral });

  it('makes one agreement for all tokens of a session', async () => {
    const { ring, open, opener } = setUp();
    await open(token());
    for (let count = 0; count < 5; count++) expect(open(token())).to.deep.equal(PLAINTEXT);
    expect(ring.agreements).to.equal(1);
    expect(opener.stats()).to.deep.equal({
      cached: 1,
      fresh: 1,
      hits: 5,
      waiting: 0,
      running: 0,
      refused: { rate: 0, account: 0, queue: 0 },
    });
  });

  it('does not take one for another: alg, enc of direct agreement, apu and apv', async () => {
    const { ring, open } = setUp();
    const variants = [
      {},
      { alg: 'ECDH-ES' },
      { alg: 'ECDH-ES', enc: 'A128CBC-HS256' },
      { header: { apu: 'QQ' } },
      { header: { apv: 'QQ' } },
    ] as const;
    for (const variant of variants) expect(await open(forge({ key, ephemeral, ...variant }))).to.deep.equal(PLAINTEXT);
    expect(ring.agreements).to.equal(variants.length);
  });

  it('shares one among concurrent misses of an account', async () => {
    const { ring, open } = setUp();
    let release = () => {};
    ring.gate = new Promise((resolve) => {
      release = resolve;
    });
    const opened = Array.from({ length: 10 }, () => open(token()));
    release();
    for (const plaintext of await Promise.all(opened)) expect(plaintext).to.deep.equal(PLAINTEXT);
    expect(ring.agreements).to.equal(1);
  });

  it('does not keep one under which no tag was verified', async () => {
    const { ring, open, opener } = setUp();
    const bad = withPart(token(), 4, flip);
    await expectRejection('DECRYPTION_FAILED', () => open(bad));
    await expectRejection('DECRYPTION_FAILED', () => open(bad));
    expect(ring.agreements).to.equal(2);
    expect(opener.stats().cached).to.equal(0);
  });

  it('keeps one that a good token shares with a bad one', async () => {
    const { ring, open } = setUp();
    const both = [open(withPart(token(), 4, flip)), open(token())] as const;
    const [bad, good] = await Promise.allSettled(both);
    expect([bad.status, good.status]).to.deep.equal(['rejected', 'fulfilled']);
    expect(open(token())).to.deep.equal(PLAINTEXT);
    expect(ring.agreements).to.equal(1);
  });

  it('forgets one 120 s after its first use, however often it was used since', async () => {
    const { clock, ring, open } = setUp();
    await open(token());
    for (let second = 0; second < 120; second += 10) {
      expect(open(token())).to.deep.equal(PLAINTEXT);
      clock.ms += 10_000;
    }
    const again = open(token());
    expect(again).to.be.instanceOf(Promise);
    await again;
    expect(ring.agreements).to.equal(2);
  });

  it('forgets those of a retired key at once', async () => {
    const other = makeKey();
    const { ring, open, opener } = setUp({}, other);
    await open(token());
    await open(forge({ key: other }));
    opener.purge(key.kid);
    expect(opener.stats().cached).to.equal(1);
    await open(token());
    expect(ring.agreements).to.equal(3);
  });

  it('does not open, nor keep, with a key that was retired while the agreement was made', async () => {
    const { ring, open, opener } = setUp();
    const pending = open(token());
    ring.retired.add(key.kid);
    opener.purge(key.kid);
    await expectRejection('KEY_RETIRED', () => pending);
    expect(opener.stats().cached).to.equal(0);
  });

  it('is bounded in total', async () => {
    const { open, opener } = setUp({ cache: { maxEntries: 8 } });
    for (let count = 0; count < 20; count++) await open(forge({ key }), `caller ${count}`);
    expect(opener.stats().cached).to.equal(8);
  });

  it("does not let one caller push out another's", async () => {
    const { ring, open, opener } = setUp({ cache: { placesPerCaller: 4, maxEntries: 8 } });
    await open(token(), 'quiet');
    for (let count = 0; count < 20; count++) await open(forge({ key }), 'loud');
    expect(opener.stats().cached).to.equal(8);
    expect(open(token(), 'quiet')).to.deep.equal(PLAINTEXT);
    expect(ring.agreements).to.equal(21);
  });

  it('limits fresh agreements per caller to 50/s with bursts of 100; cached ones and other callers go on', async () => {
    const { clock, ring, open } = setUp();
    await open(token());
    for (let count = 1; count < 100; count++) await open(forge({ key }));
    await expectRejection('CALLER_RATE', () => open(forge({ key })));
    expect(ring.agreements).to.equal(100);
    const warm = forge({ key, ephemeral: makeEphemeral('P-256') });
    await open(warm, 'another caller');
    expect(open(warm)).to.deep.equal(PLAINTEXT);
    clock.ms += 20;
    await open(forge({ key }));
    await expectRejection('CALLER_RATE', () => open(forge({ key })));
  });

  it('charges rubbish four times what a good token costs, once for each agreement', async () => {
    const { open } = setUp({ rate: { burst: 10 } });
    const bad = () => withPart(forge({ key }), 4, flip);
    await expectRejection('DECRYPTION_FAILED', () => open(bad()));
    const same = bad();
    await Promise.all([1, 2, 3].map(() => expectRejection('DECRYPTION_FAILED', () => open(same))));
    await open(forge({ key }));
    await open(forge({ key }));
    await expectRejection('CALLER_RATE', () => open(forge({ key })));
  });

  it('makes a caller that sent rubbish wait for longer than one that was good', async () => {
    const { clock, open } = setUp({ rate: { burst: 3 } });
    await expectRejection('DECRYPTION_FAILED', () => open(withPart(forge({ key }), 4, flip)));
    clock.ms += 30;
    await expectRejection('CALLER_RATE', () => open(forge({ key })));
    clock.ms += 20;
    expect(await open(forge({ key }))).to.deep.equal(PLAINTEXT);
  });

  it('bounds what waits for a custody, whoever calls, and recovers', async () => {
    const { ring, open } = setUp({ maxPendingAgreements: 3, rate: { burst: 4 } });
    ring.custody.concurrency = 1;
    let release = () => {};
    ring.gate = new Promise((resolve) => {
      release = resolve;
    });
    const tokens = Array.from({ length: 3 }, () => forge({ key }));
    const pending = tokens.map((pendingToken, index) => open(pendingToken, `caller ${index}`));
    // More than its burst: what is refused costs a caller nothing.
    for (let count = 0; count < 5; count++) await expectRejection('POOL_FULL', () => open(token(), 'late'));
    // What waits for an agreement in the making needs none of its own.
    const shared = open(tokens[0] as string, 'caller 0');
    release();
    for (const plaintext of await Promise.all([...pending, shared])) expect(plaintext).to.deep.equal(PLAINTEXT);
    expect(ring.agreements).to.equal(3);
    expect(await open(token(), 'late')).to.deep.equal(PLAINTEXT);
  });

  it('does not count agreements that failed as waiting', async () => {
    const { ring, open } = setUp({ maxPendingAgreements: 1 });
    ring.gate = Promise.reject(new Error('the HSM is gone'));
    for (let count = 0; count < 3; count++) await expectRejection('CUSTODY_FAILED', () => open(forge({ key })));
    ring.gate = Promise.resolve();
    expect(await open(token())).to.deep.equal(PLAINTEXT);
  });

  it('lets 1,024 agreements wait unless told otherwise', async () => {
    const { ring, open, opener } = setUp({ rate: { burst: 2_000 } });
    let release = () => {};
    ring.gate = new Promise((resolve) => {
      release = resolve;
    });
    const parsed = opener.check(token(), expected);
    // As many agreements as there are values of apu, without making as many keys.
    const openNth = (n: number) => {
      const apu = Buffer.from([n >> 8, n & 255]);
      return opener.open({ ...parsed, header: { ...parsed.header, apu } }, `caller ${n % 10}`);
    };
    const pending = Array.from({ length: 1_024 }, (_, n) => openNth(n));
    await expectRejection('POOL_FULL', () => openNth(1_024));
    release();
    await Promise.allSettled(pending);
    expect(ring.agreements).to.equal(1_024);
    expect(await open(token())).to.deep.equal(PLAINTEXT);
  });

  it('passes on that the pool is full, and recovers', async () => {
    const { ring, open } = setUp();
    ring.gate = Promise.reject(new SealwireError('POOL_FULL', 'full'));
    await expectRejection('POOL_FULL', () => open(token()));
    ring.gate = Promise.resolve();
    expect(await open(token())).to.deep.equal(PLAINTEXT);
  });
});

describe('shares of accounts in a TokenOpener', () => {
  const startAll = (waiting: (() => void)[]) => {
    for (const start of waiting.splice(0)) start();
  };
  const gated = (ring: TestKeys) => {
    const waiting: (() => void)[] = [];
    ring.custody.concurrency = 1;
    const { agree } = ring.custody;
    ring.custody.agree = async (...args) => {
      await new Promise<void>((resolve) => waiting.push(resolve));
      return agree(...args);
    };
    return waiting;
  };

  it('does not let one account wait for what another has waiting, even for the same agreement', async () => {
    const { ring, open } = setUp();
    const waiting = gated(ring);
    const flood = Array.from({ length: 20 }, () => open(forge({ key }), 'flood'));
    const ephemeral = makeEphemeral('P-256');
    const copied = open(forge({ key, ephemeral }), 'flood');
    const honest = open(forge({ key, ephemeral }), 'honest');
    let isOpen = false;
    void Promise.resolve(honest).then(() => {
      isOpen = true;
    });
    for (let turn = 0; turn < 3; turn++) {
      waiting.shift()?.();
      await new Promise(setImmediate);
    }
    expect(isOpen).to.equal(true);
    ring.custody.concurrency = 100;
    const rest = Promise.allSettled([...flood, copied]);
    const pump = setInterval(() => startAll(waiting), 1);
    await rest;
    clearInterval(pump);
  });

  it('absorbs 1,000 new senders behind one proxy with a share for them, and keeps what it agreed', async () => {
    const { open, opener } = setUp({ shares: { 'proxy:shop': 10 } });
    const tokens = Array.from({ length: 1_000 }, () => forge({ key }));
    const opened = await Promise.allSettled(tokens.map((token) => Promise.resolve(open(token, 'proxy:shop'))));
    expect(opened.filter(({ status }) => status === 'rejected')).to.deep.equal([]);
    expect(opener.stats()).to.deep.include({ cached: 1_000, refused: { rate: 0, account: 0, queue: 0 } });
    for (const token of tokens) expect(open(token, 'proxy:shop')).to.deep.equal(PLAINTEXT);
  });

  it('refuses those beyond the rate of a proxy without, and counts them', async () => {
    const { open, opener } = setUp();
    const opened = await Promise.allSettled(
      Array.from({ length: 150 }, () => Promise.resolve().then(() => open(forge({ key }), 'proxy:shop'))),
    );
    expect(opened.filter(({ status }) => status === 'rejected')).to.have.lengthOf(50);
    expect(opener.stats().refused).to.deep.equal({ rate: 50, account: 0, queue: 0 });
  });

  it('lets stored tokens wait at a rate of their own, by account, and new sessions of the account go on', async () => {
    const { opener } = setUp({ rate: { burst: 1, perSecond: 10 }, now: Date.now });
    const order: string[] = [];
    const stored = (account: string, name: string, signal?: AbortSignal) => {
      const parsed = opener.check(forge({ key }), expected, 'stored');
      return Promise.resolve(opener.open(parsed, account, 'stored', undefined, signal)).then(() => order.push(name));
    };
    const call = new AbortController();
    const asked = [stored('a', 'a 1'), stored('a', 'a 2'), stored('b', 'b 1')];
    const given = expectRejection('CALLER_RATE', () => stored('a', 'a 3', call.signal));
    const fresh = forge({ key, header: { iat: Math.floor(Date.now() / 1_000) } });
    await opener.open(opener.check(fresh, expected), 'a');
    order.push('a wire');
    call.abort();
    await Promise.all([...asked, given]);
    expect(order.at(-1)).to.equal('a 2');
    expect(order.slice(0, 3).sort()).to.deep.equal(['a 1', 'a wire', 'b 1']);
  });

  it('opens new sessions within some agreements, while twelve accounts send 55 pieces of rubbish a second', async () => {
    const { clock, ring, opener, open } = setUp();
    const waiting = gated(ring);
    ring.custody.concurrency = 2;
    const parsed = opener.check(forge({ key }), expected);
    const refusals: Promise<string>[] = [];
    const waits: number[] = [];
    let failures = 0;
    let sent = 0;
    // P-521 in one thread: an agreement takes 3.5 ms of a time that is ours.
    for (let tick = 0; tick < 1_000; tick++) {
      clock.ms += 3.5;
      waiting.shift()?.();
      for (; sent < tick * 0.0035 * 12 * 55; sent++) {
        const header = { ...parsed.header, apu: Buffer.from([sent >> 8, sent & 255]) };
        const rubbish = Promise.resolve(opener.open({ ...parsed, header }, `address:10.0.0.${sent % 12}`));
        refusals.push(rubbish.then(() => 'OK').catch(({ code }: { code: string }) => code));
      }
      if (tick % 25 === 0) {
        const askedAt = clock.ms;
        const opened = Promise.resolve(open(forge({ key }), `address:192.0.2.${tick % 7}`));
        opened.then(() => waits.push(clock.ms - askedAt)).catch(() => failures++);
      }
      await new Promise(setImmediate);
    }
    const pump = setInterval(() => startAll(waiting), 1);
    const codes = new Set(await Promise.all(refusals));
    clearInterval(pump);
    expect([...codes].sort()).to.deep.equal(['CALLER_RATE', 'DECRYPTION_FAILED']);
    expect(failures).to.equal(0);
    expect(waits).to.have.lengthOf.at.least(39);
    expect(Math.max(...waits)).to.be.at.most(8 * 3.5);
  });
});

describe('options of a TokenOpener', () => {
  const bad: readonly Partial<TokenOpenerOptions>[] = [
    { limits: { tokenBytes: 1 } },
    { cache: { maxEntries: -1 } },
    { cache: { placesPerCaller: 0 } },
    { maxPendingPerCaller: 0 },
    { shares: { 'address:10.0.0.1': 0 } },
    { shares: { 'address:10.0.0.1': 1_001 } },
    { shares: { 'address:10.0.0.1': 1.5 } },
    { cache: { ttlMs: 1 } },
    { rate: { perSecond: 0 } },
    { rate: { burst: 0 } },
    { rate: { maxCallers: 0 } },
    { maxPendingAgreements: 0 },
    { maxPendingAgreements: 65_537 },
    { maxPendingAgreements: 1.5 },
  ];
  for (const options of bad) {
    it(`refuses ${JSON.stringify(options)}`, () => void expectCode('OPTIONS_INVALID', () => setUp(options)));
  }
});
