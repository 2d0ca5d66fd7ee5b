/** The shared secret Z of two keys, and from it the keys that protect CEKs (RFC 7518 §4.6.2). */
import { createECDH, createHash, createPublicKey, createSecretKey, diffieHellman, type KeyObject } from 'node:crypto';
import { type ContentEncryption, type Curve, curves, encryptions, type KeyAlgorithm } from '../profile/algorithms.js';
import { type KdfParties, kdfRounds, replyParties, SEALING_PARTIES } from '../profile/concat-kdf.js';
import { opensslCurves, toSpki } from './openssl-curves.js';
import { sha256 } from './sha256.js';

/** What to agree on; private keys travel to threads as handles, never as bytes. */
export type AgreementTask =
  | {
      readonly kind: 'agree';
      readonly privateKey: KeyObject;
      readonly crv: Curve;
      readonly x: Uint8Array;
      readonly y: Uint8Array;
    }
  | {
      readonly kind: 'generate';
      /** The recipient's, uncompressed. */
      readonly publicPoint: Uint8Array;
      readonly crv: Curve;
    };

/** A shared secret and, of a generated pair, the public half. The private half is dropped. */
export interface AgreementOutcome {
  readonly z: Uint8Array;
  readonly x?: string;
  readonly y?: string;
}

/**
 * ECDH, at once: some milliseconds of this thread.
 *
 * @returns undefined when the point is not on the curve
 */
export function runAgreement(task: AgreementTask): AgreementOutcome | undefined {
  if (task.kind === 'agree') {
    const { privateKey, crv, x, y } = task;
    let publicKey: KeyObject;
    try {
      // OpenSSL refuses points that are not on the curve here. From DER it does so in a seventh of the time
      // it takes from JWK, where it multiplies by the order too: our curves have cofactor 1.
      publicKey = createPublicKey({ key: toSpki(crv, x, y), format: 'der', type: 'spki' });
    } catch {
      return undefined;
    }
    return { z: pad(diffieHellman({ privateKey, publicKey }), crv) };
  }
  const { publicPoint, crv } = task;
  // Not generateKeyPairSync and export: when the garbage collector runs during an export and finds the job that made
  // the key, that job's end waits for the lock that the export holds, in the same thread, for good (Node 20.20).
  const pair = createECDH(opensslCurves[crv].name);
  const point = pair.generateKeys();
  const size = curves[crv].coordinateBytes;
  return {
    z: pad(pair.computeSecret(publicPoint), crv),
    x: point.toString('base64url', 1, 1 + size),
    y: point.toString('base64url', 1 + size),
  };
}

function pad(bytes: Buffer, crv: Curve): Buffer {
  const size = curves[crv].coordinateBytes;
  return bytes.length === size ? bytes : Buffer.concat([Buffer.alloc(size - bytes.length), bytes]);
}

/** Derives a key of up to 64 bytes from a shared secret, which is not wiped. */
export function concatKdf(z: Uint8Array, parties: KdfParties): Buffer {
  const digests = kdfRounds(z, parties).map((round) => {
    const digest = createHash('sha256').update(round).digest();
    round.fill(0);
    return digest;
  });
  return Buffer.concat(digests).subarray(0, parties.keyBytes);
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
  apu?: Uint8Array,
  apv?: Uint8Array,
): KeyObject {
  const { algorithmId, keyBytes } =
    alg === 'ECDH-ES' ? { algorithmId: enc, keyBytes: encryptions[enc].keyBytes } : SEALING_PARTIES;
  const key = toSecretKey(concatKdf(z, { algorithmId, apu, apv, keyBytes }));
  z.fill(0);
  return key;
}

/**
 * The key-encryption key for replies.
 *
 * @param z the shared secret; not wiped
 * @param kid the recipient's kid, as text
 */
export function deriveReplyKey(z: Buffer, kid: string): KeyObject {
  return toSecretKey(concatKdf(z, replyParties(kid)));
}

function toSecretKey(bytes: Buffer): KeyObject {
  const key = createSecretKey(bytes);
  bytes.fill(0);
  return key;
}

/** `kid` of a reply: base64url SHA-256 of the decoded coordinates of the sender's `epk`, x before y. */
export function replyKid(x: Buffer, y: Buffer): string {
  return sha256(Buffer.concat([x, y]));
}
