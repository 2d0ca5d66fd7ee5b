import { expect } from 'chai';
import { floodWithCopies } from '../support/copies.js';

describe('100,000 copies of one token in calls of their own, 500 at once', () => {
  it('reach the handler exactly once', async () => {
    expect(await floodWithCopies(100_000, 500)).to.deep.equal({
      outcomes: { OK: 1, SEALED_FIELD_REPLAYED: 99_999 },
      handled: 1,
    });
  });
});
