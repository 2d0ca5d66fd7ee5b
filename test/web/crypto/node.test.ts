/** The two implementations of this project understand each other. */
import { createPrivateKey, type JsonWebKey } from 'node:crypto';
import { expect } from 'chai';
import { TokenOpener } from '../../../src/jwe/opener.js';
import { requestDigest } from '../../../src/jwe/reply.js';
import { sha256 } from '../../../src/jwe/sha256.js';
import { WebSealer } from '../../../src/web/crypto/sealer.js';
import { TestKeys, toKey } from '../../jwe/helpers.js';
import { makeRecipient, WebTestKeys } from '../../support/web-recipient.js';

const METHOD = '/payments.v1.PaymentService/GetPayment';
const FIELD = { fullName: 'payments.v1.AuthorizeRequest.card', recipient: '' };
const PLACE = 'payments.v1.Payment.card';
const INNER = Buffer.from('an inner message');
const BOUND = Buffer.from('bound siblings');

describe('the browser client and the service', () => {
  for (const crv of ['P-521', 'P-384', 'P-256'] as const) {
    it(`open each other's tokens on ${crv}`, async () => {
      const { key, privateKey } = await makeRecipient(crv);
      const jwk = (await crypto.subtle.exportKey('jwk', privateKey)) as JsonWebKey;
      const keys = new TestKeys(toKey(crv, createPrivateKey({ key: jwk, format: 'jwk' })));
      const opener = new TokenOpener({ keys });
      const sealer = new WebSealer({ keys: new WebTestKeys({ '': key }), credential: () => 'token of a caller' });
      const call = await sealer.startCall({ recipient: '', method: METHOD });

      // Twice: the second by a header that is known already.
      for (const inner of [INNER, Buffer.from('another')]) {
        const token = opener.check(await call.seal(FIELD, inner, BOUND), {
          field: FIELD.fullName,
          bound: sha256(BOUND),
        });
        expect((await opener.open(token, 'caller')).toString()).to.equal(inner.toString());
      }
      expect(keys.agreements).to.equal(1);

      const replyToken = opener.checkReplyToken(await call.replyToken(INNER), METHOD);
      expect(replyToken.header.req).to.equal(requestDigest(INNER));
      const { credential, sealer: replies } = await opener.openReplyToken(replyToken, 'caller');
      expect(credential.toString()).to.equal('token of a caller');
      const parameters = { field: PLACE, cty: 'application/protobuf', iat: 1 } as const;
      for (const bound of [undefined, BOUND]) {
        const reply = replies.seal(INNER, { ...parameters, bound: bound && sha256(bound) });
        const { plaintext } = await call.openReply(reply, { fullName: PLACE }, bound);
        expect(Buffer.from(plaintext).toString()).to.equal(INNER.toString());
      }
    });
  }
});
