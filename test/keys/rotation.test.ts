import { expect } from 'chai';
import type { ErrorCode, SealwireError } from '../../src/errors.js';
import { type KeyDates, keyState } from '../../src/keys/lifecycle.js';
import {
  checkRingDates,
  currentKey,
  type DatedKey,
  hurryRotation,
  planRotation,
  type RotationSchedule,
  replaceAll,
  retireDates,
  TOKEN_WINDOW_SECONDS,
  withdrawDates,
} from '../../src/keys/rotation.js';
import { MAX_KEY_SET_SECONDS } from '../../src/profile/key-sets/key-set-rules.js';

const NOW = 1_800_000_000;
const HOUR = 3_600;
const DAY = 86_400;

function key(kid: string, dates: KeyDates = {}): DatedKey {
  return { kid, dates };
}

function refused(work: () => unknown, ...codes: ErrorCode[]): string {
  try {
    work();
  } catch (error) {
    expect((error as SealwireError).code).to.be.oneOf(codes.length > 0 ? codes : ['KEY_DATES_INVALID']);
    return (error as SealwireError).message;
  }
  throw new Error('nothing was refused');
}

/** The ring after a rotation. */
function rotate(keys: readonly DatedKey[], kid: string, schedule: RotationSchedule, now: number): DatedKey[] {
  const { next, previous } = planRotation(keys, schedule, now);
  return [...keys.map((old) => key(old.kid, previous.get(old.kid) ?? old.dates)), key(kid, next)];
}

describe('replaceAll', () => {
  const ring = [
    key('retired', { opening: NOW - 9 * DAY, retired: NOW - DAY }),
    key('stored', { opening: NOW - 9 * DAY, stored: NOW - 2 * DAY }),
    key('opening', { opening: NOW - DAY, stored: NOW + DAY, retired: NOW + 2 * DAY }),
    key('active', { published: NOW - 3 * DAY, active: NOW - DAY, opening: NOW + DAY, stored: NOW + 9 * DAY }),
    key('published', { published: NOW - HOUR, active: NOW + DAY }),
    key('pending', { published: NOW + HOUR, active: NOW + 2 * DAY }),
  ];
  const after = (keepStored: number | undefined) => {
    const { next, previous } = replaceAll(ring, keepStored, NOW + 0.7);
    const keys = [...ring.map(({ kid, dates }) => key(kid, previous.get(kid) ?? dates)), key('new', next)];
    checkRingDates(keys, NOW + 0.7);
    return keys;
  };
  const states = (keys: readonly DatedKey[], at = NOW) => keys.map(({ dates }) => keyState(dates, at));

  it('makes a new key active at once and refuses every other one, also by a clock that is behind', () => {
    for (const at of [NOW, NOW - HOUR, NOW + 99 * DAY]) {
      expect(states(after(undefined), at).slice(0, -1)).to.deep.equal(Array(6).fill('retired'));
    }
    expect(currentKey(after(undefined), NOW)).to.deep.equal(key('new', { published: NOW, active: NOW }));
  });

  it('keeps those that were in use for stored tokens, if asked, and none that waited', () => {
    const kept = ['retired', 'stored', 'stored', 'stored', 'retired', 'retired', 'active'];
    expect(states(after(7 * DAY))).to.deep.equal(kept);
    expect(states(after(7 * DAY), NOW + 7 * DAY)).to.deep.equal([...Array(6).fill('retired'), 'active']);
  });
});

