import { expect } from 'chai';
import { SealwireError } from '../../src/errors.js';
import type { InnerCodec, MessagePlan, SealedFieldPlan } from '../../src/schema/plan.js';
import { collectSealed, collectToSeal, hasOwnFields, recipientsOf, replaceSealed } from '../../src/schema/walk.js';

const codec: InnerCodec = {
  typeName: 't.Inner',
  encode: () => new Uint8Array(),
  decode: () => ({}),
  decodeJson: () => ({}),
};

function field(name: string, extra: Partial<SealedFieldPlan> = {}): SealedFieldPlan {
  return {
    fullName: `t.M.${name}`,
    name,
    key: name,
    shape: 'singular',
    codec,
    recipient: '',
    required: false,
    transient: false,
    bind: [],
    ...extra,
  };
}

const union = { property: 'choice', style: 'unions' } as const;
const valueUnion = { property: 'pick', style: 'unions-value' } as const;
const plan: MessagePlan = {
  typeName: 't.M',
  sealed: [
    field('one'),
    field('constructor'),
    field('list', { shape: 'repeated' }),
    field('map', { shape: 'map' }),
    field('member', { shape: 'oneof', oneof: union }),
    field('picked', { shape: 'oneof', oneof: valueUnion, recipient: 'other' }),
  ],
  nested: [
    { name: 'child', key: 'child', shape: 'singular', plan: () => plan },
    { name: 'items', key: 'items', shape: 'repeated', plan: () => plan },
    { name: 'by_key', key: 'byKey', shape: 'map', plan: () => plan },
  ],
};

const everything = {
  clear: 'c',
  one: 't1',
  list: ['t2', 't3'],
  map: { a: 't4', ['__proto__x']: 't5' },
  choice: { $case: 'member', member: 't6' },
  pick: { $case: 'picked', value: 't7' },
  child: { one: 't8', child: { one: 't9' } },
  items: [{ clear: 'x' }, { one: 't10' }],
  byKey: { 'a"b': { list: ['t11'] } },
};

const paths = [
  ['one', 't1'],
  ['list[0]', 't2'],
  ['list[1]', 't3'],
  ['map["a"]', 't4'],
  ['map["__proto__x"]', 't5'],
  ['member', 't6'],
  ['picked', 't7'],
  ['child.one', 't8'],
  ['child.child.one', 't9'],
  ['items[1].one', 't10'],
  ['by_key["a\\"b"].list[0]', 't11'],
];

/** The code that a step throws. */
function codeOf(step: () => unknown): string | undefined {
  try {
    step();
  } catch (error) {
    if (error instanceof SealwireError) return `${error.code} ${error.path ?? ''}`.trim();
  }
  return undefined;
}

