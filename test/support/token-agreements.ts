/** Agreements through a PKCS#11 token, compared with those of the same exchange made here. */
import { diffieHellman, generateKeyPairSync } from 'node:crypto';
import { expect } from 'chai';
import { opensslCurves } from '../../src/jwe/openssl-curves.js';
import { importKey } from '../../src/keys/import.js';
import { Pkcs11Custody } from '../../src/keys/pkcs11/pkcs11-custody.js';
import type { Curve } from '../../src/profile/algorithms.js';
import type { SoftToken } from './softhsm.js';

const IN_FLIGHT = 8;

/** @returns how many of the `count` secrets began with a zero byte */
export async function compareAgreements(token: SoftToken, crv: Curve, count: number): Promise<number> {
  const custody = new Pkcs11Custody({ readPin: async () => token.pin });
  const uri = token.uri(`compared ${crv} ${count}`);
  const jwk = await custody.generate(uri, crv);
  const { publicKey } = await importKey(jwk);
  custody.add(jwk.kid, uri);
  let left = count;
  let zeros = 0;
  const work = async () => {
    while (left-- > 0) {
      const pair = generateKeyPairSync('ec', { namedCurve: opensslCurves[crv].name });
      const { x = '', y = '' } = pair.publicKey.export({ format: 'jwk' });
      const epk = { crv, x: Buffer.from(x, 'base64url'), y: Buffer.from(y, 'base64url') };
      const z = await custody.agree(jwk.kid, epk);
      expect(z.toString('hex')).to.equal(diffieHellman({ privateKey: pair.privateKey, publicKey }).toString('hex'));
      if (z[0] === 0) zeros++;
    }
  };
  try {
    await Promise.all(Array.from({ length: IN_FLIGHT }, work));
  } finally {
    await custody.close();
  }
  return zeros;
}
