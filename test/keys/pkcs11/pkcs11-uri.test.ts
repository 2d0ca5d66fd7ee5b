import { expect } from 'chai';
import fc from 'fast-check';
import { formatPkcs11Uri, parsePkcs11Uri } from '../../../src/keys/pkcs11/pkcs11-uri.js';
import { refusal } from '../helpers.js';

const ACCEPTED = [
  ['pkcs11:', {}],
  ['pkcs11:token=My%20token;object=k1', { token: 'My token', object: 'k1' }],
  ['pkcs11:object=k;type=private;serial=00ff', { object: 'k', serial: '00ff' }],
  ['pkcs11:id=%01%fF', { id: Buffer.from([1, 255]) }],
  ['pkcs11:slot-id=1033452148;manufacturer=A;model=B', { slotId: 1_033_452_148, manufacturer: 'A', model: 'B' }],
  [
    'pkcs11:object=k?module-path=/usr/lib/x.so&pin-source=file:/run/pin',
    { object: 'k', modulePath: '/usr/lib/x.so', pinSource: '/run/pin' },
  ],
  ['pkcs11:object=k?pin-source=/run/pin', { object: 'k', pinSource: '/run/pin' }],
  ['pkcs11:object=%C3%A9', { object: 'é' }],
] as const;

const REFUSED = [
  ['http:object=k', /does not start/],
  ['pkcs11:object=a;object=b', /object occurs twice/],
  ['pkcs11:object', /'object' is not an attribute/],
  ['pkcs11:colour=red', /'colour' is not an attribute/],
  ['pkcs11:constructor=x', /'constructor' is not an attribute/],
  ['pkcs11:type=public', /type is not private/],
  ['pkcs11:object=%4', /not followed by two digits/],
  ['pkcs11:object=%FF', /object is not text/],
  ['pkcs11:object=a%00b', /object is not text/],
  ['pkcs11:slot-id=0x1', /slot-id is not a number/],
  ['pkcs11:object=k?module-path=a?b', /two question marks/],
  ['pkcs11:object=k?pin-value=1234', /^(?!.*1234).*pin-value would show the PIN/],
  ['pkcs11:pin-value=1234', /^(?!.*1234).*pin-value would show the PIN/],
  ['pkcs11:object=k?pin-source=|/bin/pin', /pin-source is not a file/],
  ['pkcs11:object=k?pin-source=https://pin', /pin-source is not a file/],
  [`pkcs11:object=${'k'.repeat(2_048)}`, /exceeds 2048 characters/],
] as const;

describe('parsePkcs11Uri', () => {
  for (const [text, expected] of ACCEPTED) {
    it(`reads ${text}`, () => expect(parsePkcs11Uri(text)).to.deep.equal(expected));
  }
  for (const [text, why] of REFUSED) {
    it(`refuses ${text.slice(0, 48)}`, async () => {
      const error = await refusal(() => parsePkcs11Uri(text), 'OPTIONS_INVALID');
      expect(error.message).to.match(why);
    });
  }

  it('reads again what formatPkcs11Uri writes', () => {
    const text = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 32 })
      .filter((value) => !value.includes('\0') && Buffer.from(value).toString() === value);
    const uri = fc.record(
      {
        token: text,
        serial: text,
        object: text,
        modulePath: text,
        slotId: fc.nat(),
        id: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(uri, (value) => {
        expect(parsePkcs11Uri(formatPkcs11Uri(value))).to.deep.equal(value);
      }),
    );
  });
});