describe('planRotation', () => {
  it('publishes 24 h ahead and opens for 7 days after, unless told otherwise', () => {
    const { next, previous } = planRotation([key('a')], {}, NOW + 0.7);
    expect(next).to.deep.equal({ published: NOW, active: NOW + DAY });
    expect([...previous]).to.deep.equal([['a', { opening: NOW + DAY, stored: NOW + 8 * DAY }]]);
  });

  it('counts from the last activation with `every`', () => {
    const schedule = { every: 90 * DAY, publishAhead: DAY, openAfter: 7 * DAY, keepStored: 30 * DAY };
    const since = NOW - 10 * DAY;
    const { next, previous } = planRotation([key('a', { active: since })], schedule, NOW);
    expect(next).to.deep.equal({ published: since + 89 * DAY, active: since + 90 * DAY });
    expect(previous.get('a')).to.deep.equal({
      active: since,
      opening: since + 90 * DAY,
      stored: since + 97 * DAY,
      retired: since + 127 * DAY,
    });
    // Nobody knows since when this one is active: from now on.
    expect(planRotation([key('a')], schedule, NOW).next.active).to.equal(NOW + 90 * DAY);
  });

  it('publishes a key that is overdue as far ahead as one in time', () => {
    const overdue = key('a', { active: NOW - 100 * DAY });
    expect(planRotation([overdue], { every: 90 * DAY }, NOW).next).to.deep.equal({ published: NOW, active: NOW + DAY });
  });

  it('never leaves a moment without an active key, whatever the schedule, rotation after rotation', () => {
    let keys: DatedKey[] = [key('k0')];
    let now = NOW;
    for (let count = 1; count <= 50; count++) {
      const schedule = { publishAhead: (count % 3) * DAY, openAfter: 2 * DAY + count, keepStored: count * HOUR };
      keys = rotate(keys, `k${count}`, schedule, now);
      const activeAt = keys.at(-1)?.dates.active as number;
      for (const at of [now, Math.max(now, activeAt - 1), activeAt, activeAt + 400 * DAY]) {
        const current = currentKey(keys, at);
        expect(current?.kid).to.equal(at < activeAt ? `k${count - 1}` : `k${count}`);
      }
      // Who still seals to the last key, with a set as old as may be, is opened.
      const last = keys.at(-2)?.dates as KeyDates;
      expect(keyState(last, now + MAX_KEY_SET_SECONDS + TOKEN_WINDOW_SECONDS - 1)).to.be.oneOf(['active', 'opening']);
      now = activeAt;
    }
  });

  it('refuses a rotation while a key waits', () => {
    const keys = rotate([key('a')], 'b', {}, NOW);
    for (const now of [NOW, NOW + DAY - 1]) {
      expect(refused(() => planRotation(keys, {}, now), 'KEY_NOT_DUE')).to.equal(
        'too early: key b is waiting already and becomes active at 2027-01-16T08:00:00Z',
      );
    }
    planRotation(keys, {}, NOW + DAY);
  });

  it('refuses to open for less than a token may be on its way', () => {
    expect(refused(() => planRotation([key('a')], { publishAhead: 2 * DAY, openAfter: 359 }, NOW))).to.equal(
      'key a: refused 359 s after senders stop, but a token may be 360 s in transit',
    );
    planRotation([key('a')], { publishAhead: 2 * DAY, openAfter: 360 }, NOW);
  });

  it('refuses to open for less than an old key set may be used', () => {
    expect(refused(() => planRotation([key('a')], { publishAhead: HOUR, openAfter: 23 * HOUR + 359 }, NOW))).to.equal(
      'key a: refused 86759 s after its successor is published, but a sender may use a key set for ' +
        '86400 s and a token may be 360 s in transit: 86760 s are needed',
    );
    planRotation([key('a')], { publishAhead: HOUR, openAfter: 23 * HOUR + 360 }, NOW);
  });

  it('leaves keys alone that have had their time, and those with an earlier end', () => {
    const ending = { opening: NOW + HOUR, stored: NOW + 3 * DAY };
    const keys = [key('old', { opening: NOW - 5, stored: NOW + DAY + 400 }), key('ending', ending), key('a')];
    expect([...planRotation(keys, {}, NOW).previous.keys()]).to.deep.equal(['a']);
  });
});

describe('hurryRotation', () => {
  it('makes the key that waits active now, and opens with the old one for long enough', () => {
    const keys = rotate([key('a')], 'b', { every: 90 * DAY }, NOW);
    const { next, previous } = hurryRotation(keys, 'b', {}, NOW + 9);
    expect(next).to.deep.equal({ published: NOW + 9, active: NOW + 9 });
    expect(previous.get('a')).to.deep.equal({ opening: NOW + 9, stored: NOW + 9 + 7 * DAY });
  });

  it('refuses an end that comes too early for it', () => {
    const keys = rotate([key('a')], 'b', {}, NOW);
    expect(refused(() => hurryRotation(keys, 'b', { openAfter: DAY }, NOW))).to.contain('86760 s are needed');
  });
});

