/** What OpenSSL calls the curves. */
import type { Curve } from '../profile/algorithms.js';

/** Facts of a curve. */
export interface OpensslCurve {
  readonly name: string;
  /** DER of a SubjectPublicKeyInfo (RFC 5480) up to the coordinates of an uncompressed point. */
  readonly spkiPrefix: string;
}

export const opensslCurves: Readonly<Record<Curve, OpensslCurve>> = {
  'P-521': { name: 'secp521r1', spkiPrefix: '30819b301006072a8648ce3d020106052b810400230381860004' },
  'P-384': { name: 'secp384r1', spkiPrefix: '3076301006072a8648ce3d020106052b8104002203620004' },
  'P-256': { name: 'prime256v1', spkiPrefix: '3059301306072a8648ce3d020106082a8648ce3d03010703420004' },
};

/** DER of a SubjectPublicKeyInfo. */
export function toSpki(crv: Curve, x: Uint8Array, y: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(opensslCurves[crv].spkiPrefix, 'hex'), x, y]);
}
