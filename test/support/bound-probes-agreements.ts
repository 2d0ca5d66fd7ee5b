/** Probes of the bounds on agreements: their rate, their queue and their cache. */
import { setMaxListeners } from 'node:events';
import { expect } from 'chai';
import { AgreementCache } from '../../src/jwe/agreements/agreement-cache.js';
import { CallerRate } from '../../src/jwe/agreements/caller-rate.js';
import { FairQueue } from '../../src/jwe/agreements/fair-queue.js';
import { TokenOpener } from '../../src/jwe/opener.js';
import type { TokenOrigin } from '../../src/jwe/recipient.js';
import { NO_CALL } from '../../src/server/records.js';
import { FIELD, flip, forge, IAT, makeKey, TestKeys, withPart } from '../jwe/helpers.js';
import { createProbe, resultOf } from './bound-table.js';

const RATE = '{perSecond}/s, {burst} at once; rubbish counts {times} times';
const key = makeKey();

/** An opener as nobody configured it, but for its clock. */
function setUp(concurrency?: number) {
  const clock = { ms: IAT * 1_000 };
  const keys = new TestKeys(key);
  if (concurrency !== undefined) keys.custody.concurrency = concurrency;
  const opener = new TokenOpener({ keys, now: () => clock.ms });
  const openToken = (token: string, account: string, origin: TokenOrigin = 'wire', signal?: AbortSignal) =>
    Promise.resolve(opener.open(opener.check(token, { field: FIELD }), account, origin, undefined, signal));
  const good = (account: string, origin?: TokenOrigin) => openToken(forge({ key }), account, origin);
  const rubbish = (account: string, origin?: TokenOrigin) =>
    openToken(withPart(forge({ key }), 4, flip), account, origin);
  const parsed = opener.check(forge({ key }), { field: FIELD });
  let asked = 0;
  /** Asks for one more agreement, without another pair of keys: nothing opens with it. */
  const ask = (account: string, origin: TokenOrigin = 'wire', signal?: AbortSignal) => {
    const apu = Buffer.alloc(4);
    apu.writeUInt32BE(asked++);
    const opening = opener.open({ ...parsed, header: { ...parsed.header, apu } }, account, origin, undefined, signal);
    return Promise.resolve(opening);
  };
  /** Lets agreements wait. */
  const hold = () => {
    let release = () => {};
    keys.gate = new Promise((resolve) => {
      release = resolve;
    });
    return () => release();
  };
  const inQueue = () => opener.stats().waiting + opener.stats().running;
  return { clock, good, rubbish, ask, hold, inQueue };
}

