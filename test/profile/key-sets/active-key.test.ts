import { expect } from 'chai';
import { selectActive } from '../../../src/profile/key-sets/active-key.js';

const NOW = 1_800_000_000;

describe('the key that senders use', () => {
  const table: readonly [string, readonly [string, number?, number?][], string | undefined][] = [
    ['of none', [], undefined],
    ['without dates, the first', [['a'], ['b']], 'a'],
    [
      'the one that began last',
      [
        ['a', NOW - 9],
        ['b', NOW],
        ['c', NOW + 1],
      ],
      'b',
    ],
    [
      'the first of equals',
      [
        ['a', NOW - 9],
        ['b', NOW - 9],
      ],
      'a',
    ],
    [
      'not one whose time is over',
      [
        ['a', NOW - 9, NOW],
        ['b', NOW - 99],
      ],
      'b',
    ],
    [
      'one whose time has just ended, if there is no better',
      [
        ['a', NOW - 99, NOW - 59],
        ['b', NOW + 9],
      ],
      'a',
    ],
    ['none whose time ended a minute ago', [['a', NOW - 99, NOW - 60]], undefined],
    [
      'one whose time is about to begin, for clocks differ',
      [
        ['a', NOW + 60],
        ['b', NOW + 59],
      ],
      'b',
    ],
    ['none whose time begins in more than a minute', [['a', NOW + 61]], undefined],
  ];
  for (const [title, keys, kid] of table) {
    it(title, () => {
      const dated = keys.map(([name, notBefore, expires]) => ({ name, notBefore, expires }));
      expect(selectActive(dated, NOW * 1_000)?.name).to.equal(kid);
    });
  }
});