describe('checkRingDates', () => {
  const table: readonly [string, readonly DatedKey[], string][] = [
    ['dates out of order', [key('a', { active: 9, opening: 8 })], 'key a: opening before active'],
    ['no key', [], 'no key is active now; add one by rotating first'],
    ['nobody active now', [key('a', { active: NOW + 1 })], 'no key is active now; add one by rotating first'],
    ['a withdrawn one alone', [key('a', { withdrawn: NOW })], 'no key is active now; add one by rotating first'],
    [
      'nobody active in the end',
      [key('a', { opening: NOW + 9 })],
      'no key is active from 2027-01-15T08:00:09Z on; add one by rotating first',
    ],
    [
      'a gap',
      [key('a', { opening: NOW + 9 }), key('b', { active: NOW + 10 })],
      'no key is active from 2027-01-15T08:00:09Z on; add one by rotating first',
    ],
    [
      'a key refused at once when senders stop',
      [key('a', { opening: NOW + 9, retired: NOW + 9 }), key('b')],
      'key a: refused 0 s after senders stop, but a token may be 360 s in transit',
    ],
    [
      'a successor that nobody can know in time',
      [key('a', { opening: NOW + DAY, stored: NOW + 2 * DAY }), key('b', { published: NOW + DAY, active: NOW + DAY })],
      'key a: refused 86400 s after its successor is published, but a sender may use a key set for 86400 s ' +
        'and a token may be 360 s in transit: 86760 s are needed',
    ],
  ];
  for (const [title, keys, reason] of table) {
    it(`refuses ${title}`, () => expect(refused(() => checkRingDates(keys, NOW))).to.equal(reason));
  }

  it('does not judge what has passed', () => {
    checkRingDates(
      [key('a', { opening: NOW - 9, retired: NOW }), key('b', { published: NOW - 9, active: NOW - 9 })],
      NOW,
    );
  });

  it('lets a key be withdrawn at any time, as long as another one is active', () => {
    const successor = key('b', { published: NOW, active: NOW });
    checkRingDates([key('a', { opening: NOW, stored: NOW + 7 * DAY, withdrawn: NOW + 5 }), successor], NOW);
  });
});

describe('currentKey', () => {
  it('is the one that became active last, and the first of equals', () => {
    const keys = [key('x'), key('y'), key('late', { active: NOW }), key('later', { active: NOW + 1 })];
    expect(currentKey(keys, NOW - 1)?.kid).to.equal('x');
    expect(currentKey(keys, NOW)?.kid).to.equal('late');
    expect(currentKey(keys, NOW + 1)?.kid).to.equal('later');
    expect(currentKey([], NOW)).to.equal(undefined);
  });
});

describe('retireDates and withdrawDates', () => {
  it('retire a key that opens stored tokens only', () => {
    const dates = { opening: NOW - 3 * DAY, stored: NOW - DAY };
    expect(retireDates(key('a', dates), NOW + 0.5)).to.deep.equal({ ...dates, retired: NOW });
    expect(retireDates(key('a', { ...dates, retired: NOW + DAY }), NOW)).to.deep.equal({ ...dates, retired: NOW });
  });

  const kept: readonly [KeyDates, string][] = [
    [{}, 'key a is active: rotate first, or retire it with --force'],
    [{ active: NOW + 1 }, 'key a is published, and waits to become active: wait, or retire it with --force'],
    [
      { published: NOW + 1, active: NOW + 1 },
      'key a is pending, and waits to become active: wait, or retire it with --force',
    ],
    [
      { opening: NOW - DAY, stored: NOW + 1 },
      'key a opens calls until 2027-01-15T08:00:01Z: wait, or retire it with --force',
    ],
    [{ opening: NOW - DAY }, 'key a opens calls and has no date at which that ends: wait, or retire it with --force'],
    [{ opening: NOW - 9, retired: NOW - 1 }, 'key a is retired already'],
  ];
  for (const [dates, reason] of kept) {
    it(`refuse: ${reason}`, () => {
      expect(refused(() => retireDates(key('a', dates), NOW), 'KEY_IN_USE')).to.equal(reason);
    });
  }

  it('withdraw whatever is not retired', () => {
    expect(withdrawDates(key('a'), NOW + 0.5)).to.deep.equal({ withdrawn: NOW });
    expect(withdrawDates(key('a', { active: NOW + 9 }), NOW)).to.deep.equal({ active: NOW + 9, withdrawn: NOW });
    refused(() => withdrawDates(key('a', { withdrawn: NOW }), NOW), 'KEY_IN_USE');
  });
});
