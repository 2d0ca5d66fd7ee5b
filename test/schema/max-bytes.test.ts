import { expect } from 'chai';
import { SealwireError } from '../../src/errors.js';
import { SealedPaymentService } from '../../src/gen/payments/v1/payments_sealed.js';
import { sha256 } from '../../src/jwe/sha256.js';
import { createPlans } from '../../src/loader/create-plans.js';
import { decodeInner, expectationOf } from '../../src/schema/open-sites.js';
import type { SealedFieldPlan } from '../../src/schema/plan.js';
import { encodeSite } from '../../src/schema/seal-sites.js';
import { descriptorSet } from '../support/descriptor-set.js';

const METHOD = '/payments.v1.PaymentService/Authorize';

describe('max_bytes', () => {
  const generated = SealedPaymentService.plan;
  const sources = [
    ['generated plans', () => generated],
    ['plans of a descriptor set', () => createPlans(descriptorSet()).service('payments.v1.PaymentService')],
  ] as const;
  for (const [name, source] of sources) {
    it(`of ${name} refuses a longer inner message when it is sealed and when it was opened`, () => {
      const field = source().methods[METHOD]?.request?.sealed.find(({ key }) =>
        key.startsWith('security'),
      ) as SealedFieldPlan;
      const siteOf = (bytes: number) => ({
        field,
        path: 'security_code',
        // Two bytes of tag and length.
        value: { value: 'x'.repeat(bytes - 2) },
        holder: { orderId: 'o-1', order_id: 'o-1' },
      });
      const seal = (bytes: number) =>
        encodeSite(siteOf(bytes), { seal: (plaintext) => String(plaintext.length) }, 0, sha256);
      expect(seal(64)).to.equal('64');
      expect(expectationOf(siteOf(64), sha256).maxBytes).to.equal(64);
      for (const refused of [() => seal(65), () => decodeInner(siteOf(65), Buffer.alloc(65), undefined)]) {
        expect(refused).to.throw(SealwireError).that.includes({ code: 'INNER_TOO_LARGE', path: 'security_code' });
      }
    });
  }
});
