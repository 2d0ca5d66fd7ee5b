import { inspect } from 'node:util';
import { expect } from 'chai';
import { SealwireError } from '../../src/errors.js';
import { isOpened, markHolder, markOpened, recordToken, tokenOf } from '../../src/schema/opened.js';

const card = { number: '4111111111111111', nested: { holder: 'Zoë' } };
const text = '[opened payments.v1.CardDetails]';

describe('opened messages', () => {
  const opened = markOpened('payments.v1.CardDetails', { ...card });

  it('print as their type name wherever they stand', () => {
    expect(inspect(opened)).to.equal(text);
    expect(inspect({ a: [opened] }, { depth: 9, showHidden: true })).to.equal(`{ a: [ ${text}, [length]: 1 ] }`);
    expect(JSON.stringify({ card: opened })).to.equal(`{"card":"${text}"}`);
    expect(`${opened}`).to.equal(text);
    expect(new Error(String(opened)).message).to.equal(text);
  });

  it('give their values when a property is read, and compare by value', () => {
    expect(opened.number).to.equal(card.number);
    expect(Object.keys(opened)).to.deep.equal(['number', 'nested']);
    expect(opened).to.deep.equal(card);
  });

  it('are recognised, as are their holders; copies are not', () => {
    const holder = { card: opened };
    markHolder(holder);
    expect([opened, holder].map(isOpened)).to.deep.equal([true, true]);
    expect([{ ...opened }, structuredClone(card), 'x', null, undefined].map(isOpened)).to.deep.equal(
      Array(5).fill(false),
    );
  });

  it('may have a field called toString, and still print redacted', () => {
    const odd = markOpened('t.Odd', { toString: 'secret', valueOf: 'secret', constructor: 'secret' } as object);
    expect(odd).to.have.own.property('toString', 'secret');
    expect([inspect(odd), JSON.stringify(odd)]).to.deep.equal(['[opened t.Odd]', '"[opened t.Odd]"']);
    expect(() => String(odd))
      .to.throw(TypeError)
      .with.property('message')
      .that.does.not.contain('secret');
  });

  it('keep what their prototype gives, each type its own text', () => {
    const old = Object.assign(Object.create({ age: 7 }) as { age: number }, { name: 'secret' });
    const [first, second] = [markOpened('t.Old', old), markOpened('t.Older', old)];
    expect([first.age, Object.hasOwn(first, 'age'), first.name]).to.deep.equal([7, false, 'secret']);
    expect([inspect(first), inspect(second)]).to.deep.equal(['[opened t.Old]', '[opened t.Older]']);
  });

  it('keep their token by field and position', () => {
    const message = { card: opened, cards: [opened], byKey: { k: opened } };
    recordToken(message, 'card', undefined, 'a.b.c.d.e');
    recordToken(message, 'cards', 0, 'f.g.h.i.j');
    recordToken(message, 'byKey', 'k', 'k.l.m.n.o');
    expect(tokenOf(message, 'card')).to.equal('a.b.c.d.e');
    expect(tokenOf(message, 'cards', 0)).to.equal('f.g.h.i.j');
    expect(tokenOf(message, 'byKey', 'k')).to.equal('k.l.m.n.o');
    expect(tokenOf(message, 'cards', 1)).to.equal(undefined);
    for (const key of ['cards', 'byKey'] as const) {
      expect(() => tokenOf(message, key))
        .to.throw(SealwireError)
        .with.property('code', 'OPTIONS_INVALID');
    }
    expect(tokenOf({ ...message }, 'card')).to.equal(undefined);
    expect(inspect(message)).not.to.contain('a.b.c');
  });
});
