import { expect } from 'chai';
import { SealwireError } from '../../../src/errors.js';
import { HandlerErrors } from '../../../src/host/log/handler-errors.js';

function setUp(windowMs?: number) {
  const lines: [string, object?][] = [];
  let wake = () => {};
  const error = (...line: [string, object?]) => {
    lines.push(line);
    wake();
  };
  const logger = { error, warn: error, info: error, debug: error };
  const errors = new HandlerErrors(logger, windowMs);
  const until = async (count: number) => {
    while (lines.length < count) await new Promise<void>((resolve) => (wake = resolve));
  };
  return { lines, errors, until };
}

class CardError extends Error {
  override name = 'CardError';
}

describe('HandlerErrors', () => {
  it('tells method and class name, of our own errors why, and nothing else', () => {
    const { lines, errors } = setUp();
    errors.report(new CardError('4242424242424242'), '/a/B');
    errors.report('4242424242424242', '/a/B');
    errors.report(new SealwireError('SEAL_INPUT', 'card must be a CardDetails'), '/a/B');
    expect(lines).to.deep.equal([
      ['a handler failed', { path: '/a/B', error: 'CardError' }],
      ['a handler failed', { path: '/a/B', error: 'string' }],
      ['a handler failed', { path: '/a/B', error: 'SEAL_INPUT', why: 'card must be a CardDetails' }],
    ]);
  });

  it('prints five lines per method and window, then counts, and tells the count when the window ends', async () => {
    const { lines, errors, until } = setUp(1);
    for (let count = 0; count < 12; count++) errors.report(new Error(), '/a/B');
    errors.report(new Error(), '/a/C');
    expect(lines.map(([, facts]) => (facts as { path: string }).path)).to.deep.equal([
      ...Array(5).fill('/a/B'),
      '/a/C',
    ]);
    await until(7);
    expect(lines[6]).to.deep.equal(['a handler failed more often', { path: '/a/B', times: 7 }]);
    errors.report(new Error(), '/a/B');
    expect(lines[7]?.[0]).to.equal('a handler failed');
  });

  it('tells at the end what was left out, and is quiet from then on', () => {
    const { lines, errors } = setUp();
    for (let count = 0; count < 6; count++) errors.report(new Error(), '/a/B');
    errors.end();
    errors.report(new Error(), '/a/B');
    expect(lines.slice(5)).to.deep.equal([['a handler failed more often', { path: '/a/B', times: 1 }]]);
  });
});
