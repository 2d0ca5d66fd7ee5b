import { expect } from 'chai';
import { parseHeader } from '../../src/jwe/header.js';
import { TokenOpener } from '../../src/jwe/opener.js';
import { AgreementPool } from '../../src/jwe/pool.js';
import { SealingSessions } from '../../src/jwe/sender.js';
import { parseToken } from '../../src/jwe/token.js';
import { resolveLimits } from '../../src/profile/limits.js';
import {
  expectCode,
  expectRejection,
  FIELD,
  flip,
  forge,
  IAT,
  makeEphemeral,
  makeKey,
  TestKeys,
  withPart,
} from './helpers.js';

const key = makeKey();
const expected = { field: FIELD };
const now = () => IAT * 1_000;

describe('order of checks across the header', () => {
  const limits = resolveLimits();

  it('the inner size (check 1) before parts and header', () => {
    const bad = forge({ key, plaintext: Buffer.alloc(65_537), header: { zip: 'DEF' } });
    expectCode('INNER_TOO_LARGE', () => parseToken(bad, limits));
    expectCode('INNER_TOO_LARGE', () =>
      parseToken(
        withPart(bad, 4, (part) => `${part}=`),
        limits,
      ),
    );
  });

  it('the header size (check 1) before the number of parts', () => {
    expectCode('HEADER_TOO_LARGE', () => parseToken(`${'A'.repeat(3_000)}.a.b`, limits));
  });

  it('lengths no algorithm has (check 2) before the header', () => {
    const bad = forge({ key, header: { zip: 'DEF' } });
    expectCode('TOKEN_PART_LENGTH', () =>
      parseToken(
        withPart(bad, 2, () => 'AAAA'),
        limits,
      ),
    );
    expectCode('TOKEN_PART_LENGTH', () =>
      parseToken(
        withPart(bad, 4, () => 'AAAA'),
        limits,
      ),
    );
    expectCode('TOKEN_PART_LENGTH', () =>
      parseToken(
        withPart(bad, 1, () => 'AAAA'),
        limits,
      ),
    );
  });
});

it('a kid with stray bits is not a thumbprint', () => {
  const kid = `${'A'.repeat(42)}B`;
  const header = { alg: 'ECDH-ES', enc: 'A256GCM', kid, epk: makeEphemeral('P-256').jwk };
  expectCode('HEADER_VALUE', () => parseHeader(Buffer.from(JSON.stringify(header)).toString('base64url')));
});

describe('failures of a TokenOpener', () => {
  it('that nobody waits for do not end the process', async () => {
    const unhandled: unknown[] = [];
    const listeners = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection');
    process.on('unhandledRejection', (reason) => unhandled.push(reason));
    try {
      const opener = new TokenOpener({ keys: new TestKeys(key), now });
      // A message of two tokens: the second, of a cached agreement, throws while the first is still at work.
      void opener.open(opener.check(withPart(forge({ key }), 4, flip), expected), 'caller');
      await new Promise((resolve) => setImmediate(resolve));
      await new Promise((resolve) => setImmediate(resolve));
    } finally {
      process.removeAllListeners('unhandledRejection');
      for (const listener of listeners) process.on('unhandledRejection', listener);
    }
    expect(unhandled).to.deep.equal([]);
  });

  it('of the custody are CUSTODY_FAILED, whatever it throws', async () => {
    const keys = { find: () => key, custody: { agree: () => Promise.reject(new Error('PKCS#11 0x05')) } };
    const opener = new TokenOpener({ keys, now });
    const open = () => opener.open(opener.check(forge({ key }), expected), 'caller');
    expect((await expectRejection('CUSTODY_FAILED', open)).message).not.to.include('PKCS');
  });

  it('of a custody that throws at once are CUSTODY_FAILED too', async () => {
    const agree = () => {
      throw new TypeError('no session');
    };
    const opener = new TokenOpener({ keys: { find: () => key, custody: { agree } }, now });
    await expectRejection('CUSTODY_FAILED', () => opener.open(opener.check(forge({ key }), expected), 'caller'));
  });

  it('of a custody whose Z has the wrong length are CUSTODY_FAILED', async () => {
    const keys = { find: () => key, custody: { agree: () => Promise.resolve(Buffer.alloc(31)) } };
    const opener = new TokenOpener({ keys, now });
    await expectRejection('CUSTODY_FAILED', () => opener.open(opener.check(forge({ key }), expected), 'caller'));
  });
});

it('120 s count from the first use, not from the end of the agreement', async () => {
  let ms = now();
  const ring = new TestKeys(key);
  const opener = new TokenOpener({ keys: ring, now: () => ms });
  const ephemeral = makeEphemeral('P-256');
  const open = () => opener.open(opener.check(forge({ key, ephemeral }), expected), 'caller');
  const first = open();
  ms += 5_000;
  await first;
  ms += 115_000;
  await open();
  expect(ring.agreements).to.equal(2);
});

it('a caller at its cap loses the agreement it used least recently', async () => {
  const ring = new TestKeys(key);
  const opener = new TokenOpener({ keys: ring, now, cache: { placesPerCaller: 2 } });
  const [a, b, c] = [makeEphemeral('P-256'), makeEphemeral('P-256'), makeEphemeral('P-256')];
  const open = (ephemeral: typeof a) => opener.open(opener.check(forge({ key, ephemeral }), expected), 'caller');
  for (const ephemeral of [a, b, a, c]) await open(ephemeral);
  expect(open(a)).to.be.instanceOf(Buffer);
  expect(ring.agreements).to.equal(3);
});

describe('SealingSessions under concurrency', () => {
  const pool = new AgreementPool();
  after(() => pool.close());

  it('messages that wait together do not seal more than maxTokens with one agreement', async () => {
    const sessions = new SealingSessions({ pool, maxTokens: 10 });
    const acquired = await Promise.all(Array.from({ length: 45 }, () => sessions.acquire(key)));
    const uses = new Map<unknown, number>();
    for (const session of acquired) uses.set(session, (uses.get(session) ?? 0) + 1);
    expect(Math.max(...uses.values())).to.be.at.most(10);
  });
});
