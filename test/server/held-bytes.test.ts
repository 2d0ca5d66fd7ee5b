import { expect } from 'chai';
import { SealwireError } from '../../src/errors.js';
import { CallBytes, HeldBytes } from '../../src/server/held-bytes.js';

const MOST = 67_108_864;

describe('bytes that calls hold', () => {
  const setUp = () => {
    const all = new HeldBytes((account) => (account === 'proxy:large' ? 2 : 1));
    return (account: string) => new CallBytes(all, account);
  };
  const refuses = (work: () => void) => expect(work).to.throw(SealwireError).that.includes({ code: 'RECEIVE_LIMIT' });

  it('are those of all calls of an account, for its share, and nobody else’s', () => {
    const callOf = setUp();
    callOf('address:a').take(MOST - 1);
    const second = callOf('address:a');
    refuses(() => second.take(2));
    second.take(1);
    callOf('address:b').take(MOST);
    callOf('proxy:large').take(2 * MOST);
  });

  it('are given back once, at the latest when the call ends', () => {
    const callOf = setUp();
    const [first, second] = [callOf('address:a'), callOf('address:a')];
    first.take(MOST - 1);
    second.take(1);
    first.end();
    first.give(MOST);
    refuses(() => first.take(MOST));
    first.take(MOST - 1);
  });

  it('include the request that a handler is at work on, and those that wait in its stream', () => {
    const call = setUp()('address:a');
    let waiting = 2;
    call.watch(() => waiting);
    const part = MOST / 4;
    for (let count = 0; count < 4; count++) {
      call.take(part);
      call.deliver(part);
    }
    // Three of them are still there.
    call.take(part);
    refuses(() => call.take(1));
    waiting = 1;
    call.take(part);
  });

  it('are of so many calls at most, for the share of their account', () => {
    const all = new HeldBytes((account) => (account === 'proxy:large' ? 2 : 1));
    const begin = (account: string, calls: number) => {
      for (let call = 0; call < calls; call++) all.begin(account);
    };
    begin('address:a', 4_096);
    refuses(() => all.begin('address:a'));
    begin('proxy:large', 8_192);
    all.end('address:a');
    all.begin('address:a');
    refuses(() => all.begin('address:a'));
  });
});
