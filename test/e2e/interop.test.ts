import { createHash, createPublicKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { CompactEncrypt, importJWK, type JWK } from 'jose';
import nodeJose from 'node-jose';
import { errorDetails } from '../../src/client/client.js';
import { CardDetails } from '../../src/gen/payments/v1/payments.js';
import { callRaw, failureOf, type Harness, startHarness, validRequest } from '../support/harness.js';

const common = { orderId: 'order-1', amountMinor: '1999', currencyCode: 'EUR', billingAddress: '', securityCode: '' };

async function publicJwk(harness: Harness): Promise<JWK & { kid: string }> {
  const set = JSON.parse(await readFile(join(harness.dir, 'keys/public.jwks.json'), 'utf8')) as { keys: JWK[] };
  return set.keys[0] as JWK & { kid: string };
}

/** What node-jose makes of a key read from PEM, with no options. */
async function plainNodeJoseToken(harness: Harness, text: string | Buffer): Promise<string> {
  const jwk = await publicJwk(harness);
  const pem = createPublicKey({ key: jwk as never, format: 'jwk' })
    .export({ type: 'spki', format: 'pem' })
    .toString();
  const key = await nodeJose.JWK.asKey(pem, 'pem');
  return (await nodeJose.JWE.createEncrypt({ format: 'compact' }, key)
    .update(Buffer.from(text as string))
    .final()) as unknown as string;
}

describe('tokens of other libraries', () => {
  for (const policy of ['strict', 'interop'] as const) {
    describe(`under ${policy}`, () => {
      let harness: Harness;
      before(async () => {
        harness = await startHarness({ policy });
      });
      after(() => harness.stop());

      it('a token made by hand with jose by the profile is opened', async () => {
        const jwk = await publicJwk(harness);
        // By hand: order_id (1), amount_minor (2), currency_code (3) in protobuf wire format.
        const bound = Buffer.from('0a076f726465722d3110cf0f1a03455552', 'hex');
        const card = await new CompactEncrypt(CardDetails.encode(validRequest.card).finish())
          .setProtectedHeader({
            alg: 'ECDH-ES+A256KW',
            enc: 'A256GCM',
            kid: jwk.kid,
            typ: 'sealed-field+jwe',
            cty: 'application/protobuf',
            fld: 'payments.v1.AuthorizeRequest.card',
            iat: Math.floor(Date.now() / 1000),
            bnd: createHash('sha256').update(bound).digest('base64url'),
          })
          .encrypt(await importJWK(jwk, 'ECDH-ES+A256KW'));
        expect(await callRaw(harness.raw, { ...common, card })).to.include({ status: 'authorized' });
      });

      it(`node-jose's plain createEncrypt is ${policy === 'interop' ? 'opened' : 'refused'}`, async () => {
        const json = JSON.stringify({ ...validRequest.card, number: '5555555555554444' });
        const request = { ...common, orderId: 'order-2', card: await plainNodeJoseToken(harness, json) };
        if (policy === 'interop') {
          expect(await callRaw(harness.raw, request)).to.include({ status: 'authorized', cardLast4: '4444' });
        } else {
          const error = await failureOf(callRaw(harness.raw, request));
          expect(errorDetails(error)).to.include({ reason: 'SEALED_FIELD_INVALID' });
          const records = await harness.auditRecords();
          expect(records[records.length - 1]?.detail).to.equal('POLICY_MISSING_HEADER at card');
        }
      });

      if (policy === 'interop') {
        for (const [name, text] of [
          ['an unknown field', '{"number":"1","bogus":1}'],
          ['a wrong type', '{"number":"1","expiryMonth":"soon"}'],
          ['no JSON', 'number=1'],
          ['an array', '[]'],
          ['bytes that are no UTF-8', Buffer.from('{"number":"\xff"}', 'latin1')],
        ] as const) {
          it(`JSON with ${name} is refused as a whole`, async () => {
            const card = await plainNodeJoseToken(harness, text);
            const error = await failureOf(callRaw(harness.raw, { ...common, orderId: name, card }));
            expect(errorDetails(error)).to.include({ reason: 'SEALED_FIELD_INVALID' });
            const records = await harness.auditRecords();
            expect(records[records.length - 1]?.detail).to.equal('INNER_DECODE at card');
          });
        }
      }
    });
  }
});
