import { expect } from 'chai';
import fc from 'fast-check';
import { agreementId } from '../../src/jwe/agreements/agreement-cache.js';
import { parseHeader } from '../../src/jwe/header.js';
import { HeaderCache } from '../../src/jwe/header-cache.js';

const COORDINATE = Buffer.alloc(66, 7).toString('base64url');
const BND = `${'b'.repeat(42)}A`;
const members = {
  alg: 'ECDH-ES+A256KW',
  enc: 'A256GCM',
  kid: `${'k'.repeat(42)}A`,
  epk: { kty: 'EC', crv: 'P-521', x: COORDINATE, y: COORDINATE },
  typ: 'sealed-field+jwe',
  cty: 'application/protobuf',
  fld: 'payments.v1.AuthorizeRequest.card',
};

const encode = (text: string) => Buffer.from(text).toString('base64url');
const header = (tail: object, changes: object = {}) => encode(JSON.stringify({ ...members, ...changes, ...tail }));

/** A cache that knows one header. */
function primed(part: string): HeaderCache {
  const cache = new HeaderCache();
  cache.remember(part, parseHeader(part));
  return cache;
}

describe('HeaderCache', () => {
  const first = header({ iat: 1_732_400_000, bnd: BND });

  it('gives exactly what parsing gives, for other times and bindings', () => {
    for (let length = 1; length <= 4; length++) {
      const fld = 'f'.repeat(length);
      const cache = primed(header({ iat: 1_732_400_000, bnd: BND }, { fld }));
      for (const tail of [
        { iat: 1_999_999_999, bnd: BND },
        { iat: 1_732_400_001, bnd: 'x'.repeat(43) },
        { iat: 1_732_400_001 },
        { iat: 1_732_400_001, req: 'r'.repeat(43) },
      ]) {
        const part = header(tail, { fld });
        const known = cache.find(part, 2_048);
        const parsed = parseHeader(part);
        expect(known?.header).to.deep.include({ ...parsed });
        expect([known?.header.bnd, known?.header.req]).to.deep.equal([parsed.bnd, parsed.req]);
        expect(known?.agreementId).to.equal(agreementId(parsed));
      }
    }
  });

  it('knows nothing of other prefixes', () => {
    const cache = primed(first);
    for (const change of [
      { kid: `${'j'.repeat(42)}A` },
      { fld: 'payments.v1.AuthorizeRequest.cart' },
      { alg: 'ECDH-ES' },
    ]) {
      expect(cache.find(header({ iat: 1_732_400_000, bnd: BND }, change), 2_048)).to.equal(undefined);
    }
  });

  const json = JSON.stringify({ ...members });
  const prefix = `${json.slice(0, -1)},"iat":`;
  const strange = {
    'a leading zero': `0732400000,"bnd":"${BND}"}`,
    'a negative time': `-173240000,"bnd":"${BND}"}`,
    'an exponent': `1732e00000,"bnd":"${BND}"}`,
    'a space': ` 173240000,"bnd":"${BND}"}`,
    'another name': `1732400000,"bmd":"${BND}"}`,
    'an escape in the binding': `1732400000,"bnd":"${BND.slice(2)}\\n"}`,
    'two members in one': `1732400000,"bnd":"${BND.slice(10)}","a":"bcd"}`,
    'an array': `1732400000,"bnd":["${BND.slice(2)}"]}`,
    'no end': `1732400000,"bnd":"${BND}" `,
  };
  for (const [name, tail] of Object.entries(strange)) {
    it(`leaves ${name} to the parser`, () => {
      expect(prefix.length + tail.length).to.equal(Buffer.from(first, 'base64url').length);
      expect(primed(first).find(encode(prefix + tail), 2_048)).to.equal(undefined);
    });
  }

  it('knows the methods of reply tokens apart, and their requests', () => {
    const mth = '/payments.v1.PaymentService/GetPayment';
    const of = (tail: object, method = mth) => header(tail, { fld: 'sealwire.v1.reply', mth: method });
    const cache = primed(of({ iat: 1_732_400_000, req: BND }));
    const again = of({ iat: 1_732_400_001, req: 'x'.repeat(43) });
    expect(cache.find(again, 2_048)?.header).to.deep.include({ mth, req: 'x'.repeat(43), iat: 1_732_400_001 });
    expect(cache.find(of({ iat: 1_732_400_001 }), 2_048)?.header.req).to.equal(undefined);
    expect(cache.find(of({ iat: 1_732_400_000, req: BND }, mth.replace('Get', 'Put')), 2_048)).to.equal(undefined);
  });

  it('leaves text that is not canonical base64url to the parser', () => {
    const cache = primed(first);
    for (const part of [`${first}=`, `${first.slice(0, -1)}!`, `${first} `]) {
      expect(cache.find(part, 2_048)).to.equal(undefined);
    }
  });

  it('leaves headers above the cap to the parser', () => {
    expect(primed(first).find(first, 300)).to.equal(undefined);
  });

  it('learns nothing from headers that do not end as ours do', () => {
    for (const part of [
      encode(JSON.stringify({ iat: 1_732_400_000, ...members })),
      encode(JSON.stringify({ ...members })),
      // Else a binding or a request could be named twice.
      encode(JSON.stringify({ ...members, bnd: BND, iat: 1_732_400_000 })),
      encode(JSON.stringify({ ...members, req: BND, iat: 1_732_400_000 })),
      encode(JSON.stringify({ ...members, req: BND, iat: 1_732_400_000, bnd: BND })),
      encode(JSON.stringify({ ...members, bnd: BND, iat: 1_732_400_000, req: BND })),
    ]) {
      expect(primed(part).find(part, 2_048)).to.equal(undefined);
    }
  });

  it('never accepts a header that the parser refuses or reads otherwise', () => {
    const cache = primed(first);
    const bytes = Buffer.from(first, 'base64url');
    let known = 0;
    fc.assert(
      fc.property(fc.integer({ min: 0, max: bytes.length - 1 }), fc.integer({ min: 0, max: 255 }), (at, byte) => {
        const changed = Buffer.from(bytes);
        changed[at] = byte;
        const part = changed.toString('base64url');
        const found = cache.find(part, 2_048);
        if (found === undefined) return;
        known++;
        const parsed = parseHeader(part);
        expect([found.header.iat, found.header.bnd]).to.deep.equal([parsed.iat, parsed.bnd]);
        expect(found.header).to.deep.include({ ...parsed });
      }),
      { numRuns: 5_000 },
    );
    expect(known).to.be.greaterThan(0);
  });
});
