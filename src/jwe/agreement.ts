/** From a shared secret Z to the keys that protect CEKs (RFC 7518 §4.6.2). */
import { createHash, createSecretKey, type KeyObject } from 'node:crypto';
import { type ContentEncryption, encryptions, type KeyAlgorithm } from '../profile/algorithms.js';
import { sha256 } from './sha256.js';

const EMPTY = Buffer.alloc(0);

/**
 * Concat KDF of RFC 7518 §4.6.2 (SP 800-56A §5.8.1 with SHA-256).
 *
 * @param z the shared secret
 * @param algorithmId `enc` for direct agreement, `alg` with key wrapping
 * @param apu agreement PartyUInfo
 * @param apv agreement PartyVInfo
 * @param keyBytes 1 to 64
 */
export function concatKdf(z: Buffer, algorithmId: string, apu: Buffer, apv: Buffer, keyBytes: number): Buffer {
  const bits = Buffer.alloc(4);
  bits.writeUInt32BE(keyBytes * 8);
  const otherInfo = Buffer.concat([withLength(Buffer.from(algorithmId)), withLength(apu), withLength(apv), bits]);
  const blocks: Buffer[] = [];
  for (let counter = 1; blocks.length * 32 < keyBytes; counter++) {
    const round = Buffer.alloc(4);
    round.writeUInt32BE(counter);
    blocks.push(createHash('sha256').update(round).update(z).update(otherInfo).digest());
  }
  return Buffer.concat(blocks).subarray(0, keyBytes);
}

/** The bytes behind their length as 32 bits, so that fields cannot run into each other. */
function withLength(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/**
 * The key that one agreement yields for `alg`: a key-encryption key, or the CEK itself for direct
 * agreement.
 *
 * @param z the shared secret; wiped
 */
export function deriveKey(
  z: Buffer,
  alg: KeyAlgorithm,
  enc: ContentEncryption,
  apu: Buffer = EMPTY,
  apv: Buffer = EMPTY,
): KeyObject {
  const direct = alg === 'ECDH-ES';
  const bytes = concatKdf(z, direct ? enc : alg, apu, apv, direct ? encryptions[enc].keyBytes : 32);
  const key = createSecretKey(bytes);
  z.fill(0);
  bytes.fill(0);
  return key;
}

const REPLY_PARTY = Buffer.from('sealwire-reply');

/**
 * The key-encryption key for replies: a second key from the same agreement, told apart by its party
 * info (AlgorithmID `A256KW`, PartyUInfo `sealwire-reply`, PartyVInfo the recipient's kid).
 *
 * @param z the shared secret; not wiped
 * @param kid the recipient's kid, as text
 */
export function deriveReplyKey(z: Buffer, kid: string): KeyObject {
  const bytes = concatKdf(z, 'A256KW', REPLY_PARTY, Buffer.from(kid), 32);
  const key = createSecretKey(bytes);
  bytes.fill(0);
  return key;
}

/** `kid` of a reply: base64url SHA-256 of the decoded coordinates of the sender's `epk`, x before y. */
export function replyKid(x: Buffer, y: Buffer): string {
  return sha256(Buffer.concat([x, y]));
}
