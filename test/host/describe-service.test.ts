import { expect } from 'chai';
import { isLoopback } from '../../src/host/describe-service.js';

describe('isLoopback', () => {
  for (const listen of ['127.0.0.1:50051', '127.9.8.7:0', 'localhost:1', '[::1]:50051']) {
    it(`takes ${listen} for loopback`, () => expect(isLoopback(listen)).to.equal(true));
  }
  for (const listen of [
    '0.0.0.0:50051',
    '[::]:1',
    '10.0.0.1:1',
    '127.0.0.1.example:1',
    'localhost.example:1',
    'host:127',
  ]) {
    it(`does not take ${listen} for it`, () => expect(isLoopback(listen)).to.equal(false));
  }
});
