import { expect } from 'chai';
import type { TokenHeader } from '../../src/jwe/header.js';
import { checkPolicy, type PolicyName } from '../../src/profile/policy.js';
import { expectCode, FIELD, IAT } from '../jwe/helpers.js';

const point = { crv: 'P-256', x: Buffer.alloc(32), y: Buffer.alloc(32) } as const;
const plain: TokenHeader = { alg: 'ECDH-ES', enc: 'A256GCM', kid: 'k', epk: point };
const full: TokenHeader = { ...plain, typ: 'sealed-field+jwe', cty: 'application/protobuf', fld: FIELD, iat: IAT };
const NOW = IAT * 1_000;
const BOUND = Buffer.alloc(32, 1).toString('base64url');

function check(header: TokenHeader, policy: PolicyName, bound?: string, now = NOW, freshness = true): void {
  checkPolicy(header, { field: FIELD, ...(bound !== undefined && { bound }) }, policy, now, { freshness });
}

describe('checkPolicy', () => {
  it('strict takes a full header, interop takes a bare one too', () => {
    check(full, 'strict');
    check({ ...full, bnd: BOUND }, 'strict', BOUND);
    check(plain, 'interop');
    check(plain, 'interop', BOUND);
    check(full, 'interop', BOUND);
  });

  for (const name of ['typ', 'cty', 'fld', 'iat'] as const) {
    it(`strict refuses a header without ${name}`, () => {
      const { [name]: _, ...rest } = full;
      expectCode('POLICY_MISSING_HEADER', () => check(rest, 'strict'));
      check(rest, 'interop');
    });
  }

  it('strict refuses further members of epk, interop ignores them', () => {
    expectCode('EPK_INVALID', () => check({ ...full, hasOtherEpkMembers: true }, 'strict'));
    check({ ...full, hasOtherEpkMembers: true }, 'interop');
  });

  for (const policy of ['strict', 'interop'] as const) {
    describe(policy, () => {
      it('refuses another typ', () => {
        for (const typ of ['JWE', 'JWT', '', 'Sealed-Field+JWE']) {
          expectCode('POLICY_TYPE', () => check({ ...full, typ }, policy));
        }
      });

      it('refuses another cty', () => {
        for (const cty of ['json', 'text/plain', '', 'application/JSON']) {
          expectCode('POLICY_TYPE', () => check({ ...full, cty }, policy));
        }
        check({ ...full, cty: 'application/json' }, policy);
      });

      it('refuses a token made for another field', () => {
        for (const fld of ['', `${FIELD}x`, FIELD.toUpperCase(), 'payments.v1.AuthorizeRequest.billing_address']) {
          expectCode('FIELD_MISMATCH', () => check({ ...full, fld }, policy));
        }
      });

      it('refuses a token bound to other siblings', () => {
        const other = Buffer.alloc(32, 2).toString('base64url');
        expectCode('BINDING_MISMATCH', () => check({ ...full, bnd: other }, policy, BOUND));
      });

      it('refuses bnd where the field binds nothing', () => {
        expectCode('BINDING_MISMATCH', () => check({ ...full, bnd: BOUND }, policy));
      });

      it('refuses what is older than 300 s, takes what is exactly that', () => {
        check(full, policy, undefined, NOW + 300_000);
        expectCode('TOKEN_STALE', () => check(full, policy, undefined, NOW + 300_001));
      });

      it('refuses what is more than 60 s ahead, takes what is exactly that', () => {
        check(full, policy, undefined, NOW - 60_000);
        expectCode('TOKEN_FROM_FUTURE', () => check(full, policy, undefined, NOW - 60_001));
      });
    });
  }

  it('strict refuses an absent bnd where the field binds siblings', () => {
    expectCode('BINDING_MISMATCH', () => check(full, 'strict', BOUND));
  });

  it('skips the time, and nothing else, for stored tokens', () => {
    check(full, 'strict', undefined, NOW + 1e12, false);
    expectCode('FIELD_MISMATCH', () => check({ ...full, fld: 'x' }, 'strict', undefined, NOW, false));
    expectCode('BINDING_MISMATCH', () => check(full, 'strict', BOUND, NOW, false));
  });

  it('looks at field and binding before the time', () => {
    expectCode('FIELD_MISMATCH', () => check({ ...full, fld: 'x' }, 'strict', undefined, NOW + 1e9));
    expectCode('BINDING_MISMATCH', () => check(full, 'strict', BOUND, NOW + 1e9));
  });

  it('does not compute the expected binding when an earlier rule refuses', () => {
    const expected = {
      field: FIELD,
      get bound(): string {
        return expect.fail('computed');
      },
    };
    expectCode('FIELD_MISMATCH', () => checkPolicy({ ...full, fld: 'x' }, expected, 'strict', NOW));
  });
});
