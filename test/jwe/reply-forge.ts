/** Replies made and opened with `node:crypto` alone, by the documentation and without the code under test. */
import { createCipheriv, createHash, diffieHellman, type KeyObject, randomBytes } from 'node:crypto';
import type { Forgery } from './helpers.js';
import { IAT, PLAINTEXT } from './helpers.js';

/** A field of a response. */
export const REPLY_PLACE = 'payments.v1.Payment.card';

/** What both sides of one call know. */
export interface ReplySecrets {
  /** 32 bytes: the key-encryption key for replies. */
  readonly key: Buffer;
  /** `kid` of replies. */
  readonly kid: string;
  /** `rto` of replies. */
  readonly rto: string;
}

/**
 * Derives what a reply token's replies are sealed with: Concat KDF (NIST SP 800-56A §5.8.1, SHA-256, one round) over Z
 * with AlgorithmID `A256KW`, PartyUInfo `sealwire-reply`, PartyVInfo the recipient's kid, 256 bits.
 *
 * @param z the shared secret of the recipient's key and the token's `epk`
 */
export function deriveSecrets(replyToken: string, z: Buffer): ReplySecrets {
  const { kid, epk } = headerOf(replyToken) as { kid: string; epk: { x: string; y: string } };
  const point = [epk.x, epk.y].map((coordinate) => Buffer.from(coordinate, 'base64url'));
  return {
    key: deriveKey(z, 'A256KW', 'sealwire-reply', kid),
    kid: sha256(Buffer.concat(point)).toString('base64url'),
    rto: sha256(Buffer.from(replyToken)).toString('base64url'),
  };
}

/** One round of the Concat KDF; all lengths here fit into a byte. @returns 32 bytes */
export function deriveKey(z: Buffer, ...texts: readonly [algorithm: string, apu: string, apv: string]): Buffer {
  const length = (value: number) => Buffer.from([0, 0, 0, value]);
  const info = texts.flatMap((text) => [length(text.length), Buffer.from(text)]);
  return sha256(Buffer.concat([length(1), z, ...info, Buffer.from([0, 0, 1, 0])]));
}

/** Z as the recipient of a token computes it. */
export function agreeAsRecipient(
  token: string,
  privateKey: KeyObject,
  importPoint: (jwk: object) => KeyObject,
): Buffer {
  const { epk } = headerOf(token) as { epk: object };
  return diffieHellman({ privateKey, publicKey: importPoint(epk) });
}

/** The protected header of a compact JWE. */
export function headerOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[0] as string, 'base64url').toString());
}

/** `cid` of the replies that are made here: 16 bytes. */
export const CALL_ID = Buffer.alloc(16, 7).toString('base64url');

/** Members of a good reply: the first of its call, for {@link REPLY_PLACE}. */
export function replyHeader({ kid, rto }: ReplySecrets): Record<string, unknown> {
  const profile = { typ: 'sealed-field+jwe', cty: 'application/protobuf', fld: REPLY_PLACE, iat: IAT };
  return { alg: 'A256KW', enc: 'A256GCM', kid, ...profile, rto, cid: CALL_ID, seq: 0 };
}

/** What differs from a good reply. */
export interface ReplyForgery extends Pick<Forgery, 'header' | 'headerBytes' | 'plaintext'> {
  /** Bytes of the IV. */
  readonly ivBytes?: number;
  /** Bytes of the CEK. */
  readonly cekBytes?: 16 | 24 | 32 | 64;
}

/** Makes a reply that decrypts, whatever its header says. */
export function forgeReply(secrets: ReplySecrets, forgery: ReplyForgery = {}): string {
  const json = JSON.stringify({ ...replyHeader(secrets), ...forgery.header });
  const part = Buffer.from(forgery.headerBytes?.(json) ?? json).toString('base64url');
  const cek = randomBytes(forgery.cekBytes ?? 32);
  const iv = randomBytes(forgery.ivBytes ?? 12);
  const wrapped = createCipheriv('id-aes256-wrap', secrets.key, Buffer.alloc(8, 0xa6)).update(cek);
  const cipher = createCipheriv('aes-256-gcm', Buffer.concat([cek, cek]).subarray(0, 32), iv).setAAD(Buffer.from(part));
  const ciphertext = Buffer.concat([cipher.update(forgery.plaintext ?? PLAINTEXT), cipher.final()]);
  const parts = [wrapped, iv, ciphertext, cipher.getAuthTag()];
  return [part, ...parts.map((bytes) => bytes.toString('base64url'))].join('.');
}

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}
