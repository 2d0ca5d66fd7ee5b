import { createSecretKey } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { expect } from 'chai';
import {
  AgreementCache,
  type AgreementCacheOptions,
  agreementId,
} from '../../../src/jwe/agreements/agreement-cache.js';
import { CallerRate } from '../../../src/jwe/agreements/caller-rate.js';
import type { TokenHeader } from '../../../src/jwe/header.js';
import { expectCode, expectRejection } from '../helpers.js';

const KEY = createSecretKey(Buffer.alloc(32));

function create(options: AgreementCacheOptions = {}) {
  const clock = { ms: 0 };
  return { clock, cache: new AgreementCache({ now: () => clock.ms, ...options }) };
}

describe('AgreementCache', () => {
  it('drops the least recently used one when full', () => {
    const { cache } = create({ maxEntries: 2 });
    cache.add('a', KEY, 'kid', '1');
    cache.add('b', KEY, 'kid', '2');
    cache.get('a');
    cache.add('c', KEY, 'kid', '3');
    expect([cache.get('a'), cache.get('b'), cache.get('c')]).to.deep.equal([KEY, undefined, KEY]);
  });

  it('gives room back to a caller whose entries went', () => {
    const { cache } = create({ placesPerCaller: 2, maxEntries: 2 });
    cache.add('a', KEY, 'old', 'caller');
    cache.add('b', KEY, 'old', 'caller');
    cache.purge('old');
    cache.add('c', KEY, 'new', 'caller');
    cache.add('d', KEY, 'new', 'caller');
    expect(cache.size).to.equal(2);
  });

  it('gives a caller free places, and takes them back when another one needs them', () => {
    const { cache } = create({ placesPerCaller: 2, maxEntries: 8 });
    for (let n = 0; n < 20; n++) cache.add(`proxy ${n}`, KEY, 'kid', 'proxy');
    expect(cache.size).to.equal(8);
    cache.get('proxy 12');
    // Above its places by more than others: gives up, though others were used longer ago.
    for (const id of ['a', 'b', 'c']) cache.add(id, KEY, 'kid', 'one');
    cache.add('d', KEY, 'kid', 'two');
    const kept = (ids: string[]) => ids.filter((id) => cache.get(id) !== undefined);
    expect(kept(['a', 'b', 'c', 'd', 'proxy 12'])).to.deep.equal(['a', 'b', 'c', 'd', 'proxy 12']);
    expect(cache.size).to.equal(8);
  });

  it("never takes a caller's own places, however many another one asks for", () => {
    const { cache } = create({ placesPerCaller: 2, maxEntries: 4 });
    for (const id of ['a', 'b']) cache.add(id, KEY, 'kid', 'quiet');
    for (let n = 0; n < 100; n++) cache.add(`loud ${n}`, KEY, 'kid', 'loud');
    expect([cache.get('a'), cache.get('b'), cache.size]).to.deep.equal([KEY, KEY, 4]);
  });

  it('has more places for a caller with a larger share', () => {
    const shareOf = (account: string) => (account === 'proxy' ? 3 : 1);
    const { cache } = create({ placesPerCaller: 1, maxEntries: 4, shareOf });
    for (const id of ['a', 'b', 'c']) cache.add(id, KEY, 'kid', 'proxy');
    for (let n = 0; n < 10; n++) cache.add(`loud ${n}`, KEY, 'kid', 'loud');
    expect(['a', 'b', 'c'].map((id) => cache.get(id))).to.deep.equal([KEY, KEY, KEY]);
  });

  it('keeps the first time of an entry that is added again', () => {
    const { clock, cache } = create();
    cache.add('a', KEY, 'kid', 'caller');
    clock.ms = 119_999;
    cache.add('a', KEY, 'kid', 'caller');
    expect(cache.get('a')).to.equal(KEY);
    clock.ms = 120_000;
    expect(cache.get('a')).to.equal(undefined);
    expect(cache.size).to.equal(0);
  });

  it('keeps nothing with maxEntries 0', () => {
    const { cache } = create({ maxEntries: 0 });
    cache.add('a', KEY, 'kid', 'caller');
    expect([cache.get('a'), cache.size]).to.deep.equal([undefined, 0]);
    cache.purge('kid');
  });
});

