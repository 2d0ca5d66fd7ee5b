import { createSecretKey } from 'node:crypto';
import { expect } from 'chai';
import { AgreementCache, type AgreementCacheOptions, agreementId } from '../../src/jwe/agreement-cache.js';
import { CallerRate } from '../../src/jwe/caller-rate.js';
import type { TokenHeader } from '../../src/jwe/header.js';
import { expectCode } from './helpers.js';

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
    const { cache } = create({ maxPerCaller: 2 });
    cache.add('a', KEY, 'old', 'caller');
    cache.add('b', KEY, 'old', 'caller');
    cache.purge('old');
    cache.add('c', KEY, 'new', 'caller');
    cache.add('d', KEY, 'new', 'caller');
    expect(cache.size).to.equal(2);
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
    expectCode('CALLER_RATE', () => rate.take('c'));
    rate.take('a');
  });
});
