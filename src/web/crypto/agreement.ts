/** Fresh agreements (RFC 7518 §4.6) by WebCrypto: no key that comes of one can be read out again. */
import { curves } from '../../profile/algorithms.js';
import { type KdfParties, kdfRounds, replyParties, SEALING_PARTIES } from '../../profile/concat-kdf.js';
import type { TokenAgreement } from '../../profile/seal-parameters.js';
import type { WebRecipientKey } from './recipient.js';
import { encodeBase64url, sha256, type WebCryptoKey } from './subtle.js';

/** The second key of an agreement: it unwraps the CEKs of replies. */
export interface WebReplyKey {
  /** SHA-256 of the decoded coordinates of the agreement's `epk`, x before y. */
  readonly kid: string;
  readonly key: WebCryptoKey;
}

/** What an agreement gave. */
export interface WebAgreement extends TokenAgreement {
  /** Wraps the CEKs of tokens. */
  readonly kek: WebCryptoKey;
  readonly replyKey: WebReplyKey;
}

/** Agrees with a recipient's key by an ephemeral one. */
export async function agree(recipient: WebRecipientKey): Promise<WebAgreement> {
  const { kid, crv } = recipient;
  const { point, z } = await exchange(recipient);
  const [kek, replyKek, replyKid] = await Promise.all([
    deriveKey(z, SEALING_PARTIES, 'wrapKey'),
    deriveKey(z, replyParties(kid), 'unwrapKey'),
    sha256(point),
  ]);
  z.fill(0);
  const half = curves[crv].coordinateBytes;
  const [x, y] = [encodeBase64url(point.subarray(0, half)), encodeBase64url(point.subarray(half))];
  return { kid, epk: { kty: 'EC', crv, x, y }, kek, replyKey: { kid: replyKid, key: replyKek } };
}

/** The private half is out of reach once this returns. */
async function exchange({ crv, publicKey }: WebRecipientKey) {
  const { subtle } = crypto;
  const pair = await subtle.generateKey({ name: 'ECDH', namedCurve: crv }, false, ['deriveBits']);
  const algorithm = { name: 'ECDH', public: publicKey };
  const [point, z] = await Promise.all([
    subtle.exportKey('raw', pair.publicKey),
    subtle.deriveBits(algorithm, pair.privateKey, curves[crv].coordinateBytes * 8),
  ]);
  // Uncompressed: a byte that says so, then x and y.
  return { point: new Uint8Array(point, 1), z: new Uint8Array(z) };
}

/** A key-encryption key of one round. @internal */
export async function deriveKey(
  z: Uint8Array,
  parties: KdfParties,
  usage: 'wrapKey' | 'unwrapKey',
): Promise<WebCryptoKey> {
  const [round] = kdfRounds(z, parties) as [Uint8Array];
  const bytes = await crypto.subtle.digest('SHA-256', round);
  round.fill(0);
  const key = await crypto.subtle.importKey('raw', bytes, 'AES-KW', false, [usage]);
  new Uint8Array(bytes).fill(0);
  return key;
}
