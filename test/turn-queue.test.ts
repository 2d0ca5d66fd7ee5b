import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'chai';
import { TurnQueue } from '../src/turn-queue.js';

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);

describe('a turn queue', () => {
  let queue: TurnQueue;
  let done: number[];
  beforeEach(() => {
    queue = new TurnQueue();
    done = [];
  });

  const add = (index: number) => queue.add(() => done.push(index));

  it('runs the first task at once, the others in later turns, in order and at most 16 in each', async () => {
    for (const index of numbers(40)) add(index);
    expect(done).to.deep.equal([0]);
    const lengths: number[] = [];
    while (done.length < 40) {
      await nextTurn();
      lengths.push(done.length);
    }
    expect(lengths).to.deep.equal([17, 33, 40]);
    expect(done).to.deep.equal(numbers(40));
  });

  it('begins anew when nothing waits any more', async () => {
    add(0);
    await nextTurn();
    add(1);
    expect(done).to.deep.equal([0, 1]);
  });

  it('lets a task that comes while others wait come after them', async () => {
    for (const index of numbers(3)) add(index);
    queue.add(() => add(4));
    add(3);
    await nextTurn();
    await nextTurn();
    expect(done).to.deep.equal(numbers(5));
  });

  it('serves accounts one after the other, however much one of them has waiting', async () => {
    const order: string[] = [];
    queue.add(() => {});
    for (const index of numbers(40)) queue.add(() => order.push(`a${index}`), 'a');
    for (const index of numbers(2)) queue.add(() => order.push(`b${index}`), 'b');
    queue.add(() => order.push('c0'), 'c');
    await nextTurn();
    expect(order.slice(0, 7)).to.deep.equal(['a0', 'b0', 'c0', 'a1', 'b1', 'a2', 'a3']);
    queue.flush();
    expect(order).to.have.length(43);
  });

  it('runs all that waits when it is flushed', () => {
    for (const index of numbers(40)) add(index);
    queue.flush();
    expect(done).to.deep.equal(numbers(40));
  });

  it('gives the tasks after one that throws their turn all the same', async () => {
    add(0);
    queue.add(() => {
      throw new Error('a task');
    });
    for (const index of [1, 2]) add(index);
    expect(() => queue.flush()).to.throw('a task');
    await nextTurn();
    expect(done).to.deep.equal([0, 1, 2]);
  });

  it('throws what the first task throws to its caller, and goes on', async () => {
    const broken = () => {
      throw new Error('the first task');
    };
    expect(() => queue.add(broken)).to.throw('the first task');
    add(0);
    await nextTurn();
    expect(done).to.deep.equal([0]);
  });

  it('runs each task in the async context in which it was added', async () => {
    const caller = new AsyncLocalStorage<number>();
    for (const index of numbers(5)) {
      caller.run(index, () => queue.add(() => done.push(caller.getStore() ?? -1)));
    }
    await nextTurn();
    expect(done).to.deep.equal(numbers(5));
  });
});
