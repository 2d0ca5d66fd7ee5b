import { expect } from 'chai';
import { SealwireError } from '../../src/errors.js';
import { SealedPaymentService } from '../../src/gen/payments/v1/payments_sealed.js';
import { KeyRing } from '../../src/keys/ring.js';
import type { Validators } from '../../src/schema/validation.js';
import { createOpenInterceptor } from '../../src/server/open-interceptor.js';

describe('createOpenInterceptor', () => {
  it('takes no validator of a type that no sealed field has', async () => {
    const keys = await KeyRing.create();
    const audit = { commit: () => Promise.resolve(), note() {} };
    const create = (validators: Validators) =>
      createOpenInterceptor({ services: [SealedPaymentService], keys, audit, validators });
    const nothing = () => [];
    create({ 'payments.v1.CardDetails': nothing, 'google.protobuf.StringValue': nothing, 'a.B': undefined });
    expect(() => create({ 'payments.v1.CardDetail': nothing }))
      .to.throw(SealwireError, /type payments\.v1\.CardDetail; .* payments\.v1\.CardDetails/)
      .with.property('code', 'OPTIONS_INVALID');
  });
});
