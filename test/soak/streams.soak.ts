import { expect } from 'chai';
import { runLongStream } from '../support/long-stream.js';

describe('a stream of 100,000 sealed messages in each direction', () => {
  it('comes in order, and memory stays flat', async () => {
    const { growth, ...rest } = await runLongStream(100_000);
    expect(rest).to.deep.equal({ received: 100_000, inOrder: true });
    expect(growth).to.be.below(6 * 2 ** 20);
  });
});
