import { expect } from 'chai';
import { sizeOf } from '../../../src/server/receive/message-size.js';

const MIB = 1_048_576;

describe('sizeOf', () => {
  const cases: readonly (readonly [string, object, number, number])[] = [
    ['texts', { token: 'x'.repeat(MIB) }, MIB, MIB + 1_000],
    ['bytes', { photo: new Uint8Array(MIB) }, MIB, MIB + 1_000],
    ['bytes as a Buffer', { photo: Buffer.alloc(MIB) }, MIB, MIB + 1_000],
    ['many numbers', { scores: Array(MIB / 8).fill(1) }, MIB, MIB + 1_000],
    ['what nests', { items: [{ token: 'x'.repeat(1_000) }, { token: 'y'.repeat(1_000) }] }, 2_000, 4_000],
    ['nothing', {}, 1, 1_000],
  ];
  for (const [name, message, least, most] of cases) {
    it(`counts ${name}`, () => expect(sizeOf(message)).to.be.within(least, most));
  }
});