describe('agreementId', () => {
  const epk = { crv: 'P-256', x: Buffer.alloc(32, 1), y: Buffer.alloc(32, 2) } as const;
  const base: TokenHeader = { alg: 'ECDH-ES+A256KW', enc: 'A256GCM', kid: 'kid', epk };

  it('differs wherever the derived key does', () => {
    const variants: Partial<TokenHeader>[] = [
      {},
      { alg: 'ECDH-ES' },
      { alg: 'ECDH-ES', enc: 'A128CBC-HS256' },
      { kid: 'other' },
      { epk: { ...epk, x: epk.y } },
      { epk: { ...epk, y: epk.x } },
      { epk: { ...epk, crv: 'P-384' } },
      { apu: Buffer.from('ab') },
      { apv: Buffer.from('ab') },
      { apu: Buffer.from('a'), apv: Buffer.from('b') },
    ];
    expect(new Set(variants.map((variant) => agreementId({ ...base, ...variant }))).size).to.equal(variants.length);
  });

  it('does not differ by what the derived key does not depend on', () => {
    const same: Partial<TokenHeader>[] = [{ enc: 'A128CBC-HS256' }, { fld: 'f' }, { iat: 1 }, { apu: Buffer.alloc(0) }];
    for (const variant of same) expect(agreementId({ ...base, ...variant })).to.equal(agreementId(base));
  });
});

describe('CallerRate', () => {
  it('fills up at perSecond and never above burst', () => {
    const clock = { ms: 0 };
    const rate = new CallerRate({ perSecond: 10, burst: 3, now: () => clock.ms });
    const takeAll = () => {
      for (let count = 0; ; count++) {
        try {
          rate.take('caller');
        } catch {
          return count;
        }
      }
    };
    expect(takeAll()).to.equal(3);
    clock.ms += 100;
    expect(takeAll()).to.equal(1);
    clock.ms += 1e9;
    expect(takeAll()).to.equal(3);
    clock.ms -= 1e9;
    expectCode('CALLER_RATE', () => rate.take('caller'));
  });

  it('remembers a bounded number of callers', () => {
    const rate = new CallerRate({ burst: 1, maxCallers: 2, now: () => 0 });
    for (const caller of ['a', 'b', 'c']) rate.take(caller);
    // All who come now share what the third had.
    for (const caller of ['c', 'd', 'a', 'b']) expectCode('CALLER_RATE', () => rate.take(caller));
  });

  it('gives nobody a full burst by forgetting it', () => {
    const clock = { ms: 0 };
    const rate = new CallerRate({ perSecond: 1, burst: 2, maxCallers: 2, now: () => clock.ms });
    for (const caller of ['a', 'a', 'b', 'b', 'c', 'c', 'd']) {
      if (caller === 'd') expectCode('CALLER_RATE', () => rate.take(caller));
      else rate.take(caller);
    }
    for (const caller of ['a', 'b', 'c']) expectCode('CALLER_RATE', () => rate.take(caller));
    clock.ms = 1_000;
    for (const caller of ['a', 'b', 'd']) rate.take(caller);
    expectCode('CALLER_RATE', () => rate.take('e'));
    clock.ms = 4_000;
    for (const caller of ['e', 'e', 'f', 'f']) rate.take(caller);
  });

  it('is a multiple for a caller with a larger share', () => {
    const clock = { ms: 0 };
    const rate = new CallerRate({
      perSecond: 10,
      burst: 2,
      now: () => clock.ms,
      shareOf: (a) => (a === 'proxy' ? 5 : 1),
    });
    for (let n = 0; n < 10; n++) rate.take('proxy');
    expectCode('CALLER_RATE', () => rate.take('proxy'));
    clock.ms = 20;
    rate.take('proxy');
    for (let n = 0; n < 2; n++) rate.take('other');
    expectCode('CALLER_RATE', () => rate.take('other'));
  });

  it('gives turns in the order they were asked for, and lets go whose call ended', async () => {
    const rate = new CallerRate({ perSecond: 100, burst: 1, now: () => 0 });
    rate.take('caller');
    const ended = new AbortController();
    const order: number[] = [];
    const turns = [0, 1, 2].map((n) =>
      rate.turn('caller', n === 1 ? ended.signal : undefined).then(
        () => order.push(n),
        (error: { code: string }) => error.code,
      ),
    );
    ended.abort();
    expect((await Promise.all(turns))[1]).to.equal('CALLER_RATE');
    expect(order).to.deep.equal([0, 2]);
    await expectRejection('CALLER_RATE', () => rate.turn('caller', AbortSignal.abort()));
  });

  it('lets a call wait for a minute at most, and the service itself for as long as it takes', async () => {
    const rate = new CallerRate({ perSecond: 1, burst: 1, now: () => 0 });
    const call = new AbortController();
    setMaxListeners(0, call.signal);
    const turns = Array.from({ length: 61 }, () => rate.turn('caller', call.signal).catch(() => 'ended'));
    await turns[0];
    await expectRejection('CALLER_RATE', () => rate.turn('caller', call.signal));
    call.abort();
    expect(new Set(await Promise.all(turns.slice(1)))).to.deep.equal(new Set(['ended']));
  });
});
