/**
 * What the scripts that write test vectors have in common: `node:crypto` alone, and secrets that come from fixed texts.
 */
import { createCipheriv, createECDH, createHash, createHmac } from 'node:crypto';

/** Bytes that are the same for the same label. */
export const secret = (label, size) =>
  createHash('shake256', { outputLength: size }).update(`sealwire test ${label}`).digest();
export const b64 = (bytes) => Buffer.from(bytes).toString('base64url');
const u32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
/** @returns the part with a bit of its first byte changed */
export const flip = (part) => {
  const bytes = Buffer.from(part, 'base64url');
  bytes[0] ^= 1;
  return b64(bytes);
};

/** @returns an EC key pair whose private scalar is below the order: its two highest bytes are 0 */
export function pair(label, curve = 'secp521r1', crv = 'P-521', size = 66) {
  const d = Buffer.concat([Buffer.alloc(2), secret(label, size - 2)]);
  const ecdh = createECDH(curve);
  ecdh.setPrivateKey(d);
  const point = ecdh.getPublicKey();
  const jwk = { kty: 'EC', crv, x: b64(point.subarray(1, 1 + size)), y: b64(point.subarray(1 + size)) };
  return { ecdh, point, d: b64(d), jwk };
}

/** Concat KDF of RFC 7518 §4.6.2; at most two rounds. */
export function deriveKey(z, algorithm, apu, apv, size) {
  const info = [Buffer.from(algorithm), apu, apv].flatMap((part) => [u32(part.length), part]);
  const round = (n) =>
    createHash('sha256')
      .update(Buffer.concat([u32(n), z, ...info, u32(size * 8)]))
      .digest();
  return Buffer.concat([round(1), round(2)]).subarray(0, size);
}

/** @returns IV, ciphertext and tag */
export function encrypt(enc, cek, label, aad, message) {
  if (enc === 'A256GCM') {
    const iv = secret(`${label} iv`, 12);
    const cipher = createCipheriv('aes-256-gcm', cek, iv).setAAD(aad);
    const ciphertext = Buffer.concat([cipher.update(message), cipher.final()]);
    return [iv, ciphertext, cipher.getAuthTag()];
  }
  const half = cek.length / 2;
  const iv = secret(`${label} iv`, 16);
  const cipher = createCipheriv(`aes-${half * 8}-cbc`, cek.subarray(half), iv);
  const ciphertext = Buffer.concat([cipher.update(message), cipher.final()]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64BE(BigInt(aad.length * 8));
  const mac = createHmac(`sha${half * 16}`, cek.subarray(0, half));
  return [
    iv,
    ciphertext,
    mac
      .update(Buffer.concat([aad, iv, ciphertext, length]))
      .digest()
      .subarray(0, half),
  ];
}

/** RFC 7638 thumbprint of a pair on P-521. */
export function thumbprint({ jwk: { x, y } }) {
  return b64(
    createHash('sha256')
      .update(JSON.stringify({ crv: 'P-521', kty: 'EC', x, y }))
      .digest(),
  );
}

/** AES key wrap with 256 bits (RFC 3394). */
export function wrapKey(key, cek) {
  return createCipheriv('id-aes256-wrap', key, Buffer.alloc(8, 0xa6)).update(cek);
}
