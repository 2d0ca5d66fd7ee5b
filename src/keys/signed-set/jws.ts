/** Compact JWS (RFC 7515) as signed key sets use it: node-jose makes and verifies the ES512 signature. */
import type nodeJose from 'node-jose';
import { decodeCanonical } from '../../jwe/base64url.js';
import type { Members } from '../../profile/header-members.js';
import { SIGNATURE_ALGORITHM } from '../../profile/jwk-rules.js';
import { type JwsForm, type ParsedJws, parseJwsForm } from '../../profile/key-sets/jws-form.js';
import { loadNodeJose } from '../node-jose.js';

/** As {@link parseJwsForm}. */
export function parseJws(text: string, form: JwsForm): ParsedJws {
  return parseJwsForm(text, form, decodeCanonical);
}

/** A P-521 key as node-jose holds it; its own types leave `verify` out, and users of this package lack them. */
export interface JoseKey {
  verify(alg: string, data: Buffer, signature: Buffer): Promise<{ readonly valid: boolean }>;
}

/** @param jwk members that have been checked */
export async function toJoseKey(jwk: object): Promise<JoseKey> {
  const { JWK } = await loadNodeJose();
  return (await JWK.asKey({ ...jwk, use: 'sig', alg: SIGNATURE_ALGORITHM })) as unknown as JoseKey;
}

/** @returns whether the key made the signature; never throws for a bad signature */
export async function isSignedBy({ signed, signature }: ParsedJws, key: JoseKey): Promise<boolean> {
  try {
    return (await key.verify(SIGNATURE_ALGORITHM, Buffer.from(signed), Buffer.from(signature))).valid;
  } catch {
    // node-jose rejects where others answer false.
    return false;
  }
}

/**
 * Signs a payload.
 *
 * @param kid the key's thumbprint
 * @param fields header members besides `alg` and `kid`
 */
export async function signJws(key: JoseKey, kid: string, fields: Members, payload: object): Promise<string> {
  const header = { alg: SIGNATURE_ALGORITHM, ...fields, kid };
  const options = { format: 'compact', protect: '*' } as nodeJose.JWS.SignOptions;
  const { JWS } = await loadNodeJose();
  const signer = JWS.createSign(options, { key, header, reference: false } as never);
  // For the compact form its promise is the text.
  return (await signer.update(JSON.stringify(payload), 'utf8').final()) as unknown as string;
}
