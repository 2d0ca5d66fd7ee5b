import { expect } from 'chai';
import { FairQueue, type FairQueueOptions, type QueueRefusal } from '../../../src/jwe/agreements/fair-queue.js';

function create(options: Partial<FairQueueOptions> = {}) {
  const queue = new FairQueue({
    concurrency: () => 1,
    maxPending: 100,
    maxPerAccount: 100,
    shareOf: () => 1,
    ...options,
  });
  const order: string[] = [];
  const refused: [string, QueueRefusal][] = [];
  /** Each piece of work ends when the next is looked for, so that the order of turns is all that shows. */
  const ask = (account: string, name = account, patient = false) =>
    queue
      .run(
        account,
        async () => {
          order.push(name);
          await Promise.resolve();
        },
        (why) => refused.push([name, why]),
        patient,
      )
      .catch((error: { code: string }) => error.code);
  /** Holds the only place until it is released. */
  const hold = () => {
    let release = () => {};
    const held = queue.run(
      'holder',
      () =>
        new Promise<void>((resolve) => {
          release = resolve;
        }),
      () => {},
    );
    return async () => {
      release();
      await held;
    };
  };
  return { queue, order, refused, ask, hold };
}

describe('FairQueue', () => {
  it('serves accounts in turns, however many of one came first', async () => {
    const { order, ask, hold } = create();
    const release = hold();
    const asked = [...'aaaaaa', ...'bb', 'c'].map((account) => ask(account));
    await release();
    await Promise.all(asked);
    expect(order.join('')).to.match(/^(?=.{0,2}b)(?=.{0,2}c)(?=.{0,5}b.{0,2}b)[abc]{9}$/);
    expect(order.join('').slice(5)).to.match(/^a+$/);
  });

  it('serves who had nothing waiting before those that have much', async () => {
    const { order, ask, hold } = create();
    const release = hold();
    const asked = [...'aaaabbbb'].map((account) => ask(account));
    let late: Promise<unknown> = Promise.resolve();
    const first = ask('z').then(() => {
      late = ask('late');
    });
    await release();
    await Promise.all([...asked, first]);
    await late;
    // Of four turns one is for the others.
    expect(order.indexOf('late') - order.indexOf('z')).to.be.within(1, 3);
  });

  it('does not let ever new accounts keep the others waiting for good', async () => {
    const { order, ask, hold } = create();
    const release = hold();
    const asked = [ask('old', 'old 1'), ask('old', 'old 2'), ask('old', 'old 3')];
    for (let n = 0; n < 30; n++) asked.push(ask(`new ${n}`));
    await release();
    await Promise.all(asked);
    expect(order.indexOf('old 3')).to.be.lessThan(16);
  });

  it("refuses what goes beyond an account's places, and nobody else", async () => {
    const { order, refused, ask, hold } = create({ maxPerAccount: 2, shareOf: (a) => (a === 'proxy' ? 2 : 1) });
    const release = hold();
    const results = ['a', 'a', 'a', 'proxy', 'proxy', 'proxy', 'proxy', 'proxy', 'b'].map((account) => ask(account));
    await release();
    expect(await Promise.all(results)).to.deep.equal([
      undefined,
      undefined,
      'POOL_FULL',
      ...[undefined, undefined, undefined, undefined, 'POOL_FULL'],
      undefined,
    ]);
    expect(order).to.have.lengthOf(7);
    expect(refused).to.deep.equal([
      ['a', 'account'],
      ['proxy', 'account'],
    ]);
  });

  it('takes the latest from the account with the most when it is full: who asks for little is not refused', async () => {
    const { order, refused, ask, hold } = create({ maxPending: 6 });
    const release = hold();
    const loud = [1, 2, 3, 4, 5].map((n) => ask('loud', `loud ${n}`));
    const quiet = [ask('quiet'), ask('other')];
    expect(await ask('loud', 'loud 6')).to.equal('POOL_FULL');
    await release();
    await Promise.all([...loud, ...quiet]);
    expect(refused).to.deep.equal([
      ['loud 5', 'queue'],
      ['loud 4', 'queue'],
      ['loud 6', 'queue'],
    ]);
    expect(order).to.include.members(['quiet', 'other', 'loud 1', 'loud 2', 'loud 3']);
  });

  it('never refuses the patient', async () => {
    const { refused, ask, hold } = create({ maxPending: 1, maxPerAccount: 1 });
    const release = hold();
    const asked = [1, 2, 3].map(() => ask('service', 'service', true));
    await release();
    expect(await Promise.all(asked)).to.deep.equal([undefined, undefined, undefined]);
    expect(refused).to.deep.equal([]);
  });

  it('makes room at the expense of others than the patient, however many they are', async () => {
    const { refused, ask, hold } = create({ maxPending: 7 });
    const release = hold();
    const impatient = ['i1', 'i2'].map((name) => ask('service', name));
    const patient = ['p1', 'p2', 'p3', 'p4'].map((name) => ask('service', name, true));
    const late = ['l1', 'l2'].map((name) => ask('late', name));
    await release();
    expect(await Promise.all(patient)).to.deep.equal(Array(4).fill(undefined));
    expect(await Promise.all(impatient)).to.deep.equal([undefined, 'POOL_FULL']);
    expect(await Promise.all(late)).to.deep.equal([undefined, 'POOL_FULL']);
    expect(refused).to.deep.equal([
      ['i2', 'queue'],
      ['l2', 'queue'],
    ]);
  });

  it('forgets accounts that have nothing waiting, and goes on after failures', async () => {
    const { queue, ask, hold } = create();
    const release = hold();
    const failing = queue
      .run(
        'f',
        () => Promise.reject(new Error('failed')),
        () => {},
      )
      .catch(() => 'failed');
    const asked = ask('a');
    expect(queue.waiting).to.equal(2);
    await release();
    expect([await failing, await asked]).to.deep.equal(['failed', undefined]);
    expect([queue.waiting, queue.running]).to.deep.equal([0, 0]);
  });

  it('uses more places as soon as there are more', async () => {
    let places = 1;
    const { order, ask, hold } = create({ concurrency: () => places });
    const release = hold();
    const first = ask('a');
    places = 3;
    await ask('b');
    await first;
    expect(order).to.deep.equal(['a', 'b']);
    await release();
  });
});