/** Whatever can go on without time passing. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await undefined;
}

async function repeatedly(times: number, work: (turn: number) => unknown): Promise<void> {
  for (let turn = 0; turn < times; turn++) await work(turn);
}

export const agreementProbes = [
  createProbe(
    {
      resource: 'fresh agreements, calls',
      chargedTo: 'account',
      bound: RATE,
      outcome: 'LIMIT_EXCEEDED, limit: rate',
    },
    async ({ perSecond, burst, times }, { outcome }) => {
      const { clock, good, rubbish } = setUp();
      expect(await resultOf(() => rubbish('a'))).to.equal('DECRYPTION_FAILED');
      await repeatedly(burst - times, () => good('a'));
      expect(await resultOf(() => good('a'))).to.equal(outcome);
      await repeatedly(burst, () => good('another'));
      clock.ms += 1_000;
      await repeatedly(perSecond, () => good('a'));
      expect(await resultOf(() => good('a'))).to.equal(outcome);
    },
  ),
  createProbe(
    {
      resource: 'fresh agreements, stored tokens',
      chargedTo: 'account of the call that asks',
      bound: RATE,
      outcome: 'the opening waits, until its call ends; {minutes} minute at most',
    },
    async ({ perSecond, burst, times, minutes }) => {
      const { good, rubbish, ask, hold, inQueue } = setUp();
      expect(await resultOf(() => rubbish('a', 'stored'))).to.equal('DECRYPTION_FAILED');
      const release = hold();
      const call = new AbortController();
      setMaxListeners(0, call.signal);
      const most = burst - times + perSecond * 60 * minutes;
      const results = Array.from({ length: most }, () => resultOf(() => ask('a', 'stored', call.signal)));
      await settle();
      expect(inQueue()).to.equal(burst - times);
      expect(await resultOf(() => ask('a', 'stored', call.signal))).to.equal('LIMIT_EXCEEDED, limit: rate');
      call.abort();
      release();
      const refused = (await Promise.all(results)).filter((result) => result === 'LIMIT_EXCEEDED, limit: rate');
      expect(refused).to.have.lengthOf(most - (burst - times));
      // Its calls are charged apart from what they had opened.
      await repeatedly(burst, () => good('a'));
    },
  ),
  createProbe(
    {
      resource: 'fresh agreements of the service itself',
      chargedTo: 'internal',
      bound: RATE,
      outcome: 'it waits',
    },
    async ({ burst, times }) => {
      const { account } = NO_CALL;
      expect(account).to.equal('internal:');
      const { good, rubbish, hold, inQueue } = setUp();
      expect(await resultOf(() => rubbish(account, 'stored'))).to.equal('DECRYPTION_FAILED');
      const release = hold();
      const opened = Array.from({ length: burst - times + 1 }, () => good(account, 'stored'));
      await settle();
      expect(inQueue()).to.equal(burst - times);
      release();
      await Promise.all(opened);
    },
  ),
  createProbe(
    {
      resource: 'remembered rates',
      chargedTo: '–',
      bound: '{accounts} accounts',
      outcome:
        'an account that has its whole burst again is forgotten; while there is none, new accounts share one rate',
    },
    ({ accounts }) => {
      let now = 0;
      const rate = new CallerRate({ now: () => now });
      const isServed = (account: string) => {
        try {
          rate.take(account, 100);
          return true;
        } catch {
          return false;
        }
      };
      for (let one = 0; one < accounts; one++) expect(isServed(`account ${one}`)).to.equal(true);
      expect(['first newcomer', 'second newcomer'].map(isServed)).to.deep.equal([true, false]);
      expect(isServed('account 0')).to.equal(false);
      now += 60_000;
      expect(['third newcomer', 'fourth newcomer'].map(isServed)).to.deep.equal([true, true]);
    },
  ),
  createProbe(
    {
      resource: 'places in the agreement queue',
      chargedTo: 'account',
      bound: '{places}',
      outcome: 'LIMIT_EXCEEDED, limit: capacity',
    },
    async ({ places }, { outcome }) => {
      const { clock, ask, hold, inQueue } = setUp(1);
      const release = hold();
      const results: Promise<string>[] = [];
      await repeatedly(places + 1, () => {
        // The rate is another bound.
        clock.ms += 1_000;
        results.push(resultOf(() => ask('a')));
      });
      await settle();
      // One is being made.
      expect(inQueue()).to.equal(places + 1);
      expect(await resultOf(() => ask('a'))).to.equal(outcome);
      results.push(resultOf(() => ask('another')));
      await settle();
      expect(inQueue()).to.equal(places + 2);
      release();
      expect(await Promise.all(results)).to.not.include(outcome);
    },
  ),
  createProbe(
    {
      resource: 'the agreement queue',
      chargedTo: 'all',
      bound: '{places}',
      outcome: 'the account with the most waiting agreements loses its latest',
    },
    async ({ places }) => {
      const { ask, hold, inQueue } = setUp(1);
      const release = hold();
      const refused: string[] = [];
      const results: Promise<void>[] = [];
      const start = (account: string, name: string) =>
        results.push(
          resultOf(() => ask(account)).then((result) => {
            if (result === 'LIMIT_EXCEEDED, limit: capacity') refused.push(name);
          }),
        );
      for (let one = 0; one < 20; one++) start('loud', `loud ${one}`);
      for (let one = 20; one < places; one++) start(`account ${one % 100}`, `quiet ${one}`);
      await settle();
      expect([inQueue(), refused]).to.deep.equal([places, []]);
      start('newcomer', 'newcomer');
      await settle();
      expect([inQueue(), refused]).to.deep.equal([places, ['loud 19']]);
      release();
      await Promise.all(results);
    },
  ),
  createProbe(
    {
      resource: 'turns at an agreement',
      chargedTo: 'account',
      bound: '{each} each in turn; accounts with nothing waiting go first in {first} turns of {of}',
      outcome: 'the others wait',
    },
    async ({ each, first, of }) => {
      expect(each).to.equal(1);
      expect(await turnsOf([...'aaaaa', ...'bbbbb'])).to.equal('ababababab');
      // Of these all come anew; the old one has had its first turn by then.
      const newcomers = Array.from({ length: 60 }, () => 'new');
      expect(await turnsOf([...Array<string>(20).fill('old'), ...newcomers])).to.match(
        new RegExp(`^on+(?:o{${of - first}}n{${first}}){10}`),
      );
    },
  ),
  createProbe(
    {
      resource: 'cached agreements',
      chargedTo: 'account',
      bound: '{own} of its own, and free ones of {all}',
      outcome: 'if full, the account furthest above its own loses one; if none is above, the least recently used goes',
    },
    ({ own, all }) => {
      const above = fillCache(all, own, own + 1);
      above.add('newcomer', 'newcomer');
      expect([above.has('a 0'), above.has('b 0'), above.size()]).to.deep.equal([true, false, all]);
      const none = fillCache(all, own, own);
      none.add('newcomer', 'newcomer');
      expect([none.has('a 0'), none.has('b 0'), none.size()]).to.deep.equal([false, true, all]);
    },
  ),
];

/** @returns the first letters of the accounts in the order in which they are served; each `new` is one more account */
async function turnsOf(accounts: readonly string[]): Promise<string> {
  const queue = new FairQueue({ concurrency: () => 1, maxPending: 1_000, maxPerAccount: 1_000, shareOf: () => 1 });
  let turns = '';
  const never = () => {
    throw new Error('refused');
  };
  const serve = (account: string) => async () => {
    turns += account.slice(0, 1);
  };
  const held = queue.run('holder', settle, never);
  const waiting = accounts.map((account, at) =>
    queue.run(account === 'new' ? `new ${at}` : account, serve(account), never),
  );
  await Promise.all([held, ...waiting]);
  return turns;
}

/** A full cache: account a has its entries first, then b, then others with few. */
function fillCache(all: number, ofA: number, ofB: number) {
  const cache = new AgreementCache<true>();
  const add = (id: string, account: string) => cache.add(id, true, 'kid', account);
  for (let one = 0; one < ofA; one++) add(`a ${one}`, 'a');
  for (let one = 0; one < ofB; one++) add(`b ${one}`, 'b');
  for (let one = ofA + ofB; one < all; one++) add(`other ${one}`, `other ${one % 1_000}`);
  expect(cache.size).to.equal(all);
  return { add, has: (id: string) => cache.get(id) === true, size: () => cache.size };
}