describe('walking a message', () => {
  it('finds every shape at every depth, with paths in proto names', () => {
    expect(collectSealed(plan, everything).map(({ path, value }) => [path, value])).to.deep.equal(paths);
  });

  it('replaces all of them in a copy and leaves the message alone', () => {
    const before = structuredClone(everything);
    const sites = collectSealed(plan, everything);
    const values = sites.map(({ value }) => ({ opened: value }));
    const copy = replaceSealed(plan, everything, sites, values, { absent: undefined });
    expect(everything).to.deep.equal(before);
    expect(collectSealed(plan, copy).map(({ path, value }) => [path, value])).to.deep.equal(
      paths.map(([path, value]) => [path, { opened: value }]),
    );
    const { items } = copy as typeof everything;
    expect(items[0]).to.equal(everything.items[0]);
    expect(copy).to.include({ clear: 'c' });
  });

  it('keeps a Map a Map, and a key called __proto__ a key', () => {
    const message = { map: new Map([[5, 't']]), byKey: JSON.parse('{"__proto__": {"one": "t"}}') as object };
    const sites = collectSealed(plan, message);
    expect(sites.map(({ path }) => path)).to.deep.equal(['map["5"]', 'by_key["__proto__"].one']);
    const copy = replaceSealed(plan, message, sites, ['a', 'b'], { absent: '' }) as typeof message;
    expect(copy.map).to.deep.equal(new Map([[5, 'a']]));
    expect(Object.hasOwn(copy.byKey, '__proto__')).to.equal(true);
    expect(Object.getPrototypeOf(copy.byKey)).to.equal(Object.prototype);
  });

  it('refuses a map whose prototype its contents have set', () => {
    const message = { byKey: { a: { one: 't' } } };
    Object.setPrototypeOf(message.byKey, { one: 'hidden' });
    expect(() => collectSealed(plan, message))
      .to.throw(SealwireError)
      .with.property('code', 'MAP_KEY_FORBIDDEN');
    Object.setPrototypeOf(message.byKey, null);
    expect(collectSealed(plan, message)).to.have.length(1);
  });

  it('looks into no more messages than it may', () => {
    const items = Array.from({ length: 9 }, () => ({}));
    expect(collectSealed(plan, { items }, 1, 10)).to.deep.equal([]);
    const refused = () => collectSealed(plan, { items: [...items, {}] }, 1, 10);
    expect(refused).to.throw(SealwireError).with.property('code', 'TOO_MANY_MESSAGES');
  });

  it('makes absent fields what the other side expects', () => {
    expect(replaceSealed(plan, {}, [], [], { absent: '' })).to.deep.equal({ one: '', constructor: '' });
    expect(
      replaceSealed(plan, { one: '', choice: { $case: 'member', member: '' } }, [], [], { absent: undefined }),
    ).to.deep.equal({
      one: undefined,
      choice: undefined,
    });
  });

  it("takes proto-loader's oneofs, and clears the name of a member that is absent", () => {
    const named = { property: 'method', style: 'named' } as const;
    const member = (key: string) => field(key, { shape: 'oneof', oneof: named });
    const pay: MessagePlan = { typeName: 't.Pay', sealed: [member('card'), member('iban')], nested: [] };
    const paid = { method: 'card', card: 't1' };
    const sites = collectSealed(pay, paid);
    expect(replaceSealed(pay, paid, sites, [{ v: 1 }], { absent: undefined })).to.deep.equal({
      method: 'card',
      card: { v: 1 },
    });
    const open = (message: object) => replaceSealed(pay, message, [], [], { absent: undefined });
    expect(open({ method: 'card', card: '' })).to.deep.equal({ card: undefined });
    // protobufjs keeps both when both were on the wire: the name belongs to the other one.
    expect(open({ method: 'cash', cash: 5, card: '' })).to.deep.equal({ method: 'cash', cash: 5, card: undefined });
  });

  it("takes protobuf-es's oneofs, and leaves none where the member is absent", () => {
    const oneof = { property: 'method', style: 'case' } as const;
    const members = ['card', 'iban'].map((key) => field(key, { shape: 'oneof', oneof }));
    const pay: MessagePlan = { typeName: 't.Pay', sealed: members, nested: [] };
    const paid = { method: { case: 'iban', value: 't1' } };
    const sites = collectSealed(pay, paid);
    expect(sites.map(({ path, value }) => [path, value])).to.deep.equal([['iban', 't1']]);
    const opened = { method: { case: 'iban', value: { v: 1 } } };
    expect(replaceSealed(pay, paid, sites, [{ v: 1 }], { absent: undefined })).to.deep.equal(opened);
    const open = (message: object) => replaceSealed(pay, message, [], [], { absent: undefined });
    expect(open({ method: { case: 'iban', value: '' } })).to.deep.equal({ method: { case: undefined } });
    const other = { method: { case: 'cash', value: 5 } };
    expect(open(other)).to.equal(other);
  });

  it('keeps the prototype of a message', () => {
    const message = Object.assign(Object.create({ inherited: 7 }) as { inherited: number }, { one: 't' });
    const copy = replaceSealed(plan, message, collectSealed(plan, message), ['x'], { absent: '' });
    expect(copy).to.include({ one: 'x', inherited: 7 }).and.not.have.own.property('inherited');
  });

  it('refuses to send a list, a map or a message that is none: encoders would write what is in it', () => {
    for (const [message, said] of [
      [{ list: 'in clear' }, 'list'],
      [{ list: new Set(['in clear']) }, 'list'],
      [{ map: 'in clear' }, 'map'],
      [{ items: new Set([{ one: 'in clear' }]) }, 'items'],
      [{ byKey: 'in clear' }, 'by_key'],
      [{ child: 'in clear' }, 'child'],
      [{ child: { list: 'in clear' } }, 'child.list'],
    ] as const) {
      expect(
        codeOf(() => collectToSeal(plan, message)),
        said,
      ).to.equal(`SEAL_INPUT ${said}`);
      expect(collectSealed(plan, message)).to.deep.equal([]);
    }
    expect(codeOf(() => collectToSeal(plan, { map: new Set(['in clear']) }))).to.equal('MAP_KEY_FORBIDDEN');
  });

  it("takes a map as the list of entries that proto-loader's descriptor sets give", () => {
    const message = {
      map: [
        { key: 'a', value: 't1' },
        { key: 5, value: 't2' },
      ],
      byKey: [{ key: 'k', value: { one: 't3' } }, { key: 'none', value: null }, null],
    };
    const sites = collectSealed(plan, message);
    expect(sites.map(({ path, index }) => [path, index])).to.deep.equal([
      ['map["a"]', 'a'],
      ['map["5"]', '5'],
      ['by_key["k"].one', undefined],
    ]);
    expect(collectSealed(plan, { map: [], byKey: [{ key: 'k' }] })).to.deep.equal([]);
    const tokens = { map: message.map };
    const copy = replaceSealed(plan, tokens, collectSealed(plan, tokens), ['x', 'y'], { absent: undefined });
    expect(copy).to.deep.equal({
      map: [
        { key: 'a', value: 'x' },
        { key: 5, value: 'y' },
      ],
    });
    for (const entry of [{ key: 'b', value: '' }, { key: 'b' }]) {
      expect(codeOf(() => collectSealed(plan, { map: [entry] }))).to.equal('TOKEN_EMPTY map["b"]');
    }
    expect(codeOf(() => collectSealed(plan, { map: [null] }))).to.equal('TOKEN_EMPTY map[""]');
  });

  it('finds nothing where nothing is sealed', () => {
    expect(collectSealed(plan, { clear: 'x', items: [{ child: {} }], map: {} })).to.deep.equal([]);
  });

  it('takes the empty string, null and undefined as absent', () => {
    for (const one of ['', null, undefined]) expect(collectSealed(plan, { one })).to.deep.equal([]);
  });

  it('refuses empty elements of repeated fields and maps, with their path', () => {
    expect(codeOf(() => collectSealed(plan, { list: ['t', ''] }))).to.equal('TOKEN_EMPTY list[1]');
    expect(codeOf(() => collectSealed(plan, { map: { k: '' } }))).to.equal('TOKEN_EMPTY map["k"]');
  });

  for (const shape of ['singular', 'repeated', 'map'] as const) {
    it(`asks for a required ${shape} field, below a parent too`, () => {
      const inner: MessagePlan = { typeName: 't.R', sealed: [field('must', { shape, required: true })], nested: [] };
      const outer: MessagePlan = {
        typeName: 't.O',
        sealed: [],
        nested: [{ name: 'kids', key: 'kids', shape: 'repeated', plan: () => inner }],
      };
      const empty = { singular: '', repeated: [], map: {} }[shape];
      expect(codeOf(() => collectSealed(outer, { kids: [{ must: empty }] }))).to.equal('FIELD_REQUIRED kids[0].must');
    });
  }

  it('cuts long map keys in paths', () => {
    const [site] = collectSealed(plan, { map: { ['k'.repeat(100_000)]: 't' } });
    expect(site?.path).to.equal(`map["${'k'.repeat(64)}…"]`);
    expect(site?.index).to.have.length(100_000);
  });

  it('stops at a depth of 100', () => {
    let message: object = { one: 't' };
    for (let depth = 0; depth < 100; depth++) message = { child: message };
    expect(collectSealed(plan, message)).to.have.length(1);
    expect(codeOf(() => collectSealed(plan, { child: message }))).to.equal('NESTED_TOO_DEEP');
    expect(codeOf(() => collectSealed(plan, { child: { ...message, one: undefined } }))).to.equal('NESTED_TOO_DEEP');
  });

  it('lists the recipients of a recursive plan once each', () => {
    expect(recipientsOf(plan)).to.deep.equal(['', 'other']);
    expect(hasOwnFields(plan)).to.equal(true);
    const [foreign] = plan.sealed.filter(({ recipient }) => recipient === 'other');
    expect(hasOwnFields({ typeName: 't.F', sealed: [foreign!], nested: [] })).to.equal(false);
    expect(hasOwnFields(undefined)).to.equal(false);
  });
});
