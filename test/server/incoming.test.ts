import { expect } from 'chai';
import { CallBytes, HeldBytes } from '../../src/server/held-bytes.js';
import { IncomingMessages, type IncomingOptions, type ReadAhead } from '../../src/server/incoming.js';
import { Deferred } from '../client/helpers.js';

/** A call of a caller that holds nothing else. */
const createCall = () => {
  const held = new CallBytes(new HeldBytes(() => 1), 'address:a');
  return { account: () => 'address:a', bytes: () => held };
};
/** Opens messages as they come. */
const atOnce = { add: (task: () => void) => task() };

/** A call that opens messages when it is told to. */
function begin(readAhead: ReadAhead = { messages: 64, bytes: 1_048_576 }, turns: IncomingOptions['turns'] = atOnce) {
  const seen = { reads: 0, delivered: [] as object[], ends: 0, failures: [] as unknown[] };
  const opening: Deferred<object>[] = [];
  const incoming = new IncomingMessages({
    ...createCall(),
    readAhead,
    turns,
    read: () => seen.reads++,
    open: () => {
      const one = new Deferred<object>();
      opening.push(one);
      return one.promise;
    },
    deliver: (message) => seen.delivered.push(message),
    end: () => seen.ends++,
    fail: (error) => seen.failures.push(error),
  });
  const settle = async (index: number) => {
    opening[index]?.resolve({ index });
    await opening[index]?.promise;
  };
  return { incoming, seen, opening, settle };
}

const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, index) => ({ index: from + index }));

