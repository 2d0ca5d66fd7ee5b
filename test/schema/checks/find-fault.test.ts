import { createFileRegistry } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { createDynamicCodec } from '../../../src/loader/dynamic-codec.js';
import { parseLoaderOptions } from '../../../src/loader/loader-form.js';
import { createInnerCodec } from '../../../src/schema/codec.js';
import type { InnerCodec, SealedFieldPlan } from '../../../src/schema/plan.js';
import { encodeSite } from '../../../src/schema/seal-sites.js';
import { collectToSeal } from '../../../src/schema/walk.js';
import { buildProtos } from '../../codegen/helpers.js';
import * as shapes from '../../gen/shapes/v1/shapes.js';
import { ShapesPlan } from '../../gen/shapes/v1/shapes_sealed.js';
import { descriptorRegistry } from '../../support/descriptor-set.js';

const blank = () => shapes.Shapes.decode(new Uint8Array()) as unknown as Record<string, unknown>;

/** What whoever seals is told. */
function fault(codec: InnerCodec, value: object, extra: Partial<SealedFieldPlan> = {}, holder: object = {}): string {
  const field = { ...ShapesPlan.sealed[0], name: 'card', codec, bind: [], ...extra } as SealedFieldPlan;
  const sealer = { seal: () => 'token' };
  try {
    return encodeSite({ field, path: 'items[3].card', value, holder }, sealer, 0, () => 'digest');
  } catch (error) {
    const { code, message, path, cause } = error as { code: string; message: string; path: string; cause: unknown };
    expect([code, path, cause]).to.deep.equal(['SEAL_INPUT', 'items[3].card', undefined]);
    expect(message).to.not.include('canary');
    return message;
  }
}

describe('what is wrong with a message that cannot be sealed', function () {
  this.timeout(30_000);
  const registry = descriptorRegistry();
  const generated = createInnerCodec('shapes.v1.Shapes', shapes.Shapes as never, () => registry) as InnerCodec;
  const base = blank;
  const nested = (inner: unknown) => ({ ...base(), branch: { inner } });

  for (const [what, change, said] of [
    ['a wrong type', { bInt32: 'canary' }, 'b_int32 is not a valid int32'],
    ['a number out of range', { bInt32: 2 ** 40 }, 'b_int32 is not a valid int32'],
    ['a fraction', { bInt32: 1.5 }, 'b_int32 is not a valid int32'],
    ['no integer of 64 bits', { bInt64: 'canary' }, 'b_int64 is not a valid int64'],
    ['a number that is missing', { bInt32: undefined }, 'b_int32 is missing'],
    ['a list that is missing', { many: undefined }, 'many is missing'],
    ['an element', { manyNested: [null] }, 'many_nested[0] is not a valid shapes.v1.Shapes.Nested'],
    ['an enum', { bKind: 'canary' }, 'b_kind is not a valid shapes.v1.Kind'],
    ['a field of a message', { self: { ...blank(), bInt32: 'canary' } }, 'self.b_int32 is not a valid int32'],
    ['a value in a map', { mapNested: { canary: null } }, 'map_nested[…] is not a valid shapes.v1.Shapes.Nested'],
    ['two members of a oneof', { left: 'x', bMember: 'canary' }, 'b_member cannot be set together with left'],
    [
      'two members further inside',
      { self: { ...blank(), left: 'x', branch: { inner: 'canary' } } },
      'self.branch cannot be set together with left',
    ],
  ] as const) {
    it(`names ${what} with its path, quoting no value`, () => {
      expect(fault(generated, { ...base(), ...change })).to.equal(`items[3].card.${said}`);
    });
  }

  it('finds nothing wrong with what can be sealed', () => {
    expect(fault(generated, base())).to.equal('token');
    expect(fault(generated, { ...nested('s'), bMember: undefined })).to.equal('token');
  });

  it('names a bound sibling where it stands', () => {
    const bind = [{ name: 'amount', number: 1, kind: 'int32', explicitPresence: false, key: 'amount' }] as const;
    expect(fault(generated, base(), { bind }, { amount: 'canary' })).to.equal('items[3].amount is not a valid int32');
  });

  it('names fields of messages without generated code, required ones too', () => {
    const files = createFileRegistry(buildProtos('test/schema/fixtures'));
    const desc = files.getMessage('loose.v1.Secret') ?? expect.fail('no type');
    const codec = createDynamicCodec(desc, files, parseLoaderOptions({})) as InnerCodec;
    expect(fault(codec, { text: 5 })).to.equal('items[3].card.text is not a valid string');
    expect(fault(codec, { text: 'a', next: {} })).to.equal('items[3].card.next.text is missing');
    expect(fault(codec, { text: 'a', next: { text: 'b' } })).to.equal('token');
  });
});

describe('a message with two members of a oneof', () => {
  it('is not sealed, wherever it stands', () => {
    const sealed = { text: '', number: 0n };
    const shape = (more: object) => ({ ...blank(), must: sealed, ...more });
    const refused = [
      [{ left: sealed, right: { fields: {} } }, 'right cannot be set together with left'],
      [{ left: sealed, bMember: '' }, 'b_member cannot be set together with left'],
      [{ bMember: 'canary', branch: {} }, 'branch cannot be set together with b_member'],
      [{ self: shape({ left: sealed, bMember: 'canary' }) }, 'self.b_member cannot be set together with left'],
    ] as const;
    for (const [more, said] of refused) {
      expect(() => collectToSeal(ShapesPlan, shape(more)))
        .to.throw(said)
        .with.property('code', 'SEAL_INPUT');
    }
    for (const more of [{}, { left: sealed }, { bMember: 'x', left: undefined }, { branch: {}, right: null }]) {
      expect(collectToSeal(ShapesPlan, shape(more))).to.not.be.empty;
    }
  });
});
