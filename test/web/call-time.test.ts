import { Code } from '@connectrpc/connect';
import { expect } from 'chai';
import { CallTime } from '../../src/web/call-time.js';
import { failureOf } from './helpers.js';

describe('the time of a call', () => {
  it('gives the transport what is left of it, and what it was given where there is no end', () => {
    expect(new CallTime({}).timeoutMs).to.equal(undefined);
    expect([0, -1].map((timeoutMs) => new CallTime({ timeoutMs }).timeoutMs)).to.deep.equal([0, -1]);
    expect(new CallTime({ timeoutMs: 60_000 }).timeoutMs).to.be.within(50_000, 60_000);
  });

  it('never gives it a time that means any time', () => {
    const time = new CallTime({ timeoutMs: 1 });
    const until = performance.now() + 5;
    while (performance.now() < until);
    expect(() => time.timeoutMs)
      .to.throw('the operation timed out')
      .with.property('code', Code.DeadlineExceeded);
  });

  it('may be longer than a timer can be', async () => {
    for (const timeoutMs of [2 ** 40, 0]) {
      const soon = new Promise((resolve) => setImmediate(resolve, 'done'));
      expect(await new CallTime({ timeoutMs }).within(soon)).to.equal('done');
    }
    const late = await failureOf(new CallTime({}).within(new Promise(() => {}), 5));
    expect(late.code).to.equal(Code.DeadlineExceeded);
  });
});