describe('incoming messages', () => {
  it('wait for their turn as their caller’s, and end the call when that holds too much', () => {
    const accounts: (string | undefined)[] = [];
    const { incoming, seen } = begin(undefined, { add: (_task, account) => accounts.push(account) });
    incoming.add({}, 2 ** 26);
    expect([accounts, seen.failures]).to.deep.equal([['address:a'], []]);
    incoming.add({}, 1);
    expect(seen.failures[0]).to.include({ code: 'RECEIVE_LIMIT' });
    expect(accounts).to.have.length(1);
  });

  it('are not read before the handler asks', () => {
    const { incoming, seen } = begin();
    expect(seen.reads).to.equal(0);
    incoming.want();
    incoming.want();
    expect(seen.reads, 'grpc-js gives one message per read').to.equal(1);
  });

  it('are read ahead up to 64, and further as the handler takes them', async () => {
    const { incoming, seen, opening, settle } = begin();
    incoming.want();
    while (seen.reads > opening.length) incoming.add({}, 10);
    // The first was asked for, so it does not count as delivered until it is opened.
    expect(opening).to.have.length(64);
    await settle(0);
    expect(seen).to.deep.include({ delivered: numbers(1), reads: 65 });
    incoming.add({}, 10);
    expect(seen.reads).to.equal(65);
    incoming.want();
    await settle(1);
    expect(seen).to.deep.include({ delivered: numbers(2), reads: 66 });
  });

  it('are read ahead up to 1 MiB, and one larger message still comes when it is asked for', async () => {
    const { incoming, seen, opening, settle } = begin();
    incoming.want();
    while (seen.reads > opening.length) incoming.add({}, 300_000);
    expect(opening).to.have.length(4);
    for (const index of [0, 1, 2, 3]) {
      await settle(index);
      incoming.want();
    }
    incoming.add({}, 5_000_000);
    expect(seen.reads).to.equal(5);
    await settle(4);
    incoming.want();
    expect(seen).to.deep.include({ delivered: numbers(5), reads: 6 });
  });

  it('without read-ahead are read one by one, as the handler asks', async () => {
    const { incoming, seen, settle } = begin({ messages: 0, bytes: 0 });
    incoming.want();
    incoming.add({}, 10);
    await settle(0);
    expect(seen.reads).to.equal(1);
    incoming.want();
    expect(seen.reads).to.equal(2);
  });

  it('are delivered in order, whichever is opened first, and never unasked', async () => {
    const { incoming, seen, settle } = begin();
    for (const _ of numbers(5)) incoming.add({}, 1);
    for (const index of [4, 2, 1]) await settle(index);
    incoming.want();
    incoming.want();
    expect(seen.delivered).to.deep.equal([]);
    await settle(0);
    expect(seen.delivered).to.deep.equal(numbers(2));
    for (const _ of numbers(3)) incoming.want();
    expect(seen.delivered).to.deep.equal(numbers(3));
    await settle(3);
    expect(seen.delivered).to.deep.equal(numbers(5));
  });

  it('end once, after the last was delivered', async () => {
    const { incoming, seen, settle } = begin();
    for (const _ of numbers(2)) incoming.add({}, 1);
    incoming.halfClose();
    await settle(0);
    await settle(1);
    incoming.want();
    expect(seen).to.deep.include({ delivered: numbers(1), ends: 0 });
    incoming.want();
    incoming.want();
    expect(seen).to.deep.include({ delivered: numbers(2), ends: 1 });
  });

  it('fail once, after what came before the failure, and nothing comes after it', async () => {
    const { incoming, seen, opening, settle } = begin();
    for (const _ of numbers(4)) incoming.add({}, 1);
    const broken = new Error('broken');
    for (const index of [2, 1]) {
      opening[index]?.reject(broken);
      await opening[index]?.promise.catch(() => {});
    }
    await settle(3);
    expect(seen.failures).to.deep.equal([]);
    for (const _ of numbers(4)) incoming.want();
    await settle(0);
    const { reads } = seen;
    incoming.halfClose();
    incoming.want();
    expect(seen).to.deep.equal({ reads, delivered: numbers(1), ends: 0, failures: [broken] });
  });

  it('that are stopped are neither delivered, failed, ended nor opened any more', async () => {
    const { incoming, seen, opening, settle } = begin();
    incoming.want();
    for (const _ of numbers(2)) incoming.add({}, 1);
    const { reads } = seen;
    incoming.stop();
    await settle(0);
    opening[1]?.reject(new Error('late'));
    await opening[1]?.promise.catch(() => {});
    incoming.add({}, 1);
    incoming.halfClose();
    incoming.want();
    expect(seen).to.deep.equal({ reads, delivered: [], ends: 0, failures: [] });
    expect(opening).to.have.length(2);
  });

  it('are opened when it is their turn, and not at all when the call is stopped before', async () => {
    const tasks: (() => void)[] = [];
    const { incoming, seen, opening, settle } = begin(undefined, { add: (task) => tasks.push(task) });
    for (const _ of numbers(2)) incoming.want();
    for (const _ of numbers(2)) incoming.add({}, 1);
    expect(opening).to.have.length(0);
    tasks[0]?.();
    await settle(0);
    expect(seen.delivered).to.deep.equal(numbers(1));
    incoming.stop();
    tasks[1]?.();
    expect(opening).to.have.length(1);
  });

  it('that come while their read is asked for are not lost', () => {
    let ends = 0;
    const incoming: IncomingMessages = new IncomingMessages({
      ...createCall(),
      readAhead: { messages: 0, bytes: 0 },
      turns: atOnce,
      read: () => incoming.halfClose(),
      open: () => Promise.reject(new Error('there is no message')),
      deliver: () => {},
      end: () => ends++,
      fail: () => {},
    });
    incoming.want();
    expect(ends).to.equal(1);
  });

  it('whose listener throws end the call, and the error goes on', async () => {
    const thrown = new Error('thrown by a listener');
    const failures: unknown[] = [];
    const incoming = new IncomingMessages({
      ...createCall(),
      readAhead: { messages: 64, bytes: 1_048_576 },
      turns: atOnce,
      read: () => {},
      open: (message) => Promise.resolve(message),
      deliver: () => {
        throw thrown;
      },
      end: () => {},
      fail: (error) => failures.push(error),
    });
    incoming.add({}, 1);
    await Promise.resolve();
    expect(() => incoming.want()).to.throw(thrown.message);
    expect(failures).to.deep.equal([thrown]);
  });
});
