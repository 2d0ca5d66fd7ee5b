import { setImmediate as settled } from 'node:timers/promises';
import { expect } from 'chai';
import type { CallRecord } from '../../src/server/audit-sink.js';
import { CallBytes, HeldBytes } from '../../src/server/held-bytes.js';
import { OutgoingMessages } from '../../src/server/outgoing.js';
import { Deferred } from '../client/helpers.js';

/** A call whose records become durable, and whose wire takes messages, when told to. */
function begin(messages = 4, seal?: (message: object) => Promise<object>) {
  const seen = { sealed: [] as object[], sent: [] as object[], failures: [] as unknown[], callbacks: 0 };
  const held = new CallBytes(new HeldBytes(() => 1), 'address:a');
  const commits: Deferred<void>[] = [];
  const taken: (() => void)[] = [];
  const outgoing = new OutgoingMessages({
    writeAhead: { messages, bytes: 1_048_576 },
    bytes: () => held,
    async seal(message) {
      seen.sealed.push(message);
      return { message: (await seal?.(message)) ?? message, record: {} as CallRecord };
    },
    commit() {
      const one = new Deferred<void>();
      commits.push(one);
      return one.promise;
    },
    send(message, done) {
      seen.sent.push(message);
      taken.push(done);
    },
    fail: (error) => seen.failures.push(error),
  });
  const add = (...ids: number[]) => {
    for (const id of ids) outgoing.add({ id }, () => seen.callbacks++);
  };
  return { outgoing, seen, commits, taken, add };
}

const ids = (messages: readonly object[]) => messages.map((message) => (message as { id: number }).id);

describe('outgoing messages', () => {
  it('leave in order when their own record and those before are durable', async () => {
    const { seen, commits, add } = begin();
    add(0, 1, 2);
    await settled();
    expect(ids(seen.sealed), 'records do not wait for each other').to.deep.equal([0, 1, 2]);
    commits[2]?.resolve();
    commits[1]?.resolve();
    await settled();
    expect(seen.sent).to.deep.equal([]);
    commits[0]?.resolve();
    await settled();
    expect(ids(seen.sent)).to.deep.equal([0, 1, 2]);
  });

  it('are sealed one after the other, since replies are numbered', async () => {
    const gates = [new Deferred<object>(), new Deferred<object>()];
    const { seen, add } = begin(4, (message) => gates[(message as { id: number }).id]!.promise);
    add(0, 1);
    await settled();
    expect(ids(seen.sealed)).to.deep.equal([0]);
    gates[0]?.resolve({ id: 0 });
    await settled();
    expect(ids(seen.sealed)).to.deep.equal([0, 1]);
  });

  it('hold the handler until the wire has taken some', async () => {
    const { seen, commits, taken, add } = begin(4);
    add(0, 1, 2);
    await settled();
    expect(seen.callbacks).to.equal(3);
    add(3);
    await settled();
    for (const commit of commits) commit.resolve();
    await settled();
    expect(seen, 'sent, but not taken').to.deep.include({ callbacks: 3 });
    taken[0]?.();
    expect(seen.callbacks).to.equal(4);
  });

  it('hold the handler by their bytes too, and end the call when its caller holds too much', async () => {
    const { outgoing, seen, commits, taken } = begin(64);
    const large = { text: 'x'.repeat(2 ** 20) };
    const add = () => outgoing.add(large, () => seen.callbacks++);
    add();
    await settled();
    expect(seen.callbacks).to.equal(0);
    commits[0]?.resolve();
    await settled();
    taken[0]?.();
    expect(seen.callbacks).to.equal(1);
    for (let count = 0; count < 63; count++) add();
    expect(seen.failures).to.deep.equal([]);
    add();
    expect(seen.failures).to.have.length(1);
    expect(seen.failures[0]).to.include({ code: 'RECEIVE_LIMIT' });
  });

  it('that cannot be sealed or recorded end the call once, after those before', async () => {
    const broken = new Error('broken');
    for (const how of ['seal', 'commit'] as const) {
      const { outgoing, seen, commits, add } = begin(4, async (message) => {
        if (how === 'seal' && (message as { id: number }).id === 2) throw broken;
        return message;
      });
      add(0, 1, 2, 3);
      let worked = false;
      outgoing.afterAll(() => {
        worked = true;
      });
      await settled();
      if (how === 'commit') commits[2]?.reject(broken);
      commits[3]?.resolve();
      await settled();
      expect(seen.failures, 'those before are not sent yet').to.deep.equal([]);
      commits[0]?.resolve();
      commits[1]?.resolve();
      await settled();
      expect(ids(seen.sent)).to.deep.equal([0, 1]);
      expect(seen.failures).to.deep.equal([broken]);
      expect(worked, 'the status of the handler must not follow').to.equal(false);
      if (how === 'seal') expect(ids(seen.sealed), 'what comes after is not sealed').to.deep.equal([0, 1, 2]);
    }
  });

  it('are followed by the status', async () => {
    const { outgoing, seen, commits, add } = begin();
    add(0);
    const sentBefore: number[] = [];
    outgoing.afterAll(() => sentBefore.push(seen.sent.length));
    await settled();
    expect(sentBefore).to.deep.equal([]);
    commits[0]?.resolve();
    await settled();
    expect(sentBefore).to.deep.equal([1]);
  });

  it('that are stopped are neither sealed, sent nor failed any more, and call nobody back', async () => {
    const { outgoing, seen, commits, add } = begin(1);
    add(0, 1);
    await settled();
    outgoing.stop();
    add(2);
    commits[0]?.resolve();
    commits[1]?.reject(new Error('late'));
    await settled();
    expect(ids(seen.sealed)).to.deep.equal([0, 1]);
    expect(seen).to.deep.include({ sent: [], failures: [], callbacks: 0 });
  });
});
