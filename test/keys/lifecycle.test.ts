import { expect } from 'chai';
import {
  DATE_NAMES,
  endOfOpening,
  endOfSealing,
  findDateFault,
  formatDate,
  type KeyDates,
  type KeyState,
  keyState,
  nextChange,
  opensOnWire,
  opensStored,
} from '../../src/keys/lifecycle.js';

const FULL: KeyDates = { published: 100, active: 200, opening: 300, stored: 400, retired: 500 };

describe('the life of a key', () => {
  const table: readonly [string, KeyDates, number, KeyState][] = [
    ['without dates', {}, 0, 'active'],
    ['without dates', {}, 4e9, 'active'],
    ['before it is published', FULL, 99, 'pending'],
    ['a moment before it is published', FULL, 99.999, 'pending'],
    ['from its publication on', FULL, 100, 'published'],
    ['a moment before it is active', FULL, 199.999, 'published'],
    ['from its activation on', FULL, 200, 'active'],
    ['a moment before senders stop', FULL, 299.999, 'active'],
    ['when senders stop', FULL, 300, 'opening'],
    ['a moment before the wire is closed', FULL, 399.999, 'opening'],
    ['when the wire is closed', FULL, 400, 'stored'],
    ['a moment before it is retired', FULL, 499.999, 'stored'],
    ['when it is retired', FULL, 500, 'retired'],
    ['long after', FULL, 4e9, 'retired'],
    ['without publication', { active: 200 }, 199, 'published'],
    ['without publication', { active: 200 }, 200, 'active'],
    ['without activation', { opening: 300 }, 299, 'active'],
    ['without a stored state', { opening: 300, retired: 400 }, 399, 'opening'],
    ['without a stored state', { opening: 300, retired: 400 }, 400, 'retired'],
    ['without retirement', { opening: 300, stored: 400 }, 4e9, 'stored'],
    ['with dates that fall together', { published: 7, active: 7, opening: 7, stored: 7, retired: 7 }, 7, 'retired'],
    ['withdrawn before it was published', { ...FULL, withdrawn: 50 }, 50, 'retired'],
    ['withdrawn while active', { ...FULL, withdrawn: 250 }, 250, 'retired'],
    ['withdrawn, by a clock that is behind', { ...FULL, withdrawn: 250 }, 240, 'retired'],
    ['withdrawn after its end', { ...FULL, withdrawn: 600 }, 600, 'retired'],
  ];
  for (const [title, dates, now, state] of table) {
    it(`${title}, at ${now}: ${state}`, () => expect(keyState(dates, now)).to.equal(state));
  }

  it('says which states open what', () => {
    const states: KeyState[] = ['pending', 'published', 'active', 'opening', 'stored', 'retired'];
    expect(states.filter(opensOnWire)).to.deep.equal(['published', 'active', 'opening']);
    expect(states.filter(opensStored)).to.deep.equal(['published', 'active', 'opening', 'stored']);
  });

  it('visits every date as a change, and no other moment; a withdrawn key has none to come', () => {
    const seen: number[] = [];
    for (
      let at = nextChange([FULL, { withdrawn: 250, retired: 270 }], 0);
      at !== undefined;
      at = nextChange([FULL, { withdrawn: 250, retired: 270 }], at)
    ) {
      seen.push(at);
    }
    expect(seen).to.deep.equal([100, 200, 300, 400, 500]);
    expect(nextChange([{}], 0)).to.equal(undefined);
    expect(nextChange([FULL], 199.5)).to.equal(200);
  });

  it('ends sealing and opening at the first date that says so', () => {
    expect([endOfSealing(FULL), endOfOpening(FULL)]).to.deep.equal([300, 400]);
    expect([endOfSealing({}), endOfOpening({})]).to.deep.equal([undefined, undefined]);
    expect([endOfSealing({ withdrawn: 5 }), endOfOpening({ ...FULL, withdrawn: 5 })]).to.deep.equal([5, 5]);
    expect(endOfOpening({ opening: 300, retired: 400 })).to.equal(400);
  });
});

describe('dates of one key', () => {
  const good: readonly KeyDates[] = [
    {},
    FULL,
    { active: 5 },
    { opening: 5 },
    { withdrawn: 1, opening: 5 },
    { ...FULL, withdrawn: 1 },
  ];
  for (const dates of good) {
    it(`are good: ${JSON.stringify(dates)}`, () => expect(findDateFault(dates)).to.equal(undefined));
  }

  const bad: readonly [KeyDates, string][] = [
    [{ published: 1 }, 'published without active'],
    [{ active: 1, stored: 5 }, 'stored without opening'],
    [{ active: 1, retired: 5 }, 'retired without opening'],
    [{ published: 2, active: 1 }, 'active before published'],
    [{ active: 2, opening: 1 }, 'opening before active'],
    [{ opening: 2, stored: 1 }, 'stored before opening'],
    [{ opening: 2, retired: 1 }, 'retired before opening'],
    [{ opening: 2, stored: 4, retired: 3 }, 'retired before stored'],
  ];
  for (const [dates, fault] of bad) {
    it(`are refused: ${fault}`, () => expect(findDateFault(dates)).to.equal(fault));
  }

  for (const name of DATE_NAMES) {
    for (const value of [
      1.5,
      -1,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Date.UTC(2026, 0),
      '5' as unknown as number,
      null as unknown as number,
    ]) {
      it(`are refused: ${name} ${String(value)}`, () => {
        expect(findDateFault({ [name]: value })).to.equal(
          `${name} must be whole seconds since 1970, up to the year 9999`,
        );
      });
    }
  }

  it('print as UTC', () => expect(formatDate(1_764_066_000)).to.equal('2025-11-25T10:20:00Z'));
});
